"""What the measuring agent costs and how well it measures, as figures; `./run bench` prints them.

The services it measures here are processes of their own on loopback, so that only the agent is accounted for.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.core.deadline import Deadline
from harness.hosts.local_host import LocalHost
from harness.remote.agents.agent_launch import AgentPlan, AgentSeries, AgentWatch
from harness.remote.agents.agent_session import Agent
from harness.remote.recording.recording import Clock, NodeEvent, Noise, Sample
from tests.bench.rows import Row, row

SERVER = r"""
import socket, sys
port = int(sys.argv[1])
def listen():
    door = socket.create_server(("127.0.0.1", port), backlog=1024)
    return door, door.getsockname()[1]
import select, time
door, port = listen()
print(port, flush=True)
poll = select.poll(); poll.register(0, select.POLLIN)
def wait(door, seconds):
    end = time.monotonic() + seconds if seconds is not None else None
    while end is None or time.monotonic() < end:
        fds = [0] + ([door] if door else [])
        ready = select.select(fds, [], [], None if end is None else max(0, end - time.monotonic()))[0]
        if door in ready:
            sock, _ = door.accept()
            try: sock.recv(64); sock.sendall(b"S")
            except OSError: pass
            sock.close()
        if 0 in ready:
            return sys.stdin.readline()
    return ""
while True:
    line = wait(door, None)
    if not line: break
    door.close()
    began = time.monotonic()
    wait(None, float(line))
    door, _ = listen()
    print(began, time.monotonic(), flush=True)
"""


@dataclass(frozen=True)
class Cost:
    """Of the agent's process: the fraction of one core, resident memory, and how many ticks were kept in time."""

    cpu: float
    rss_mb_begin: float
    rss_mb_end: float
    ticks: int
    late_ticks: int
    samples: int


class _Sink:
    def __init__(self) -> None:
        self.rows: list[Sample] = []
        self.noises: list[Noise] = []
        self.count = 0
        self.keep = False

    def samples(self, series: str, rows: list[Sample]) -> None:
        self.count += len(rows)
        if self.keep:
            self.rows.extend(rows)

    def event(self, event: NodeEvent) -> None: ...
    def clock(self, clock: Clock) -> None: ...
    def noise(self, noise: Noise) -> None:
        self.noises.append(noise)


def cost(period_s: float, seconds: float, *, watch: bool = True) -> Cost:
    """Measure one path at that period for so long."""
    with _measuring(period_s, seconds + 60, watch=watch) as (agent, sink, _):
        pid = _pid(agent)
        spent, began, rss = _spent(pid), time.monotonic(), _rss_mb(pid)
        _pass(seconds)
        used = (_spent(pid) - spent) / (time.monotonic() - began)
        return Cost(used, rss, _rss_mb(pid), sum(n.ticks for n in sink.noises), sum(n.late_ticks for n in sink.noises), sink.count)


@dataclass(frozen=True)
class Soak:
    """Of the agent over time: resident memory, its slope once it has settled, and how fast its spool grows."""

    rss_mb_begin: float
    rss_mb_end: float
    rss_mb_per_hour: float
    spool_mb_per_hour: float
    samples: int


def soak(period_s: float, seconds: float) -> Soak:
    """Measure one path for so long and look at the agent's memory each second. The slope leaves out the first third."""
    with _measuring(period_s, seconds + 60, watch=True) as (agent, sink, _):
        assert agent.folder is not None
        pid, spool, began = _pid(agent), Path(agent.folder) / "spool", time.monotonic()
        first = spool.stat().st_size
        looks = [(0.0, _rss_mb(pid))]
        while looks[-1][0] < seconds:
            _pass(min(1.0, seconds))
            looks.append((time.monotonic() - began, _rss_mb(pid)))
        settled = [look for look in looks if look[0] >= seconds / 3]
        slope = statistics.linear_regression(*zip(*settled, strict=True)).slope if len(settled) > 1 else 0.0
        written = (spool.stat().st_size - first) / (time.monotonic() - began) / 1024**2
        return Soak(looks[0][1], looks[-1][1], slope * 3600, written * 3600, sink.count)


def cut_errors(period_s: float, cuts: list[float]) -> list[tuple[float, float]]:
    """For each cut of so many seconds: how long it truly was, and how much longer it was measured, both in seconds.

    A cut begins when the service has stopped listening and ends when it listens again, by the service's own clock, which is the same.
    """
    errors = []
    with _measuring(period_s, 60 + 3 * sum(cuts), watch=False) as (_, sink, server):
        sink.keep = True
        assert server.stdin is not None and server.stdout is not None
        for cut in cuts:
            sink.rows.clear()
            _pass(0.2)
            server.stdin.write(f"{cut}\n")
            server.stdin.flush()
            began, ended = map(float, server.stdout.readline().split())
            _pass(0.4)
            rows = sorted(sink.rows)
            failed = [row.at for row in rows if row.outcome != "answered"]
            if not failed:
                errors.append((ended - began, float("nan")))  # missed
                continue
            right = min(row.at for row in rows if row.at > failed[-1])
            errors.append((ended - began, (right - failed[0]) - (ended - began)))
    return errors


@contextlib.contextmanager
def _measuring(period_s: float, lifetime_s: float, *, watch: bool) -> Iterator[tuple[Agent, _Sink, subprocess.Popen[str]]]:
    server = subprocess.Popen([sys.executable, "-c", SERVER, "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    port = int(server.stdout.readline())
    with tempfile.TemporaryDirectory(prefix="lkharness-bench-") as folder:
        series = AgentSeries("bench", "127.0.0.1", port, period_s=period_s, say=b"x", expect=rb"\AS")
        watched = AgentWatch("127.0.0.1", (port,)) if watch else AgentWatch()
        sink = _Sink()
        agent = Agent(LocalHost("here"), sys.executable, AgentPlan([series], lifetime_s, watched, places=("/dev/shm", folder)), sink)
        try:
            agent.start()
            yield agent, sink, server
        finally:
            agent.stop()
            server.kill()
            server.communicate()


def _pass(seconds: float) -> None:
    threading.Event().wait(Deadline(seconds).remaining())


def _pid(agent: Agent) -> int:
    assert agent.folder is not None
    with (Path(agent.folder) / "spool").open() as spool:
        return int(json.loads(spool.readline()[2:])["pid"])


def _spent(pid: int) -> float:
    """Processor seconds of a process so far, its own and the kernel's for it."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mb(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


COST_S = 5.0


def rows(runs: int, soak_s: float) -> Iterator[Row]:
    """What the agent costs: processor at either period, and memory over `soak_s` seconds at the usual one."""
    for period, bar in ((0.001, "30"), (0.01, "")):
        found = [cost(period, COST_S) for _ in range(runs)]
        name = f"agent, one path at {period * 1000:g} ms"
        yield row(f"{name}: of one core", "%", [100 * c.cpu for c in found], bar)
        yield row(f"{name}: ticks that were late", "%", [100 * c.late_ticks / max(1, c.ticks) for c in found], "2")
    one = soak(0.01, soak_s)
    name = f"agent, one path at 10 ms for {soak_s:g} s"
    yield row(f"{name}: memory at the start", "MB", [one.rss_mb_begin], "40", soak_s=soak_s)
    yield row(f"{name}: memory at the end", "MB", [one.rss_mb_end], "40", soak_s=soak_s)
    yield row(f"{name}: slope of its memory after the first third", "MB/h", [one.rss_mb_per_hour], "flat", soak_s=soak_s)
    yield row(f"{name}: growth of its spool in /dev/shm", "MB/h", [one.spool_mb_per_hour], soak_s=soak_s)
