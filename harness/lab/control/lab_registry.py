"""Which labs there are on this machine, as far as this user made them."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.core.deadline import Deadline
from harness.core.errors import BadUse, Unusable
from harness.lab.control import control_socket

KEEPER = "keeper.json"  # in the lab's folder, where it has containers: pid and start time of their keeper
KEEPER_TIMEOUT_S = 120.0  # to remove them, on a busy machine
ANSWER_TIMEOUT_S = 30.0  # of a question that takes no time of its own


def state_folder() -> Path:
    """Where the labs' folders lie: cluster files, keys, logs. No socket, mount or process outlives its lab there."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(base) / "lkharness" / "labs"


def folder_of(name: str) -> Path:
    """The folder of the lab of that name. Raises BadUse for a name that would lead elsewhere: what is there gets removed some day."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", name):
        raise BadUse(f"{name!r} cannot be a lab's name; use letters, digits and - _ . (at most 63, a letter or digit first)")
    return state_folder() / name


@dataclass(frozen=True)
class LabRecord:
    """A lab as its folder tells it; `pid` is its first process."""

    name: str
    folder: Path
    pid: int | None
    start_ticks: int | None

    @property
    def alive(self) -> bool:
        """Whether the lab's first process still runs, told apart from a later process of the same number."""
        return self.pid is not None and start_ticks(self.pid) == self.start_ticks

    @property
    def _azure_alive(self) -> bool:
        """Is there still the process of the stand-in for Azure's API? It ends when it sees the lab's first process end."""
        try:
            process = json.loads((self.folder / "azure" / "process.json").read_text())
        except (OSError, ValueError):
            return False  # this lab has none
        return start_ticks(process["pid"]) == process["start_ticks"]

    @property
    def _keeper_alive(self) -> bool:
        """Is there still the keeper of its containers? It ends when it has removed them, after the lab's first process."""
        try:
            keeper = json.loads((self.folder / KEEPER).read_text())
        except (OSError, ValueError):
            return False  # this lab has none
        return start_ticks(keeper["pid"]) == keeper["start_ticks"]

    @property
    def cluster_file(self) -> Path:
        """The cluster file that the lab wrote for its users."""
        return self.folder / "cluster.toml"

    def ask(self, operation: str, *, limit: float = ANSWER_TIMEOUT_S, **arguments):
        """Carry out an operation of the running lab. Raises BadUse or Unusable."""
        if not self.alive or self.pid is None:
            raise Unusable(f"the lab {self.name!r} is not running; start it with `lkharness lab up --name {self.name}`")
        return control_socket.ask(self.pid, operation, limit=limit, **arguments)

    def set_power(self, host: str, to: str, seconds: float | None = None) -> str:
        """Change a host's power, and return what it is then; waits for as long as a boot of its kind may take, because `on` ends with it.

        Raises BadUse or Unusable.
        """
        boot_s = max((h["boot_timeout_s"] for h in self.ask("status")["hosts"] if h["name"] == host), default=0.0)
        return self.ask("power", limit=boot_s + ANSWER_TIMEOUT_S, node=host, to=to, seconds=seconds)

    def kill(self, *, limit: float = 10.0) -> None:
        """End the lab's first process and wait until it is gone, which the kernel lets happen after everything else of the lab."""
        if self.alive and self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            deadline = Deadline(max(limit, KEEPER_TIMEOUT_S) if self._keeper_alive else limit)
            deadline.wait_for(lambda: not self.alive, what=f"the end of lab {self.name!r}", every=0.001)
            deadline.wait_for(lambda: not self._azure_alive, what=f"the end of Azure's API of lab {self.name!r}", every=0.001)
            deadline.wait_for(lambda: not self._keeper_alive, what=f"the removal of the containers of lab {self.name!r}", every=0.01)

    @property
    def starting(self) -> bool:
        """Does somebody bring it up, or remove it, at this moment? Its folder is theirs then."""
        try:
            with owned(self.folder):
                return False
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False

    def end(self, *, limit: float = 10.0) -> None:
        """Take the lab down and remove its folder. The kernel removes everything else with the first process.

        Raises Unusable while it is being brought up: only who does that knows all that was begun. What somebody has removed meanwhile is as
        good.
        """
        try:
            with owned(self.folder):
                read(self.folder).kill(limit=limit)
                shutil.rmtree(self.folder)
        except BlockingIOError:
            raise Unusable(
                f"the lab {self.name!r} is being brought up, or removed, by another command at this moment; "
                "wait for its end, or end it there"
            ) from None
        except FileNotFoundError:
            self.kill(limit=limit)


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Inside, the lab's folder is this process's: nobody else brings that lab up or removes it. It ends with the process at the latest.

    Raises BlockingIOError when it is somebody's, and FileNotFoundError when there is none (any more).
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        on_disk, opened = folder.stat(), os.fstat(descriptor)
        if (on_disk.st_dev, on_disk.st_ino) != (opened.st_dev, opened.st_ino):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
        yield
    finally:
        os.close(descriptor)


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot: with the pid it names a process for ever. None when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def read(folder: Path) -> LabRecord:
    """What is known of the lab in that folder; without a process where it died before it wrote that down."""
    try:
        data = json.loads((folder / "lab.json").read_text())
    except (OSError, ValueError):
        return LabRecord(folder.name, folder, None, None)  # it died before it could say who it was
    return LabRecord(folder.name, folder, data["pid"], data["start_ticks"])


def all_labs() -> list[LabRecord]:
    """Every lab of this user on this machine, running or not, by name."""
    folder = state_folder()
    return [read(f) for f in sorted(folder.iterdir()) if f.is_dir()] if folder.is_dir() else []


def find(name: str | None) -> LabRecord:
    """The lab of that name, or the only one running. Raises BadUse with what there is."""
    labs = all_labs()
    if name is not None:
        for lab in labs:
            if lab.name == name:
                return lab
        raise BadUse(f"there is no lab named {name!r}; {_what_there_is(labs)}")
    running = [lab for lab in labs if lab.alive]
    if len(running) != 1:
        raise BadUse(f"say which lab with --name; {_what_there_is(labs)}")
    return running[0]


def _what_there_is(labs: list[LabRecord]) -> str:
    if not labs:
        return "there is none, start one with `lkharness lab up`"
    return "there " + ("is " if len(labs) == 1 else "are ") + ", ".join(f"{x.name} ({'running' if x.alive else 'dead'})" for x in labs)
