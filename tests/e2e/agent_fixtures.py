"""What the tests of the agent share: a sink that keeps what comes, services that fail in every way, and an agent that leaves nothing."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.deadline import Deadline
from harness.remote.agents import agent_launch
from harness.remote.agents.agent_launch import AgentPlan, AgentSeries, AgentWatch
from harness.remote.agents.agent_session import Agent
from harness.remote.recording.recording import Clock, NodeEvent, Noise, Sample

SAY, ANSWER, EXPECT = b"who\n", b"me\n", rb"\Ame\n"
LIMIT = 120.0
needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "nsenter", "ip", "nft"))),
    reason="needs root, util-linux, iproute2 and nftables",
)


class Seen:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Sample]] = {}
        self.events: list[NodeEvent] = []
        self.noises: list[Noise] = []
        self.clocks: list[Clock] = []

    def samples(self, series: str, rows: list[Sample]) -> None:
        self.rows.setdefault(series, []).extend(rows)

    def event(self, event: NodeEvent) -> None:
        self.events.append(event)

    def noise(self, noise: Noise) -> None:
        self.noises.append(noise)

    def clock(self, clock: Clock) -> None:
        self.clocks.append(clock)

    def outcomes(self, series: str) -> set[str]:
        return {row.outcome for row in self.rows.get(series, [])}

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def wait_event(self, kind: str, count: int = 1, **data: object) -> NodeEvent:
        """The event of that kind with that data, once there are so many of them; the last of these."""

        def found() -> list[NodeEvent]:
            return [e for e in list(self.events) if e.kind == kind and data.items() <= e.data.items()]

        return Deadline(LIMIT).wait_for(found, what=f"{kind} {data}", every=0.01, until=lambda f: len(f) >= count)[-1]

    def wait_rows(self, series: str, more: int, outcome: str = "") -> None:
        """Wait for so many more samples of that outcome."""

        def count() -> int:
            return sum(1 for row in list(self.rows.get(series, [])) if row.outcome == outcome or not outcome)

        least = count() + more
        Deadline(LIMIT).wait_for(count, what=f"{more} {outcome} samples of {series}", every=0.01, until=lambda n: n >= least)

    def wait_row_after(self, series: str, at: float, outcome: str) -> None:
        """Wait for a sample of that outcome that began after `at`, in seconds on this process's monotonic clock."""

        def found() -> bool:
            return any(row.at > at and row.outcome == outcome for row in list(self.rows.get(series, [])))

        Deadline(LIMIT).wait_for(found, what=f"a sample of {series} that began later and was {outcome}", every=0.01)


class Service:
    """Listens on loopback and treats every connection in one way: answer (slow: after 50 ms), hang, reset, close, babble,
    or (deaf) is not there."""

    def __init__(self, mode: str = "answer") -> None:
        self.mode = mode
        self.port = 0
        self._open: set[socket.socket] = set()
        self._door: socket.socket | None = None
        self.listen()

    def listen(self) -> None:
        self._door = socket.create_server(("127.0.0.1", self.port), backlog=512)
        self.port = self._door.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._door,), daemon=True).start()

    def deaf(self) -> None:
        """Stop listening; connections that stand stay."""
        door, self._door = self._door, None
        if door is not None:
            with contextlib.suppress(OSError):
                door.shutdown(socket.SHUT_RDWR)
            door.close()

    def cut(self) -> None:
        """Reset every connection that stands."""
        for sock in list(self._open):
            self._reset(sock)

    def _accept(self, door: socket.socket) -> None:
        while True:
            try:
                sock, _ = door.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(sock,), daemon=True).start()

    def _talk(self, sock: socket.socket) -> None:
        self._open.add(sock)
        try:
            while sock.recv(100):
                if self.mode == "answer":
                    sock.sendall(ANSWER)
                elif self.mode == "slow":
                    threading.Event().wait(0.05)
                    sock.sendall(ANSWER)
                elif self.mode == "babble":
                    sock.sendall(b"go away\n")
                elif self.mode == "reset":
                    self._reset(sock)
                elif self.mode == "close":
                    sock.close()
        except OSError:
            pass  # reset by the agent, as every connection is
        finally:
            self._open.discard(sock)
            sock.close()

    @staticmethod
    def _reset(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.shutdown(socket.SHUT_RD)
            sock.close()


@contextlib.contextmanager
def service(mode: str = "answer") -> Iterator[Service]:
    made = Service(mode)
    try:
        yield made
    finally:
        made.deaf()
        made.cut()


def series(name: str, port: int, **more: object) -> AgentSeries:
    """With a limit that a busy machine keeps: whoever wants silence gives a short one."""
    given = {"destination": "127.0.0.1", "limit_s": 20.0, "say": SAY, "expect": EXPECT, **more}
    return AgentSeries(name, port=port, **given)  # type: ignore[arg-type]


def plan(folder: Path | str, *series: AgentSeries, watch: AgentWatch | None = None, **more: object) -> AgentPlan:
    given = {"lifetime_s": 60.0, "keep_s": 5.0, **more}
    return AgentPlan(series, watch=watch or AgentWatch(), places=(str(folder),), **given)  # type: ignore[arg-type]


@contextlib.contextmanager
def measuring(host, folder: Path, *series: AgentSeries, python: str = sys.executable, **more) -> Iterator[tuple[Agent, Seen]]:
    """An agent at work; after it, nothing of it is left in `folder`, and everything it wrote has come in."""
    seen = Seen()
    agent = Agent(host, python, plan(folder, *series, **more), seen)
    agent.start()
    try:
        yield agent, seen
    finally:
        trouble = agent.stop()
    assert trouble == []
    assert list(folder.iterdir()) == []


def header(folder: Path | str) -> dict:
    """The first line of the spool of the agent in that folder."""
    with (Path(folder) / "spool").open() as spool:
        return json.loads(spool.readline()[2:])


def processes_of(folder: Path | str) -> list[int]:
    """Those that have the folder's name in their command line: the agent, its guard, its followers."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.fsencode(str(folder)) in (place / "cmdline").read_bytes() and place.name != str(os.getpid()):
                found.append(int(place.name))
    return found


@contextlib.contextmanager
def namespace(*kinds: str, setup: str = "true") -> Iterator[list[str]]:
    """A network (`-n`) or mount (`-m`) namespace of our own; yields the words that run a command in it."""
    words = ["unshare", *kinds, "sh", "-c", f"set -e; {setup}; echo ready; exec cat"]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        yield ["nsenter", "-t", str(process.pid), *kinds]
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(120)
        process.stdout.close()


def nothing_of(folder) -> None:
    Deadline(LIMIT).wait_for(lambda: processes_of(folder) == [] and list(folder.iterdir()) == [], what="nothing is left", every=0.02)


def complete(agent: Agent, seen: Seen) -> None:
    """Every sample that the agent wrote came in, once."""
    assert agent.complete and agent._life.taken == sum(map(len, seen.rows.values()))
    starts = [row.at for rows in seen.rows.values() for row in rows]
    assert len(set(starts)) == len(starts)


def launched(host, folder, **more) -> str:
    given = plan(folder, series("t", 1), **more)
    return agent_launch.launch(host, sys.executable, given, agent_launch.new_folders(given), lifetime_s=given.lifetime_s, limit=LIMIT)
