"""Processes of one node: is it still the same one, end it within a deadline, start it in the background.

A process is known by its pid and its start time together: pids in a node's own pid namespace are small and soon used again.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

from harness.core.deadline import Deadline

PROC = Path("/proc")


class Process(NamedTuple):  # not a dataclass: importing those costs 10 ms of each quickCheck
    """A process and the clock tick after boot at which it started."""

    pid: int
    born: int

    def __str__(self) -> str:
        return f"{self.pid} {self.born}"

    @property
    def alive(self) -> bool:
        """Is it there, the same one, and not a zombie?"""
        return start_ticks(self.pid) == self.born


def start_ticks(pid: int) -> int | None:
    """The start time of a living process in clock ticks after boot; None when there is none or it is a zombie."""
    try:
        stat = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    return None if fields[0] in "ZX" else int(fields[19])


def find(pid: int) -> Process | None:
    """The process of that number, told apart from a later one of the same number; None when there is none."""
    start_time = start_ticks(pid)
    return None if start_time is None else Process(pid, start_time)


def process_of(pid_file: Path) -> Process | None:
    """The living process that a pid file of `unit` names; None when it names none, or one that is gone."""
    try:
        fields = pid_file.read_text(encoding="ascii", errors="replace").split()
    except FileNotFoundError:
        return None
    if len(fields) != 2 or not all(field.isdigit() for field in fields):
        return None  # cut short by a crash: then its process is gone too
    process = Process(int(fields[0]), int(fields[1]))
    return process if process.alive else None


def send(process: Process, number: signal.Signals) -> bool:
    """Send a signal to exactly this process; False when it has gone already."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if not process.alive:  # looked at after the handle is held: a successor with the same pid is never hit
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def wait_until_gone(process: Process, deadline: Deadline) -> bool:
    """Block until it has ended, at most until the deadline; needs no parenthood."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        if not process.alive:
            return True
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(deadline.remaining() * 1000))
    finally:
        os.close(handle)


def start_in_background(work: Callable[[], NoReturn], log: Path | None, keep: tuple[int, ...] = ()) -> Process:
    """Run `work`, which must end in exec, in a session of its own; of this process's descriptors it gets only `keep`.

    Its output goes to the log (or nowhere). It belongs to the node's init as soon as this process ends.
    """
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            _own_descriptors(log, keep)
            os.chdir("/")  # a daemon that stands on the shared disk would keep it from being unmounted
            work()
        except BaseException as error:
            os.write(2, f"could not be started: {error}\n".encode())
        finally:
            os._exit(127)
    process = find(pid)
    return process or Process(pid, -1)  # a child that died at once is a zombie: not alive under any start time


def _own_descriptors(log: Path | None, keep: tuple[int, ...]) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    output = nothing if log is None else os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if descriptor > 2 and descriptor not in keep:
            try:
                os.close(descriptor)
            except OSError:
                continue  # it was the one that the listing itself was read from
    for descriptor in keep:
        os.set_inheritable(descriptor, True)


def last_line(log: Path | None, needle: str = "") -> str:
    """What a service said last, for the message of a failed start: the last line with `needle` in it, if there is one."""
    if log is None:
        return "nothing (it has no log; give --log)"
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except FileNotFoundError:
        return "nothing"
    return [*(lines[-1:] or ["nothing"]), *(line for line in lines if needle and needle in line)][-1]
