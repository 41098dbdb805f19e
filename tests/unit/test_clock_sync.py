"""A host's clock from its echoes, and the lines of a spool read into samples and events."""

from __future__ import annotations

import time

import pytest

from harness.remote.agents.agent_launch import AgentSeries
from harness.remote.agents.clock_sync import MAX_CLOCK_DRIFT, HostClock
from harness.remote.agents.spool_reader import AgentRun, Reader
from harness.remote.recording.recording import PINNED


def burst(clock: HostClock, trips: list[float], *, ahead: float):
    """Echoes with these round trips, of a host whose clock is `ahead` of ours; what the burst came to."""
    word, found = clock.begin(len(trips)), None
    for trip in trips:
        number, sent = int(word.split()[1]), clock._sent[int(word.split()[1])]
        word, found = clock.take_echo(number, sent + trip / 2 + ahead, 0.0, now=sent + trip)
    assert word == b""
    return found


def test_the_smallest_round_trip_counts() -> None:
    found = burst(HostClock("h"), [0.4, 0.002, 0.1], ahead=1000.0)
    assert found.offset_s == pytest.approx(-1000.0, abs=1e-6)
    assert found.error_s == pytest.approx(0.001, abs=1e-6)


def test_a_worse_clock_takes_over_only_when_drift_may_have_made_the_old_one_worse() -> None:
    clock = HostClock("h")
    first = burst(clock, [0.002], ahead=5.0)
    assert burst(clock, [0.2], ahead=5.0) is None and clock.best is first
    clock.best = type(first)("h", first.at - 0.2 / MAX_CLOCK_DRIFT, first.offset_s, first.error_s)
    assert burst(clock, [0.2], ahead=5.0) is clock.best


def test_echoes_of_an_earlier_burst_are_not_taken() -> None:
    clock = HostClock("h")
    stale = int(clock.begin(2).split()[1])
    clock.begin(2)
    assert clock.take_echo(stale, 1.0, 1.0, now=time.monotonic()) == (b"", None)


class Kept:
    def __init__(self) -> None:
        self.said: list[tuple] = []

    def samples(self, series, rows) -> None:
        self.said.append((series, [(round(r.at, 6), r.seconds, r.outcome, r.port, r.detail) for r in rows]))

    def event(self, event) -> None:
        self.said.append((event.kind, event.text, round(event.at, 6)))

    noise = clock = event


SPOOL = (
    b'a {"t0": 100.0, "series": ["one", "two"]}\n'
    b"s 0 500000 250 a 40000 \n"
    b"s 1 600000 0 k 0 EMFILE of all\n"
    b'v {"at": 700000, "kind": "vip-up", "text": "eth1", "data": {}}\n'
    b'e {"at": 800000, "reason": "r", "final": true, "samples": 2}\n'
)


def known_clock() -> HostClock:
    clock = HostClock("h")
    burst(clock, [0.0], ahead=0.0)
    return clock


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_spool_is_read_alike_however_it_is_cut(size: int) -> None:
    kept, life = Kept(), AgentRun("f", known_clock())
    reader = Reader(life, "h", kept)
    for i in range(0, len(SPOOL), size):
        assert list(reader.take(SPOOL[i : i + size], 0.0)) == []
    assert sorted(kept.said) == [
        ("one", [(100.5, 0.00025, "answered", 40000, "")]),
        ("two", [(100.6, 0.0, "skipped", 0, "EMFILE of all")]),
        ("vip-up", "eth1", 100.7),
    ]
    assert (life.offset, life.taken, life.wrote, life.reason, life.final) == (len(SPOOL), 2, 2, "r", True)


def test_half_a_line_does_not_count_as_read() -> None:
    life = AgentRun("f", known_clock())
    list(Reader(life, "h", Kept()).take(SPOOL[:60], 0.0))
    assert life.offset == SPOOL.index(b"\n") + 1


def test_nothing_is_dealt_with_before_the_clock_is_known() -> None:
    kept, life = Kept(), AgentRun("f", HostClock("h"))
    list(Reader(life, "h", kept).take(SPOOL, 0.0))
    assert kept.said == [] and life.offset == 0


def test_an_attempt_that_ended_before_it_began_is_no_sample() -> None:
    kept = Kept()
    list(Reader(AgentRun("f", known_clock()), "h", kept).take(SPOOL.replace(b"500000 250 a", b"500000 -999750 a"), 0.0))
    said = dict(kept.said[1:])
    assert said["one"] == [(100.5, 0.0, "skipped", 0, "its host's clock went back by 0.99975 s meanwhile")]


def test_plans_that_cannot_be_measured_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a period of 0\.02 s; known: 0\.001, 0\.01"):
        AgentSeries("t", "10.0.0.1", 80, period_s=0.02)
    with pytest.raises(ValueError, match="something to say"):
        AgentSeries("t", "10.0.0.1", 80, kind=PINNED)
