"""Between two recordings nothing is written down: that a path was in service then is known only where every attempt was seen answered."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from recordings import CLIENT, a_header, a_series

from harness.measure.meter import Meter
from harness.measure.unrecorded_time import UnrecordedTime
from harness.pytest_plugin.measurement_plan import MeasurementOptions
from harness.pytest_plugin.measurement_session import MeasurementSession
from harness.remote.recording.recording import Sample, Series, read

SERIES = a_series(CLIENT, period=0.1)
OTHER = a_series("lknode01", period=0.1)
KEPT = Series(f"{CLIENT}/web/pinned", CLIENT, "web", "pinned", 80, 0.1, 1.0)


def attempts(
    begin: float, end: float, *, failing: Sequence[int] = (), missing: Sequence[int] = (), outcome: str = "silent"
) -> list[Sample]:
    """One each tenth of a second; which of them (counted from 0) failed, or are not there."""
    number = round((end - begin) * 10)
    rows = [Sample(begin + k / 10, 0.01, outcome if k in failing else "answered", 40000 + k) for k in range(number)]
    return [row for k, row in enumerate(rows) if k not in missing]


@pytest.mark.parametrize(
    ("rows", "in_doubt_s"),
    [
        (attempts(10.0, 20.0), 0.0),
        (attempts(10.0, 20.0, failing=[50]), 11.0),  # a second of the recording before, of which was told too late
        (attempts(10.0, 20.0, failing=[50], outcome="refused"), 11.0),
        (attempts(10.0, 20.0, missing=range(40, 44)), 0.0),  # as a recording bears
        (attempts(10.0, 20.0, missing=range(40, 47)), 0.8),
        (attempts(10.0, 20.0, missing=[*range(40, 47), *range(60, 70)]), 1.9),
        (attempts(10.0, 20.0, failing=range(40, 47), outcome="skipped"), 0.8),  # the host could not try: nothing was seen
        (attempts(10.7, 20.0), 0.7),
        (attempts(10.0, 19.3), 0.8),
        (attempts(10.0, 25.0, failing=[101]), 0.0),  # the next recording has that
        (attempts(9.8, 20.0, failing=[1]), 11.0),  # begun in the recording before, told after it: it is in none
        ([], 10.0),
    ],
)
def test_only_what_was_seen_answered_throughout_was_in_service(rows: list[Sample], in_doubt_s: float) -> None:
    between = UnrecordedTime([SERIES, KEPT, OTHER])
    between.begin(10.0)
    between.samples(SERIES.id, rows[:30])
    between.end(20.0)
    between.samples(SERIES.id, rows[30:])  # what was under way is told when the next recording has begun
    between.samples(KEPT.id, attempts(10.0, 20.0, failing=[3]))
    between.samples(OTHER.id, attempts(10.0, 20.0))
    assert between.in_doubt_s(10.0) == pytest.approx(in_doubt_s)
    assert between.in_doubt_s(9.0) == pytest.approx(12.0), "nobody looked before it began"


def test_without_a_time_between_nothing_is_known() -> None:
    between = UnrecordedTime([SERIES])
    between.samples(SERIES.id, attempts(0.0, 1.0))
    between.end(1.0)
    assert between.in_doubt_s(0.0) == 2.0


def a_meter(monkeypatch: pytest.MonkeyPatch, now: list[float]) -> Meter:
    """One without agents, on a clock that the test sets."""
    monkeypatch.setattr("harness.measure.meter.time", SimpleNamespace(monotonic=lambda: now[0], time=lambda: 1e9 + now[0]))
    subject: Any = SimpleNamespace(
        cleaner=SimpleNamespace(data=lambda data: data), cluster=SimpleNamespace(nodes=[]), together=lambda *each: [one() for one in each]
    )
    meter = Meter.__new__(Meter)
    meter.subject, meter.series, meter.coarse, meter._agents, meter._watched = subject, [SERIES], {}, {}, {}
    meter._clocks, meter._standing, meter._sightings, meter._recorder = {}, {}, [], None
    meter._lock, meter._since, meter.recorded_until = threading.RLock(), 0.0, None
    meter.live = SimpleNamespace(samples=lambda *_: None)  # type: ignore[assignment]
    meter._unrecorded = meter._unrecorded_before = UnrecordedTime(meter.series)
    return meter


def test_a_session_counts_what_was_not_seen_between_its_recordings_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    report: Any = None
    session = MeasurementSession(report, report, MeasurementOptions(), None, None)
    meter = a_meter(monkeypatch, now)

    def record(begin: float, end: float, meter: Meter = meter) -> float:
        now[0] = begin
        with meter.recording(tmp_path / f"{begin}.jsonl", a_header()):
            meter.samples(SERIES.id, attempts(begin, end))
            now[0] = end
        session._count_unwatched(meter)
        session._count_unwatched(meter)  # a recording that did not begin adds nothing
        return session.unwatched_s

    assert record(0.0, 5.0) == 0.0, "before the first one there is no time between"
    meter.samples(SERIES.id, attempts(5.0, 7.0))
    assert record(7.0, 10.0) == 0.0
    meter.samples(SERIES.id, attempts(10.0, 12.0, failing=[4]))
    assert record(12.0, 15.0) == pytest.approx(3.0), "two seconds between, and the last one before"
    assert record(19.0, 20.0) == pytest.approx(7.0), "nobody told anything for 4 s"
    assert record(21.5, 22.0, a_meter(monkeypatch, now)) == pytest.approx(9.5), "another meter knows nothing of the time before it"


def test_what_is_measured_while_captures_are_stopped_and_written_is_no_part_of_the_recording(tmp_path: Path, monkeypatch) -> None:
    """No packet would show who answered it, and the end of the recording would not be judged."""
    now, done = [0.0], list[str]()
    meter = a_meter(monkeypatch, now)

    def stop() -> None:
        done.append("stop")
        now[0] = 8.0
        meter.samples(SERIES.id, attempts(5.0, 8.0, failing=[3]))

    def write_pcap(file: Path) -> None:
        done.append("write")

    capture: Any = SimpleNamespace(end=lambda: done.append("end"), stop=stop, write_pcap=write_pcap)
    with meter.recording(file := tmp_path / "recording.jsonl", a_header()):
        meter._watched["lknode01"] = capture
        meter.samples(SERIES.id, attempts(0.0, 5.0))
        now[0] = 5.0
    assert done == ["end", "stop", "write"] and meter.recorded_until == 5.0
    assert max(row.at for row in read(file).samples[SERIES.id]) < 5.0
    with meter.recording(tmp_path / "next.jsonl", a_header()):
        pass
    assert meter.unwatched_s(5.0) == pytest.approx(4.0), "an attempt failed between the two"
