"""The lines of an agent's spool and of its follower, read into what a recording holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.core.text.host_text import cut_at_word
from harness.hosts.host import NotReadable
from harness.hosts.output_limits import LineSplitter
from harness.remote.agents.clock_sync import HostClock
from harness.remote.recording.recording import Clock, NodeEvent, Noise, Sample

if TYPE_CHECKING:
    from harness.remote.agents.agent_session import Sink

MAX_WAITING_BYTES = 32 * 1024 * 1024  # bytes of lines that wait for the clock: more than an hour's
MAX_COMPLAINT_LENGTH = 600
OUTCOMES = {"a": "answered", "r": "refused", "s": "silent", "x": "reset", "u": "unreachable", "k": "skipped"}


@dataclass
class AgentRun:
    """One agent process, from its start to its end. `offset`: so many bytes of its spool have been dealt with."""

    folder: str
    clock: HostClock
    offset: int = 0
    t0: float = 0.0
    series: tuple[str, ...] = ()
    taken: int = 0
    wrote: int | None = None  # samples, by its own count; known at its end
    reason: str = ""
    final: bool = False


class Reader:
    """Reads one connection's stream. Lines wait until the clock is known, and count as dealt with only then."""

    def __init__(self, life: AgentRun, host: str, sink: Sink) -> None:
        self.life, self._host, self._sink = life, host, sink
        self.running = False
        self.began = False  # the agent was found running a moment ago
        self.over = False  # it is gone, and all it wrote was read
        self.complaint = ""  # what somebody else (a shell, an interpreter) printed into the stream
        self._lines = LineSplitter()
        self._waiting_bytes = 0  # bytes that wait for the clock
        self._waiting: list[bytes] = []
        self._rows: dict[str, list[Sample]] = {}

    def take(self, data: bytes, now: float) -> Iterator[tuple[bytes, Clock | None]]:
        """Deal with what came in at `now`; yields what to send, and clocks, as they come about."""
        for line in self._lines.feed(data):
            if line[:2] == b"p ":
                number, mono, wall = line[2:].split()
                yield self.life.clock.take_echo(int(number), float(mono), float(wall), now=now)
            elif line == b"x":
                self.over = True
            elif line[:2] == b"h ":
                self.running = self.began = line == b"h running"
            elif line[:2] in (b"a ", b"s ", b"v ", b"n ", b"e "):
                self._waiting.append(line)
                self._waiting_bytes += len(line) + 64
                if self._waiting_bytes > MAX_WAITING_BYTES:
                    raise NotReadable(
                        f"{self._host}: it has sent {MAX_WAITING_BYTES >> 20} MiB and not told its clock; is that host in order?"
                    )
            elif line.strip():
                self.complaint = cut_at_word(line.decode("utf-8", "replace").strip(), MAX_COMPLAINT_LENGTH)
        if self.life.clock.best is not None:
            self._deal()

    def _deal(self) -> None:
        for line in self._waiting:
            self._take_line(line[:1], line[2:].decode("utf-8", "replace"))
            self.life.offset += len(line) + 1
        self._waiting.clear()
        self._waiting_bytes = 0
        rows, self._rows = self._rows, {}
        for series, samples in rows.items():
            self._sink.samples(series, samples)

    def _take_line(self, kind: bytes, text: str) -> None:
        life = self.life
        if kind == b"s":
            series, at, took, outcome, port, detail = text.split(" ", 5)
            if int(took) < 0:  # nothing ends before it begins: neither of its two moments can be believed
                took, outcome, port, detail = "0", "k", "0", f"its host's clock went back by {-int(took) / 1e6:g} s meanwhile"
            sample = Sample(self._time(at), int(took) / 1e6, OUTCOMES[outcome], int(port), detail)
            self._rows.setdefault(life.series[int(series)], []).append(sample)
            life.taken += 1
        elif kind == b"n":
            at, ticks, late, worst, steal, load = text.split(" ")
            self._sink.noise(Noise(self._time(at), self._host, int(ticks), int(late), int(worst) / 1e6, float(steal), float(load)))
        elif kind == b"v":
            record = json.loads(text)
            self._sink.event(NodeEvent(self._time(record["at"]), self._host, record["kind"], record["text"], record["data"]))
        elif kind == b"a":
            record = json.loads(text)
            life.t0, life.series = record["t0"], tuple(record["series"])
        else:
            record = json.loads(text)
            life.reason, life.final, life.wrote = record["reason"], record["final"], record["samples"]

    def _time(self, micros: str | int) -> float:
        return self.life.clock.time(self.life.t0 + int(micros) / 1e6)
