"""The systemd unit that starts a flight recorder when its host has booted: written where root may be had, and removed with the recorder.

It runs as the account that installed the recorder, with a ceiling for processor and memory, and only what this account alone can have put
there: a recorder's folder may lie where everybody may make one, and may be gone while the unit is not. A unit whose folder is gone, or is
another's, removes itself. Pure text, but for the functions that run it.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from harness.core.errors import DeadlineExceeded, Unusable
from harness.hosts.host import Host, HostUnreachable
from harness.hosts.root_rights import VARIABLE, as_root

FOLDER = "/etc/systemd/system"
LIMIT_S = 30.0
LOGIND = (
    "timeout 10 busctl get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager KillUserProcesses 2>&1 | "
    "tail -n 1; if [ -d /run/systemd/system ]; then echo systemd; fi"
)


@dataclass(frozen=True)
class BootUnit:
    """One recorder's unit. `folder` is where the recorder lies, `python` the interpreter's full path, `user` the account, `root` what it
    puts before a program that is to be root's (LKHARNESS_ROOT), such as the one that reads a closed log."""

    name: str
    folder: str = ""
    python: str = ""
    user: str = ""
    root: str = ""

    @property
    def path(self) -> str:
        """The unit's file."""
        return f"{FOLDER}/{self.name}.service"

    @property
    def owned(self) -> str:
        """A line of shell that succeeds where the folder and its program are this account's own, closed to others, and no links."""
        folder, program, user = shlex.quote(self.folder), shlex.quote(f"{self.folder}/program"), shlex.quote(self.user)
        return (
            f'LC_ALL=C; export LC_ALL; [ "$(stat -c %F:%U:%a {folder})" = directory:{user}:700 ] && '
            f'[ "$(stat -c %F:%U {program})" = "regular file:"{user} ]'
        )

    @property
    def text(self) -> str:
        """What stands in it."""
        wants_link = f"{FOLDER}/multi-user.target.wants/{self.name}.service"
        clean_up = f"{{ {self.owned}; }} || {{ rm -f {self.path} {wants_link}; systemctl daemon-reload; }}"
        root = f'Environment="{VARIABLE}={_escape(self.root)}"\n' if self.root else ""
        return (
            "[Unit]\n"
            "Description=lkharness flight recorder (reads only; ends and removes itself)\n"
            "After=network-online.target\n"
            "[Service]\n"
            "Type=forking\n"
            f"User={self.user}\n"
            f"{root}"
            f"ExecStartPre=/bin/sh -c {_escape(shlex.quote(self.owned))}\n"
            f"ExecStart={self.python} -I -S {self.folder}/program {self.folder}\n"
            f"ExecStopPost=+/bin/sh -c {_escape(shlex.quote(clean_up))}\n"
            "Restart=on-failure\n"
            "RestartSec=30\n"
            "TimeoutStopSec=5\n"
            "OOMPolicy=continue\n"
            "CPUQuota=25%\n"
            "MemoryMax=200M\n"
            "[Install]\n"
            "WantedBy=multi-user.target\n"
        )

    def install_line(self) -> str:
        """The shell line that writes it and starts the recorder by it; exit 3: this host has no systemd, 4: root was not had."""
        return (
            '[ -d /run/systemd/system ] || exit 3; [ "$(id -u)" = 0 ] || exit 4; '
            f"umask 022; printf %s {shlex.quote(self.text)} >{self.path} && systemctl daemon-reload && "
            f"systemctl enable {self.name}.service 2>&1 && systemctl restart {self.name}.service 2>&1 || "
            f"{{ r=$?; {self._remove_line()}; exit $r; }}"
        )

    def remove_line(self) -> str:
        """The shell line that removes it; nothing where it is not there."""
        return f"if [ -e {self.path} ]; then {self._remove_line()}; fi"

    def _remove_line(self) -> str:
        return (
            f"systemctl disable --now {self.name}.service >/dev/null 2>&1; rm -f {self.path}; systemctl daemon-reload; [ ! -e {self.path} ]"
        )


def _escape(text: str) -> str:
    """The same text in a unit, where `%` and `$` and a backslash would mean something."""
    return text.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$")


def install(host: Host, unit: BootUnit) -> str:
    """Write it and start the recorder by it. Empty, or the sentence why it is not there, and so what the recorder does not outlive."""
    try:
        completed = host.run(as_root(["sh", "-c", unit.install_line()]), limit=LIMIT_S)
    except HostUnreachable:
        raise
    except Unusable as error:  # sudo does not let the account
        why = str(error)
    else:
        if completed.ok:
            return ""
        last_line = (completed.err.strip() or completed.out.strip() or f"exit {completed.exit}").splitlines()[-1]
        why = {3: "it has no systemd", 4: "the account is not root"}.get(completed.exit, last_line)
    return (
        f"{host.name}: the recorder does not outlive a reboot, because {why}; `lkharness record start` starts it again then, and what lies "
        "there after its end is removed by the next `lkharness record` that finds it"
    )


def survives_logout(kills: str, systemd: bool, user: str) -> bool | None:
    """Whether what an account starts by itself outlives its log-in; None where that is not known. `kills` is what busctl says of logind's
    KillUserProcesses. Root's are left alone by it (KillExcludeUsers, as it comes). Pure."""
    if user == "root" or kills == "b false" or (not systemd and kills != "b true"):
        return True
    return False if kills == "b true" else None


def outlives_logout(host: Host, user: str) -> str:
    """For a recorder that no unit started: empty, or the sentence that it may not outlive the log-in. Raises Unusable where it does not."""
    completed = host.run(LOGIND, limit=LIMIT_S)
    kills, _, systemd = completed.out.strip().partition("\n")
    lasts = survives_logout(kills.strip(), systemd.strip() == "systemd", user)
    if lasts is False:
        raise Unusable(
            f"{host.name}: the end of the log-in would end the recorder (KillUserProcesses=yes), and its unit could not be "
            "installed; log in as root, or set ssh.sudo"
        )
    return "" if lasts else f"{host.name}: whether the recorder outlives the log-in is not known: KillUserProcesses: {kills or 'no answer'}"


def remove(host: Host, unit: BootUnit) -> str:
    """Remove it where it is; empty, or what was left and why."""
    try:
        if host.run(["test", "-e", unit.path], limit=LIMIT_S).exit == 1:
            return ""
        completed = host.run(as_root(["sh", "-c", unit.remove_line()]), limit=LIMIT_S)
    except (Unusable, DeadlineExceeded) as error:
        return f"{host.name}: {unit.path} may be left: {error}"
    return "" if completed.ok else f"{host.name}: {unit.path} is left: {(completed.err.strip() or completed.out.strip()).splitlines()[-1:]}"
