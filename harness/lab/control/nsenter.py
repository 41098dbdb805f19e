"""Running a command inside a lab host without SSH, for `lab exec` and for looking at a host whose sshd is gone; or in the lab's fabric. A
virtual machine has no other way in than SSH."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

from harness.core.errors import BadUse
from harness.lab.control.lab_registry import LabRecord

PATH = "/opt/lab/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def host_pid(lab: LabRecord, name: str) -> int:
    """The pid, as this process sees it, of a host's first process. Raises BadUse for an unknown host or one without power."""
    return _pid_of(lab, _running_host(lab, name))


def _running_host(lab: LabRecord, name: str) -> dict[str, Any]:
    """What the lab tells of a host that has power. Raises BadUse for another one."""
    hosts = {h["name"]: h for h in lab.ask("status")["hosts"]}
    if name not in hosts:
        raise BadUse(f"there is no host {name!r} in the lab {lab.name}; there are {', '.join(hosts)}")
    if hosts[name]["pid"] is None:
        raise BadUse(f"{name} has no power; give it back with `lkharness lab power on {name} --name {lab.name}`")
    return hosts[name]


def _pid_of(lab: LabRecord, host: dict[str, Any]) -> int:
    if host["kind"] == "container":
        return host["pid"]  # it runs beside the lab, so that its number is the machine's
    assert lab.pid is not None
    for child in Path(f"/proc/{lab.pid}/task/{lab.pid}/children").read_text().split():
        if _pids_by_namespace(int(child))[1:2] == [host["pid"]]:
            return int(child)
    raise BadUse(f"{host['name']} has just ended; see `lkharness lab status`")


def _pids_by_namespace(pid: int) -> list[int]:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return [int(number) for number in line.split()[1:]]
    return []


def command(lab: LabRecord, name: str, command_line: list[str], *, terminal: bool = False) -> list[str]:
    """The command line that runs `command_line` inside the host; `terminal`: a person is at it, which only SSH must be told."""
    host = _running_host(lab, name)
    if host["kind"] == "machine":
        return [*_ssh(lab, host["ssh_port"]), *(["-t"] if terminal else []), "root@127.0.0.1", shlex.join(command_line)]
    enter = ["nsenter", "--target", str(_pid_of(lab, host)), "--mount", "--uts", "--ipc", "--net", "--pid"]
    if os.geteuid() != 0:
        enter += ["--user", "--preserve-credentials"]
    return [
        *enter,
        "--wdns=/root",
        "env",
        "-i",
        f"PATH={PATH}",
        "HOME=/root",
        "LC_ALL=C.UTF-8",
        f"TERM={os.environ.get('TERM', 'dumb')}",
        *command_line,
    ]


def fabric_command(lab: LabRecord, netns: int, command_line: list[str]) -> list[str]:
    """The command line that runs `command_line` in the fabric's network namespace, which is open in the lab's first process as `netns`.

    It is in the lab's process namespace too, so that it ends with the lab."""
    enter = ["nsenter", f"--net=/proc/{lab.pid}/fd/{netns}", "--target", str(lab.pid), "--pid"]
    if os.geteuid() != 0:
        enter += ["--user", "--preserve-credentials"]
    return [*enter, *command_line]


def _ssh(lab: LabRecord, port: int) -> list[str]:
    """The way into a host that is a virtual machine, which has no other."""
    options = {"UserKnownHostsFile": lab.folder / "known_hosts", "BatchMode": "yes", "LogLevel": "ERROR", "ConnectTimeout": 10}
    words = ["ssh", "-F", "/dev/null", "-i", str(lab.folder / "keys/login"), "-p", str(port)]
    return words + [word for key, value in options.items() for word in ("-o", f"{key}={value}")]


def run(
    lab: LabRecord, name: str, command_line: list[str], *, limit: float = 20.0, input: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run to the end and return what it said; the exit code is the caller's to judge."""
    return subprocess.run(command(lab, name, command_line), capture_output=True, text=True, timeout=limit, input=input)
