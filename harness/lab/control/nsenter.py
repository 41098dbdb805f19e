"""Running a command inside a lab host without SSH, for `lab exec` and for looking at a host whose sshd is gone; or in the lab's fabric. A
virtual machine has no other way in than SSH."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from harness.core.errors import BadUse
from harness.lab.control.lab_registry import LabRecord

PATH = "/opt/lab/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def host_pid(lab: LabRecord, name: str) -> int:
    """The pid, as this process sees it, of a host's first process. Raises BadUse for an unknown host or one without power."""
    hosts = {h["name"]: h for h in lab.ask("status")["hosts"]}
    if name not in hosts:
        raise BadUse(f"there is no host {name!r} in the lab {lab.name}; there are {', '.join(hosts)}")
    if hosts[name]["pid"] is None:
        raise BadUse(f"{name} has no power; give it back with `lkharness lab power on {name} --name {lab.name}`")
    if hosts[name]["kind"] == "container":
        return hosts[name]["pid"]  # it runs beside the lab, so that its number is the machine's
    assert lab.pid is not None
    for child in Path(f"/proc/{lab.pid}/task/{lab.pid}/children").read_text().split():
        if _pids_by_namespace(int(child))[1:2] == [hosts[name]["pid"]]:
            return int(child)
    raise BadUse(f"{name} has just ended; see `lkharness lab status`")


def _pids_by_namespace(pid: int) -> list[int]:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return [int(number) for number in line.split()[1:]]
    return []


def command(lab: LabRecord, name: str, command_line: list[str]) -> list[str]:
    """The command line that runs `command_line` inside the host."""
    if (ssh := _ssh_of_machine(lab, name)) is not None:
        return [*ssh, shlex.join(command_line)]
    enter = ["nsenter", "--target", str(host_pid(lab, name)), "--mount", "--uts", "--ipc", "--net", "--pid"]
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


def _ssh_of_machine(lab: LabRecord, name: str) -> list[str] | None:
    """The SSH command that leads into a host that is a virtual machine; None for one that is none, or has no power."""
    host = next((h for h in lab.ask("status")["hosts"] if h["name"] == name), None)
    if host is None or host["kind"] != "machine" or host["pid"] is None:
        return None
    options = {"UserKnownHostsFile": lab.folder / "known_hosts", "BatchMode": "yes", "LogLevel": "ERROR", "ConnectTimeout": 10}
    words = ["ssh", "-F", "/dev/null", "-i", str(lab.folder / "keys/login"), "-p", str(host["ssh_port"])]
    words += [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    return [*words, *(["-t"] if sys.stdin is not None and sys.stdin.isatty() else []), "root@127.0.0.1"]


def run(
    lab: LabRecord, name: str, command_line: list[str], *, limit: float = 20.0, input: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run to the end and return what it said; the exit code is the caller's to judge."""
    return subprocess.run(command(lab, name, command_line), capture_output=True, text=True, timeout=limit, input=input)
