"""The systemd unit that starts a flight recorder when its host has booted: written where root may be had, and removed with the recorder.

It runs as the account that installed the recorder, with a ceiling for processor and memory. When the recorder has removed its folder, at
its own end, the unit removes itself. Pure text, but for the two functions that run it.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from harness.core.errors import DeadlineExceeded, Unusable
from harness.hosts.host import Host, HostUnreachable
from harness.hosts.root_rights import as_root

FOLDER = "/etc/systemd/system"
LIMIT_S = 30.0


@dataclass(frozen=True)
class BootUnit:
    """One recorder's unit. `folder` is where the recorder lies, `python` the interpreter's full path, `user` the account."""

    name: str
    folder: str = ""
    python: str = ""
    user: str = ""

    @property
    def path(self) -> str:
        """The unit's file."""
        return f"{FOLDER}/{self.name}.service"

    @property
    def text(self) -> str:
        """What stands in it."""
        wanted = f"{FOLDER}/multi-user.target.wants/{self.name}.service"
        gone = f"test -e {self.folder}/plan || {{ rm -f {self.path} {wanted}; systemctl daemon-reload; }}"
        return (
            "[Unit]\n"
            "Description=lkharness flight recorder (reads only; ends and removes itself)\n"
            "After=network-online.target\n"
            f"ConditionPathExists={self.folder}/plan\n"
            "[Service]\n"
            "Type=forking\n"
            f"User={self.user}\n"
            f"ExecStart={self.python} -I -S {self.folder}/program {self.folder}\n"
            f"ExecStopPost=+/bin/sh -c {shlex.quote(gone)}\n"
            "CPUQuota=25%\n"
            "MemoryMax=200M\n"
            "[Install]\n"
            "WantedBy=multi-user.target\n"
        )

    def installing(self) -> str:
        """The shell line that writes it and starts the recorder by it; exit 3: this host has no systemd, 4: root was not had."""
        return (
            '[ -d /run/systemd/system ] || exit 3; [ "$(id -u)" = 0 ] || exit 4; '
            f"umask 022; printf %s {shlex.quote(self.text)} >{self.path} && systemctl daemon-reload && "
            f"systemctl enable --now {self.name}.service 2>&1 || {{ r=$?; {self._removing()}; exit $r; }}"
        )

    def removing(self) -> str:
        """The shell line that removes it; nothing where it is not there."""
        return f"if [ -e {self.path} ]; then {self._removing()}; fi"

    def _removing(self) -> str:
        return f"systemctl disable --now {self.name}.service >/dev/null 2>&1; rm -f {self.path}; systemctl daemon-reload"


def install(host: Host, unit: BootUnit) -> str:
    """Write it and start the recorder by it. Empty, or the sentence why it is not there, and so what the recorder does not outlive."""
    try:
        done = host.run(as_root(["sh", "-c", unit.installing()]), limit=LIMIT_S)
    except HostUnreachable:
        raise
    except Unusable as refused:  # sudo does not let the account
        why = str(refused)
    else:
        if done.ok:
            return ""
        said = (done.err.strip() or done.out.strip() or f"exit {done.exit}").splitlines()[-1]
        why = {3: "it has no systemd", 4: "the account is not root"}.get(done.exit, said)
    return f"{host.name}: the recorder does not outlive a reboot, because {why}; `lkharness record start` starts it again then"


def remove(host: Host, unit: BootUnit) -> str:
    """Remove it where it is; empty, or what was left and why."""
    try:
        if not host.run(["test", "-e", unit.path], limit=LIMIT_S).ok:
            return ""
        done = host.run(as_root(["sh", "-c", unit.removing()]), limit=LIMIT_S)
    except (Unusable, DeadlineExceeded) as error:
        return f"{host.name}: {unit.path} may be left: {error}"
    return "" if done.ok else f"{host.name}: {unit.path} is left: {(done.err.strip() or done.out.strip()).splitlines()[-1:]}"
