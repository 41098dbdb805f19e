"""The node beneath a stand-in for Windows: where things are kept there, its processes, its boots, and names as Windows has them."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

STORE = Path("/var/lib/lab-windows")  # on the node's own disk, so that it outlives a boot, as registry and task store do
LEASE_FOLDER = STORE / "ProgramData/lkharness"
JOBS = STORE / "jobs"
BOOTS = STORE / "boots"
SETTINGS = Path("/etc/lab-windows.json")
LOG = Path("/var/log/windows-stand-in.log")
PYTHON = "/opt/lab/bin/lab-python"
COMMAND_TIMEOUT_S = 60.0
ALIASES = {"lo": "Loopback Pseudo-Interface 1", "eth0": "Ethernet", "eth1": "Ethernet 2"}
DEVICES = {alias: device for device, alias in ALIASES.items()}


def setting(name: str) -> Any:
    """One of the settings that the lab gave this node."""
    return json.loads(SETTINGS.read_text(encoding="utf-8"))[name]


def is_failover_cluster() -> bool:
    """Whether this node tells of Windows' failover cluster, and not of LifeKeeper."""
    return bool(setting("manager") == "wsfc")


def run(words: Sequence[str], *, input: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program of the node; its exit code is the caller's to judge."""
    return subprocess.run(words, input=input, capture_output=True, text=True, errors="replace", timeout=COMMAND_TIMEOUT_S)


def links() -> list[dict[str, Any]]:
    """`ip -json addr` of the node."""
    found: list[dict[str, Any]] = json.loads(run(["ip", "-json", "addr"]).stdout)
    return found


def detach(*words: str) -> None:
    """Start a program of the lab that belongs to no session, as a task of Windows does, or what WMI starts."""
    subprocess.run(
        ["setsid", "--fork", PYTHON, "-m", *words],
        check=True,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=LOG.open("ab"),
    )


def write_whole(path: Path, text: str) -> None:
    """A file that others see whole or not at all."""
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def read_or_none(path: Path) -> str | None:
    """A file's text; None where there is none, or none any more."""
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Alone with what is kept under that name."""
    STORE.mkdir(parents=True, exist_ok=True)
    with (STORE / f"{name}.lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def processes() -> dict[int, str]:
    """Every process of this node by its number, with its name; none that has ended and is not yet collected."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) is not None and fields[1] != "Z":
            found[int(entry.name)] = fields[0]
    return found


def started_at(pid: int) -> str | None:
    """When a process started, as PowerShell writes a moment; None when there is none."""
    fields = _stat(pid)
    if fields is None or fields[1] == "Z":
        return None
    boot = next(int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    return moment(boot + int(fields[20]) / os.sysconf("SC_CLK_TCK"))


def _stat(pid: int) -> list[str] | None:
    """A process's name, and then what /proc tells from its state on."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")
    return [name, *rest.split()]


def moment(seconds: float) -> str:
    """Seconds since the epoch as PowerShell's format `o` has them in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")


def boot_number() -> int:
    """How often this node was started."""
    return int(read_or_none(BOOTS) or 0)


def ticks() -> float:
    """Seconds of a count that begins with the node's start."""
    fields = _stat(1)
    assert fields is not None
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[20]) / os.sysconf("SC_CLK_TCK")
