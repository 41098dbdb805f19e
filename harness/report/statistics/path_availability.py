"""Availability: for what part of the measured time each path was in service. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.core.text import seconds
from harness.core.verdict import Verdict, failed, inconclusive, passed
from harness.measure.measurement_result import Measured, SeriesResult
from harness.remote.recording.recording import NEW
from harness.report.record.availability_record import AvailabilityRecord
from harness.report.record.measurement_record import MeasurementRecord


def availability_of(measurements: Iterable[MeasurementRecord]) -> list[AvailabilityRecord]:
    """Of each path and service, over all measurements; what nobody measured counts for neither."""
    sums: dict[tuple[str, str], list[float]] = {}
    for one in measurements:
        for series in one.measured.series:
            if series.kind == NEW and series.path and series.attempts:
                row = sums.setdefault((series.path, series.service), [0.0] * 4)
                for place, value in enumerate(_of(one.measured, series)):
                    row[place] += value
    return [_record(*key, *row) for key, row in sorted(sums.items())]


def _of(measured: Measured, series: SeriesResult) -> tuple[float, float, float, float]:
    """Seconds measured, and out: by the figures, at least, and at most."""
    whole = max(0.0, measured.end - measured.start - series.unmeasured_s)
    out = sum(one.seconds for one in series.outages)
    least = sum(one.seconds if one.min_s is None else one.min_s for one in series.outages)
    most = sum(one.seconds if one.max_s is None else one.max_s for one in series.outages)
    return whole, min(out, whole), min(least, whole), min(most, whole)


def _record(path: str, service: str, whole: float, out: float, least: float, most: float) -> AvailabilityRecord:
    share = out / whole if whole else 1.0
    return AvailabilityRecord(
        path=path, service=service, measured_s=whole, out_s=out, min_out_s=least, max_out_s=most, percent=round(100 * (1 - share), 6)
    )


def judge_availability(rows: Sequence[AvailabilityRecord], least_percent: float | None) -> Verdict:
    """The client path's worst service against the budget of the whole; without one, the figure is told."""
    clients = [row for row in rows if row.path == "client" and row.measured_s > 0]
    if not clients:
        return inconclusive("nothing was measured on the client path, so its availability is not known")
    worst = min(clients, key=lambda row: row.percent)
    told = (
        f"client path to {worst.service}: in service for {worst.percent:.4f} % of {seconds(worst.measured_s)} "
        f"(out {seconds(worst.out_s)}, {seconds(worst.min_out_s)} to {seconds(worst.max_out_s)})"
    )
    if least_percent is None:
        return passed(told)
    demanded = f"{told}; {least_percent:g} % demanded"
    if 100 * (1 - worst.min_out_s / worst.measured_s) < least_percent:
        return failed(demanded)
    if 100 * (1 - worst.max_out_s / worst.measured_s) < least_percent:
        return inconclusive(f"{demanded}, which lies within the measuring error: measure for longer, or with a shorter period")
    return passed(demanded)
