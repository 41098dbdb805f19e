"""A lab's first process, forked from one that has its modules loaded: as a new interpreter it costs each lab a quarter of a second of
processor time. It is the same otherwise: in namespaces of its own, number 1 there, and killed with its parent, as `unshare` makes it.

What a new interpreter itself does is tried by `./run acceptance` and by the tests that start one.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from harness.lab.lifecycle import launch
from harness.lab.linux import linux_syscalls
from harness.lab.process import lab_process
from tests.e2e import forked_commands

MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
new_interpreter = launch._spawn  # as it is done for everybody but tests


def fork_those_of_tests() -> None:
    """From now on, where many tests run side by side; an ordinary user's lab needs a user namespace as well, and is left alone."""
    if "PYTEST_XDIST_WORKER" in os.environ and os.geteuid() == 0:
        launch._spawn = fork_elsewhere  # type: ignore[assignment]


def fork_those_of_commands() -> None:
    """The same in the server of forked commands."""
    if os.geteuid() == 0:
        launch._spawn = fork_here  # type: ignore[assignment]


class Parent:
    """The process that waits for the first one, a child of this one, used as a `subprocess.Popen` is."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def kill(self) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode


def fork_here(order: dict[str, Any], folder: Path, fds: Sequence[int]) -> Parent:
    """In place of `launch._spawn`, in a process without threads that has everything loaded: a forked command."""
    pid = os.fork()
    if pid == 0:
        with (folder / "log").open("ab") as log:
            os.dup2(log.fileno(), 1)
        os.dup2(1, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        become_the_lab(order, fds)
    return Parent(pid)


def fork_elsewhere(order: dict[str, Any], folder: Path, fds: Sequence[int]) -> forked_commands.Begun:
    """The same in a process of pytest, which has threads: the server of forked commands does it."""
    places = {fd: forked_commands.MAX_FILE + number for number, fd in enumerate(fds)}
    moved = {name: places[value] if name.endswith("_fd") else value for name, value in order.items()}
    moved["listeners"] = {name: places[fd] for name, fd in order["listeners"].items()}
    words = ["-m", __name__, json.dumps({"order": moved, "fds": list(places.values())})]
    with (folder / "log").open("ab") as log:
        files = [log.fileno(), log.fileno(), *fds]
        return forked_commands.begin(words, folder=launch.REPOSITORY, environment=dict(os.environ), files=files)


def become_the_lab(order: dict[str, Any], fds: Sequence[int]) -> NoReturn:
    """In a process that nothing else needs, whose standard streams are in place. `fds` stay open."""
    code = 1
    try:
        os.setsid()
        for fd in [int(file.name) for file in Path("/proc/self/fd").iterdir()]:
            if fd > 2 and fd not in fds:
                with contextlib.suppress(OSError):  # the one of the list itself
                    os.close(fd)
        os.chdir("/")
        os.environ["PYTHONPATH"] = str(launch.REPOSITORY)
        sys.stdout = sys.stderr = open(2, "w", buffering=1, closefd=False, errors="backslashreplace")  # noqa: SIM115
        linux_syscalls.unshare(linux_syscalls.CLONE_NEWNS | linux_syscalls.CLONE_NEWPID | linux_syscalls.CLONE_NEWNET)
        linux_syscalls.mount("none", "/", flags=linux_syscalls.MS_REC | linux_syscalls.MS_PRIVATE)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])  # the first process's matter
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        pid = os.fork()
        if pid == 0:
            linux_syscalls.end_with_parent()
            linux_syscalls.mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT, signal.SIGTERM])
            sys.argv = [lab_process.__file__, json.dumps(order)]
            lab_process.main()
            code = 0
        else:
            for fd in fds:
                os.close(fd)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except BaseException:
        sys.excepthook(*sys.exc_info())  # into the lab's log
    finally:
        os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    become_the_lab(asked["order"], asked["fds"])
