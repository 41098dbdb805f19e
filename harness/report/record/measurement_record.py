"""One measured disruption as run.json stores it: the figures as they were judged, and where the recording lies that they come from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from harness.core.text.host_text import storable
from harness.core.verdict import Verdict
from harness.measure.evaluation.outage_phases import stack
from harness.measure.measurement_result import Measured
from harness.report.record.record_types import Number, Record, Seconds, Text


def _storable(value: Any) -> Any:
    """`value` with every text in it as UTF-8 can hold it: log lines come from hosts."""
    if value is None or isinstance(value, int | float):  # most of it
        return value
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _storable(getattr(value, field.name)) for field in fields(value)}
    return value


class PhaseRecord(Record):
    """A part of one outage. `name` is the boundary that ended it, as in `boundaries`."""

    name: Text
    start: Number
    """On the harness's monotonic clock."""
    seconds: Seconds


class OutagePhases(Record):
    """One outage cut into phases, in order and without a hole, by `harness.measure.evaluation.outage_phases.stack`."""

    series: Text
    outage: int
    """Which of the series's outages, from 0."""
    phases: list[PhaseRecord] = Field([])


class CalibrationRecord(Record):
    """The meter's check of itself: a cut of known length, and what the meter made of it."""

    cut_s: Seconds
    measured_s: Seconds | None
    """Null: the meter did not see the cut."""
    period_s: Seconds
    verdict: Verdict


class MeasurementRecord(Record):
    """One measured disruption."""

    id: Text
    """Such as `01-switchover`: unique in the run, in the order in which they were done."""
    recording: Text
    """The recording it was judged from, relative to the run's directory: evidence/01-switchover/recording.jsonl."""
    test: Text
    """Id of the test it belongs to."""
    measured: Annotated[Measured, BeforeValidator(_storable)]
    """Times are on the harness's monotonic clock; add `wall_minus_mono` for seconds since 1970."""
    phases: list[OutagePhases] = Field([])

    @classmethod
    def of(cls, measured: Measured, *, id: str, test: str, recording: str | None = None) -> MeasurementRecord:
        """The record of measurement `id`, made in test `test`; its recording lies in evidence/<id>/ unless said otherwise."""
        recording_path = recording or f"evidence/{id}/recording.jsonl"
        return cls(id=id, recording=recording_path, test=test, measured=measured, phases=list(_phases(measured)))

    def phases_of(self, series: str, outage: int) -> list[PhaseRecord]:
        """The phases of one outage of a series, by its number; none where it was not cut."""
        return next((record.phases for record in self.phases if (record.series, record.outage) == (series, outage)), [])


def _phases(measured: Measured) -> Iterable[OutagePhases]:
    for series in measured.series:
        for number, outage in enumerate(series.outages):
            yield OutagePhases(
                series=series.id, outage=number, phases=list(_place_phases(outage.start, stack(measured.boundaries, outage)))
            )


def _place_phases(start: float, lengths: Iterable[tuple[str, float]]) -> Iterable[PhaseRecord]:
    for name, length in lengths:
        yield PhaseRecord(name=name, start=start, seconds=max(0.0, length))
        start += length
