"""The harness as somebody at a shell has it: its commands as processes, labs in a state folder of their own, and what a lab
has in this machine while it lives."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli_w

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded
from harness.lab.control import lab_registry, nsenter
from harness.lab.lifecycle import default_cluster
from tests.e2e import forked_commands
from tests.pytest_process import PYTEST

REPOSITORY = Path(__file__).resolve().parents[2]
NAMESPACES = ("pid", "net", "mnt", "uts", "ipc", "user")
_OUR_PIDS = Path("/proc/self/ns/pid").stat().st_ino


class Shell:
    """Runs commands with a state folder that no other test and no person uses."""

    def __init__(self, folder: Path) -> None:
        self.home = folder
        self.labs = folder / "lkharness" / "labs"
        kept = {k: v for k, v in os.environ.items() if k not in ("LKHARNESS_CLUSTER", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST")}
        self.environment = {**kept, "XDG_STATE_HOME": str(folder), "COLUMNS": "120"}
        self._begun: list[subprocess.Popen[str] | forked_commands.Begun] = []

    def begin(self, *words: object, **environment: str) -> subprocess.Popen[str]:
        """Start `python …` in the repository; it is ended with the test."""
        process = subprocess.Popen(
            [sys.executable, *map(str, words)],
            cwd=REPOSITORY,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._begun.append(process)
        return process

    def begin_forked(self, *words: object) -> forked_commands.Begun:
        """The same for a command of ours that is to be killed once it works, which costs as much as its start as a new interpreter."""
        begun = forked_commands.begin([str(word) for word in words], folder=REPOSITORY, environment=self.environment)
        self._begun.append(begun)
        return begun

    def lkharness(self, *words: object, limit: float = 300.0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command `lkharness` to its end."""
        return self._run(("-m", "harness.cli", *words), limit, environment)

    def pytest(self, *words: object, limit: float = 600.0, **environment: str) -> subprocess.CompletedProcess[str]:
        return self._run((*PYTEST, *words), limit, environment)

    def _run(self, words: tuple[object, ...], limit: float, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        chosen, line = {**self.environment, **environment}, [str(word) for word in words]
        if forked_commands.can_run(line, chosen):
            return forked_commands.run(line, folder=REPOSITORY, environment=chosen, limit_s=limit)
        process = self.begin(*words, **environment)
        out, err = process.communicate(timeout=limit)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def up(self, *words: object) -> dict[str, Any]:
        """Bring a lab up; returns its status."""
        done = self.lkharness("lab", "up", *words)
        assert done.returncode == 0, done.stderr
        return self.status(*(["--name", words[words.index("--name") + 1]] if "--name" in words else []))

    def patient(self) -> Path:
        """Settings for a lab whose paths may take a busy machine's time: for tests of anything but how long a path was out."""
        file = self.home / "patient.toml"
        file.write_text("[budget]\nmargin_s = 60.0\n")
        return file

    def modest(self, *services: str, check_interval_s: float = 5.0) -> Path:
        """The same for a lab with these services only, which its manager checks rarely: what a command or a run costs grows with the
        services that it asks, and the lab itself costs what its checks do. For tests of anything that is so with any services."""
        self.home.mkdir(parents=True, exist_ok=True)
        file = self.home / "modest.toml"
        chosen = [s for s in default_cluster.DEFAULT_CLUSTER["services"] if s["name"] in services]
        assert len(chosen) == len(services), services
        timers = {"budget": {"margin_s": 60.0}, "manager": {"check_interval_s": check_interval_s}}
        file.write_text(tomli_w.dumps({"services": chosen, **timers}))
        return file

    def asleep(self, *services: str) -> Path:
        """The same, and the manager checks nothing by itself, so that nobody mends what a test breaks."""
        file = self.home / "asleep.toml"
        file.write_text(f"{self.modest(*services).read_text()}\n[lab.lifekeeper]\nLKCHECKINTERVAL = 3500.0\n")
        return file

    def status(self, *words: object) -> dict[str, Any]:
        done = self.lkharness("lab", "status", "--json", *words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def inside(self, lab: str, host: str, line: str) -> str:
        """What a line says to a shell in a host of a lab. By no command of ours, which costs many times as much as most lines do."""
        done = nsenter.run(lab_registry.read(self.labs / lab), host, ["sh", "-c", line], limit=300.0)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def folders(self) -> list[str]:
        """What lies in the labs' folder."""
        return sorted(p.name for p in self.labs.iterdir()) if self.labs.is_dir() else []

    def close(self) -> None:
        """End what this test began, and no more: the labs before the last word of a command is waited for, because what a command has left
        running in a lab may hold the command's output open for as long as the lab lives."""
        for process in self._begun:
            if process.poll() is None:
                process.kill()
                process.wait()
        for folder in self.labs.iterdir() if self.labs.is_dir() else ():
            if folder.is_dir():
                lab_registry.read(folder).end()
        for process in self._begun:
            process.communicate()
            if isinstance(process, forked_commands.Begun):
                process.close()


@contextlib.contextmanager
def shell_in(folder: Path) -> Iterator[Shell]:
    shell = Shell(folder)
    try:
        yield shell
    finally:
        shell.close()


def one_sentence(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The command ended with this code and one line for a person, and with nothing of the machinery; returns the line."""
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stdout + done.stderr
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("lkharness: ")]
    assert not done.stdout.strip() and done.stderr.rstrip().endswith(line)
    return line


def processes() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208  (asked very often, see below)


def namespaces(pid: int) -> set[tuple[str, int]]:
    """The namespaces that a process is in; none when it has ended."""
    found = set()
    for kind in NAMESPACES:
        with contextlib.suppress(OSError):
            found.add((kind, os.stat(f"/proc/{pid}/ns/{kind}").st_ino))  # noqa: PTH116  (asked thousands of times, a Path would cost more)
    return found


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def descendants(pid: int) -> set[int]:
    """A process and everything below it."""
    parents: dict[int, int] = {}
    for one in processes():
        with contextlib.suppress(OSError):
            parents[one] = parent_of(one)
    found = {pid}
    while more := {p for p, parent in parents.items() if parent in found} - found:
        found |= more
    return found


class Traces:
    """What a lab has in this machine: taken while it lives, looked for after its end.

    `name` tells it from others of the same shell; without it the shell has no other lab.
    """

    def __init__(self, shell: Shell, pid: int, name: str | None = None) -> None:
        self._mark = str(shell.labs / name if name else shell.home)
        self.first = pid
        self.pids = descendants(pid)
        self._began = {p: lab_registry.start_ticks(p) for p in self.pids}
        self._taken = time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK")
        self.namespaces = set().union(*map(namespaces, self.pids)) - namespaces(os.getpid())
        self.ports = _ssh_ports(shell, name or "*")

    def kill(self) -> None:
        """`kill -9` of the lab's first process."""
        assert self.namespaces, "the lab was not seen at all, so its absence would prove nothing"
        os.kill(self.first, signal.SIGKILL)

    def left(self) -> list[str]:
        """Everything that is still there, in words."""
        suspects = [p for p in processes() if self._may_be_ours(p)]
        held = [f"process {p} ({_command_of(p)}) is in a namespace of the lab" for p in suspects if namespaces(p) & self.namespaces]
        strangers = [f"process {p} ({_command_of(p)}) belongs to the lab" for p in processes() if self._is_ours(p)]
        return [*held, *strangers, *self._open_namespaces(suspects), *self._mounts(), *self._sockets(), *_rules()]

    def gone(self, *, limit: float = 120.0) -> None:
        """Nothing of the lab is left, within a time that a busy machine keeps too."""
        deadline = Deadline(limit)
        with contextlib.suppress(DeadlineExceeded):  # a look at every process of the machine is for when those that were known have gone
            deadline.wait_for(self._alive, until=lambda alive: not alive, what="the lab's processes ending")
        deadline.wait_for(self.left, until=lambda left: not left, what="the lab leaving nothing behind")

    def _alive(self) -> list[int]:
        return [pid for pid, began in self._began.items() if began is not None and lab_registry.start_ticks(pid) == began]

    def _may_be_ours(self, pid: int) -> bool:
        """The kernel gives a dead lab's namespace numbers to the next lab, of another test: a process in one of them counts where it comes
        from a process that this lab had, or was there with it, outside every lab. What began later carries the lab's mark."""
        began = lab_registry.start_ticks(pid)
        own = {kind: inode for kind, inode in namespaces(pid)}.get("pid")
        return began is not None and (self._descends(pid) or (own == _OUR_PIDS and began <= self._taken))

    def _descends(self, pid: int) -> bool:
        while pid > 1:
            if pid in self._began and self._began[pid] == lab_registry.start_ticks(pid):
                return True
            try:
                pid = parent_of(pid)
            except OSError:
                return False
        return False

    def _is_ours(self, pid: int) -> bool:
        """What a lab starts has its folder in the command line, or at least the test's own state folder in its environment."""
        mark = self._mark.encode()
        with contextlib.suppress(OSError):
            return pid != os.getpid() and any(mark in Path(f"/proc/{pid}/{f}").read_bytes() for f in ("environ", "cmdline"))
        return False

    def _open_namespaces(self, suspects: list[int]) -> list[str]:
        """A namespace lives as long as somebody has it open."""
        names = {f"{kind}:[{inode}]" for kind, inode in self.namespaces}
        found = []
        for pid in suspects:
            with contextlib.suppress(OSError):
                for fd in Path(f"/proc/{pid}/fd").iterdir():
                    with contextlib.suppress(OSError):
                        if str(fd.readlink()) in names:
                            found.append(f"process {pid} ({_command_of(pid)}) holds {fd.readlink()} open")
        return found

    def _mounts(self) -> list[str]:
        marks = [self._mark, "/run/lab", *(f"{kind}:[{inode}]" for kind, inode in self.namespaces)]
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return [f"mounted here: {line}" for line in lines if any(mark in line for mark in marks)]

    def _sockets(self) -> list[str]:
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        listening = {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A"}
        return [f"port {p} is still listened on" for p in sorted(listening & self.ports)]


def _ssh_ports(shell: Shell, name: str) -> set[int]:
    """The loopback ports of a lab, as far as it has got."""
    lines = [line for file in shell.labs.glob(f"{name}/known_hosts") for line in file.read_text().splitlines()]
    return {int(line.split("]:")[1].split()[0]) for line in lines if "]:" in line}


def _rules() -> list[str]:
    """The lab's own tables in this network namespace, where none has a place."""
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout
    return [f"a table of rules is here: {line}" for line in tables.splitlines() if line.split()[-1] in ("fabric", "balancer", "nsg")]


def _command_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:80]
    return "ended"
