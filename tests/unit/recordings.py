"""Recordings made by hand: a cluster whose balancer, VIP holder and services follow a script, measured by an open loop in pure code."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.remote.recording.recording import (
    NEW,
    CapturedPacket,
    Clock,
    Header,
    Mark,
    NodeEvent,
    Noise,
    Recorder,
    Recording,
    Sample,
    Series,
    Token,
)

CLIENT, A, B = "lkclient", "lknode01", "lknode02"
VIP = "10.20.1.200"
ADDRESSES = {CLIENT: ["10.20.1.20"], A: ["10.20.1.11", "10.20.2.11"], B: ["10.20.1.12", "10.20.2.12"]}
LISTENER, PROBE = 1521, 12345
RTT = 0.0004
NOBODY = None


def a_series(origin: str = CLIENT, *, period: float = 0.01, limit: float = 0.25, kind: str = NEW, service: str = "listener") -> Series:
    return Series(f"{origin}/{service}/{kind}", origin, service, kind, LISTENER, period, limit)


def a_header(**changes) -> Header:
    plain = Header(
        disruption="switchover",
        sentence="everything is moved to the standby node",
        design="nat",
        vip=VIP,
        client=CLIENT,
        nodes=(A, B),
        addresses=ADDRESSES,
        active=A,
        target=A,
        moves=True,
        expects={"client": "recovers", "inside": "recovers", "standby": "recovers"},
        budget_s=8.1,
        budget_because="takeover 2 + probe 1 s",
        probe_port=PROBE,
        probe_source="168.63.129.16",
        probe_interval_s=0.5,
        series=tuple(a_series(origin) for origin in (CLIENT, A, B)),
    )
    return replace(plain, **changes)


def open_loop(
    series: Series, fate: Callable[[float], tuple[str, float]], *, start: float, end: float, late: Callable[[], float] = lambda: 0.0
) -> list[Sample]:
    """Attempts at every period from `start` to `end`; `fate` tells outcome and seconds of one that begins at a moment."""
    rows, tick = [], 0
    period_s = series.period_s
    while (due := start + tick * period_s) < end:
        at = due + late()
        outcome, seconds = fate(at)
        rows.append(Sample(at, seconds, outcome, 20000 + tick % 40000))
        tick += 1
    return rows


def during_a_cut(begin: float, length: float, *, rtt: float = RTT, limit: float = 0.25) -> Callable[[float], tuple[str, float]]:
    """An attempt is silent when any of its packets would travel during the cut; its SYN is sent again after 1 and 3 seconds."""

    def fate(at: float) -> tuple[str, float]:
        for again in (0.0, 1.0, 3.0):
            sent = at + again
            if again + rtt > limit:
                break
            if not (sent < begin + length and sent + rtt > begin):
                return "answered", again + rtt
        return "silent", limit

    return fate


def during_a_freeze(begin: float, length: float, *, rtt: float = RTT, limit: float = 0.25) -> Callable[[float], tuple[str, float]]:
    """A frozen service: the kernel completes handshakes, and everything is answered once it thaws."""

    def fate(at: float) -> tuple[str, float]:
        takes = rtt if at + rtt <= begin or at >= begin + length else begin + length + rtt - at
        return ("answered", takes) if takes <= limit else ("silent", limit)

    return fate


@dataclass
class Script:
    """What the cluster does: lists of (from that moment on, node); None is nobody. A node may be cut from the wire or refuse."""

    balancer: list[tuple[float, str | None]]
    holder: list[tuple[float, str | None]]
    refusing: list[tuple[float, float, str]] = field(default_factory=list)  # from, to, node: its service is down
    dead: list[tuple[float, float, str]] = field(default_factory=list)  # from, to, node: silent, and nothing is seen there
    hash_decides: Callable[[float], str | None] | None = None

    def fate(self, origin: str, at: float) -> tuple[str, str | None, bool]:
        """Outcome, node that gets the SYN (None: nobody), and whether it travels by that host's lo."""
        inside = _then(self.holder, at) == origin
        node = origin if inside else (self.hash_decides(at) if self.hash_decides else _then(self.balancer, at))
        if node is None or _is(self.dead, at, node) or (node == origin and not inside):
            return "silent", node if node is not None and not _is(self.dead, at, node) else None, False
        return ("refused" if _is(self.refusing, at, node) else "answered"), node, inside


def _then(rows: list[tuple[float, str | None]], at: float) -> str | None:
    for since, what in reversed(rows):
        if since <= at:
            return what
    return None


def _is(spans: list[tuple[float, float, str]], at: float, node: str) -> bool:
    return bool(spans) and any(start <= at < end and node == of for start, end, of in spans)


