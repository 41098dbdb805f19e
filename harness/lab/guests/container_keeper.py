"""The process beside a lab that drives its containers: the lab's own processes are in other namespaces than the engine.

It is told what to do over a socket whose other end only the lab's first process holds. When that ends, however it ends, the socket is
closed, and the keeper removes every container with its label and ends. Its arguments are the socket's number, the folder that
the containers share with the lab (removed as well), and the engine's words.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from harness.core.deadline import Deadline
from harness.core.errors import HarnessError
from harness.lab.control.lab_registry import start_ticks
from harness.lab.guests.images.container_engine import Engine

MEMORY = Path("/dev/shm")
KEEPER = "keeper"  # in the shared folder: the label of its keeper
MAX_MESSAGE = 65536
END_TIMEOUT_S = 60.0  # for a killed first process to be gone
SHUT_DOWN = signal.SIGRTMIN + 4  # systemd: start poweroff.target
MAX_REMOVALS = 20  # an engine that is busy with one of them refuses to remove it


def own_label() -> str:
    """The label of this process's containers: its pid and start time, by which it is known for ever, on this machine and nowhere else.

    An engine may be shared with other machines, or with containers that have pids of their own: what is theirs is not judged here.
    """
    return label_of(os.getpid(), start_ticks(os.getpid()))


def label_of(pid: int, ticks: int | None) -> str:
    """The label of the containers of a keeper on this machine, by its pid and start time."""
    return f"{pid}-{ticks}-{_scope()}"


def _scope() -> str:
    """This machine and this process namespace, in which a pid and a start time mean one process."""
    machine = Path("/etc/machine-id")
    name = machine.read_text().strip() if machine.exists() else socket.gethostname()
    return f"{name}-{Path('/proc/self/ns/pid').stat().st_ino}"


def keeper_lives(label: str) -> bool:
    """Whether the keeper that gave containers this label still runs, or may: nobody here can know of another machine's."""
    pid, ticks, scope = (*label.split("-", 2), "", "")[:3]
    if scope != _scope():
        return True
    return pid.isdigit() and ticks.isdigit() and start_ticks(int(pid)) == int(ticks)


class Keeper:
    """Carries out requests, each in a thread: the engine's commands block."""

    def __init__(self, engine: Engine, line: socket.socket, shared: Path, label: str) -> None:
        self._shared = shared
        self._engine = engine
        self._line = line
        self._label = label
        self._pidfds: dict[str, int] = {}
        self._work = ThreadPoolExecutor(16)

    def serve(self) -> None:
        """Until the lab ends. Then nothing of its containers is left."""
        try:
            while message := self._line.recv(MAX_MESSAGE):
                self._work.submit(self._answer, json.loads(message))
        except ConnectionError as error:
            print(f"the lab ended while it spoke: {error}", file=sys.stderr, flush=True)
        finally:
            for pidfd in list(self._pidfds.values()):
                _kill(pidfd)
            self._work.shutdown(wait=True)  # what is being made is made first, so that it is found
            self._remove_all()
            shutil.rmtree(self._shared)

    def _remove_all(self) -> None:
        for is_last in [*[False] * MAX_REMOVALS, True]:
            try:
                while containers := self._engine.of(self._label):
                    self._engine.remove(containers)
                return
            except HarnessError as error:
                if is_last:
                    raise
                print(f"once more: {error}", file=sys.stderr, flush=True)

    def _answer(self, request: dict[str, Any]) -> None:
        number, operation = request.pop("id"), request.pop("op")
        fds: list[int] = []
        answer: dict[str, Any] = {"id": number}
        try:
            answer["result"] = getattr(self, f"do_{operation}")(fds, **request)
        except Exception as error:  # whatever it is, the lab waits for an answer
            answer["error"] = str(error) if isinstance(error, HarnessError | OSError | ValueError) else repr(error)
        try:
            socket.send_fds(self._line, [json.dumps(answer).encode()], fds)
        except OSError:
            return  # the lab is gone; serve() sees it too
        finally:
            for fd in fds[:1]:  # the second one stays: it is the handle of the container's first process
                os.close(fd)

    def do_create(self, _fds: list[int], *, name: str, seed: str, image: str, **options: Any) -> None:
        """A container, with the files of the folder `seed` laid over the image's."""
        self._engine.create(name, image, label=self._label, **options)
        self._engine.run("cp", f"{seed}/.", f"{name}:/")

    def do_start(self, fds: list[int], *, name: str) -> int:
        """Its first process's pid, with open files of its network namespace and of the process itself."""
        pid = self._engine.start(name)
        fds += [os.open(f"/proc/{pid}/ns/net", os.O_RDONLY), os.pidfd_open(pid)]
        if (old_pidfd := self._pidfds.get(name)) is not None:
            os.close(old_pidfd)
        self._pidfds[name] = fds[1]
        return pid

    def do_kill(self, _fds: list[int], *, name: str, frozen: bool) -> None:
        """The loss of power: its first process is killed, and with it the kernel ends all others."""
        _kill(self._pidfds[name])
        if frozen:
            self._engine.run("unpause", name)  # what is frozen cannot die
        Deadline(END_TIMEOUT_S).wait_for(lambda: _has_ended(self._pidfds[name]), what=f"the end of {name}", every=0.001)

    def do_shut_down(self, _fds: list[int], *, name: str) -> None:
        """Its systemd is asked to power off."""
        signal.pidfd_send_signal(self._pidfds[name], SHUT_DOWN)

    def do_pause(self, _fds: list[int], *, name: str) -> None:
        """Freezes all of its processes."""
        self._engine.run("pause", name)

    def do_unpause(self, _fds: list[int], *, name: str) -> None:
        """Lets them run again."""
        self._engine.run("unpause", name)

    def do_console(self, _fds: list[int], *, name: str) -> str:
        """The last lines that its first process wrote."""
        return self._engine.run("logs", "--tail", "5", name)


def _kill(pidfd: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        return  # it has ended already


def _has_ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(50))


def leftovers(engine: Engine) -> list[str]:
    """Containers whose keeper is gone, killed together with its lab: nobody else would remove them."""
    return [container for label in engine.labels() if not keeper_lives(label) for container in engine.of(label)]


def orphaned_folders() -> list[Path]:
    """Shared folders in memory whose keeper is gone."""
    marks = [mark for mark in MEMORY.glob(f"lkharness-*/{KEEPER}") if _is_ours(mark)]
    return [mark.parent for mark in marks if not keeper_lives(mark.read_text())]


def _is_ours(mark: Path) -> bool:
    """Anybody may make folders there: a pipe would be waited for, and a stranger's folder is not to be removed."""
    mark_status, folder_status = mark.lstat(), mark.parent.lstat()
    return (
        stat.S_ISREG(mark_status.st_mode)
        and stat.S_ISDIR(folder_status.st_mode)
        and mark_status.st_uid == folder_status.st_uid == os.geteuid()
    )


def main() -> None:
    """The keeper's process."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it ends when the lab has ended, not before
    os.chdir("/")
    fd, shared, *engine = sys.argv[1:]
    (Path(shared) / KEEPER).write_text(own_label())
    Keeper(Engine(tuple(engine)), socket.socket(fileno=int(fd)), Path(shared), own_label()).serve()


if __name__ == "__main__":
    main()
