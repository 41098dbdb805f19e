"""What is known of listening processes beside their sockets: their terminal, their control group, their program, their limits. Pure; no
text makes it raise."""

from __future__ import annotations

import re
from collections.abc import Iterator

STAT = re.compile(r"(?m)^(\d{1,10}) \(.*\) (\S) -?\d+ -?\d+ -?\d+ (-?\d{1,10}) ")
GROUP = re.compile(r"(?m)^~group (\d{1,10}) (/\S*)$")
PROGRAM = re.compile(r"(?m)^'/proc/(\d{1,10})/exe' -> '(/[^'\n]+?)(?: \(deleted\))?'$")
LIMIT = re.compile(r"(?m)^~limit (\d{1,10}) (\d{1,19}) (file size|data size|address space|processes)$")
PSEUDO_TERMINALS, CONSOLES = range(136, 144), 4  # major numbers of devices
MAX_CONSOLE = 63


def terminals(text: str) -> Iterator[tuple[int, str]]:
    """Lines of /proc/PID/stat: of each process that has a controlling terminal its name, `pts/0` (proc(5), field tty_nr)."""
    for pid, _, number in STAT.findall(text):
        if terminal := _terminal(int(number)):
            yield int(pid), terminal


def _terminal(number: int) -> str:
    major, minor = (number >> 8) & 0xFFF, (number & 0xFF) | ((number >> 12) & 0xFFF00)
    if number <= 0:
        return ""
    if major in PSEUDO_TERMINALS:
        return f"pts/{minor + 256 * (major - PSEUDO_TERMINALS[0])}"
    return f"tty{minor}" if major == CONSOLES and minor <= MAX_CONSOLE else "a terminal"


def control_groups(text: str) -> dict[int, str]:
    """Lines `~group PID PATH`; of two hierarchies the one that says more."""
    groups: dict[int, str] = {}
    for pid, path in GROUP.findall(text):
        groups[int(pid)] = max(groups.get(int(pid), ""), path, key=len)
    return groups


def programs(text: str) -> dict[int, str]:
    """Lines of `stat -c %N`: the file that each process runs."""
    return {int(pid): file for pid, file in PROGRAM.findall(text)}


def descriptors(text: str) -> Iterator[tuple[int, tuple[int, int]]]:
    """Lines `PID NUMBER Max open files SOFT HARD files`."""
    for line in text.splitlines():
        if match := re.match(r"(\d+) (\d+) Max open files +(\d+)", line):
            yield int(match[1]), (int(match[2]), int(match[3]))


def limits(text: str) -> dict[int, dict[str, int]]:
    """Lines `~limit PID NUMBER WHAT`: what is limited of each process, in bytes, or a number of processes."""
    limits_by_process: dict[int, dict[str, int]] = {}
    for pid, number, what in LIMIT.findall(text):
        limits_by_process.setdefault(int(pid), {})[what] = int(number)
    return limits_by_process