def play(header: Header, script: Script, *, start: float = 0.0, end: float = 10.0, blind: tuple[str, ...] = (), seed: int = 1) -> Recording:
    """The recording of a script, with sightings, clocks and quiet noise; marks and events are for the test to add."""
    recording = Recording(header, complete=True)
    phases = random.Random(seed)
    for number, series in enumerate(header.series):
        rows = []
        moments = open_loop(series, lambda at: ("", 0.0), start=start + phases.random() * series.period_s, end=end)
        for tick, moment in enumerate(moments):
            port = 20000 + (tick * len(header.series) + number) % 40000
            if _is(script.dead, moment.at, series.origin):
                continue
            outcome, node, inside = script.fate(series.origin, moment.at)
            rows.append(Sample(moment.at, series.limit_s if outcome == "silent" else RTT, outcome, port))
            if node is not None and node not in blind:
                recording.sightings += _sightings(moment.at, series, port, node, outcome, inside)
        recording.samples[series.id] = rows
    for host in (header.client, *header.nodes):
        recording.clocks.append(Clock(host, start, 0.0, 0.0005))
        recording.noise += [Noise(start + second, host, 100, 0, 0.001, 0.0, 0.1) for second in range(1, int(end - start) + 2)]
    recording.events += [NodeEvent(start, node, "no-capture", "not allowed") for node in blind]
    return recording


def _sightings(at: float, series: Series, port: int, node: str, outcome: str, inside: bool) -> list[CapturedPacket]:
    here, nic = at + RTT / 2, "lo" if inside else "eth0"
    source = VIP if inside else ADDRESSES[series.origin][0]
    there = VIP if inside else ADDRESSES[node][0]
    seen = [CapturedPacket(here, node, nic, "syn", source, port, there, series.port, inside)]
    if outcome == "answered":
        seen.append(CapturedPacket(here, node, nic, "syn-ack", there, series.port, source, port, True))
    if not inside and series.origin in (A, B):  # the origin sees it leave
        seen.append(CapturedPacket(at, series.origin, "eth0", "syn", source, port, VIP, series.port, True))
    return seen


def marks(recording: Recording, **moments: float | None) -> Recording:
    """`begin=2.0, undo_begin=5.0`; what is not given came at once with the one before it, and the end at the end. None: it never came."""
    begin = moments.get("begin")
    if begin is not None:
        last = max(row.at for rows in recording.samples.values() for row in rows)
        undone = moments.get("undo_begin")
        ending = {"undo_begin": last, "undone": last if undone is None else undone, "whole": last}
        moments = {"begin": begin, "took_effect": begin, **ending, **moments}
    recording.marks += [Mark(at, kind.replace("_", "-")) for kind, at in moments.items() if at is not None]
    return recording


def a_switchover(**changes) -> Recording:
    """At 2.0 everything is moved from A to B: clients are out from 2.5 to 3.7, the old node until then too, the new one until 3.2."""
    script = Script(balancer=[(0, A), (2.5, None), (3.7, B)], holder=[(0, A), (2.5, None), (3.2, B)])
    recording = play(a_header(**changes), script)
    marks(recording, begin=2.0, done=3.4, took_effect=3.5, undo_begin=6.0, undone=6.0, whole=6.5)
    recording.events += [
        NodeEvent(0.0, A, "vip-up"),
        NodeEvent(0.0, A, "listener-up", data={"port": LISTENER}),
        NodeEvent(2.05, A, "log", "a line about something else"),
        NodeEvent(2.1, B, "log", "lkcheck: restore begins", {"means": "noticed"}),
        NodeEvent(2.5, A, "listener-down", data={"port": LISTENER}),
        NodeEvent(2.6, A, "vip-down"),
        NodeEvent(3.1, B, "vip-up"),
        NodeEvent(3.2, B, "listener-up", data={"port": LISTENER}),
    ]
    probe = ("eth0", "syn-ack", ADDRESSES[B][0], PROBE, "168.63.129.16", 5000, True)
    recording.sightings += [CapturedPacket(3.3 + n * 0.5, B, *probe) for n in range(13)]
    recording.tokens += [Token(1.0 + n, CLIENT, f"t{n}", True, 0.01, A if n < 2 else B) for n in range(5)]
    recording.read_back = {f"t{n}": 1 for n in range(5)}
    return recording


def store(recording: Recording, path: Path) -> Path:
    """As the meter would have written it."""
    with Recorder(path, recording.header) as recorder:
        for series, rows in recording.samples.items():
            for first in range(0, len(rows), 50):
                recorder.samples(series, rows[first : first + 50])
        recorder.sightings(recording.sightings)
        for rows in (recording.events, recording.marks, recording.budgets, recording.clocks, recording.noise, recording.tokens):
            for one in rows:
                recorder.add(one)
        if recording.read_back is not None:
            recorder.read_back(recording.read_back)
    return path
