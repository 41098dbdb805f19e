"""Availability: for what part of the measured time each path was in service. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.core.text.wording import seconds
from harness.core.verdict import Outcome, Verdict, failed, inconclusive, passed
from harness.measure.measurement_result import Measured, SeriesResult
from harness.remote.recording.recording import NEW
from harness.report.record.availability_record import AvailabilityRecord
from harness.report.record.measurement_record import MeasurementRecord


def availability_of(
    measurements: Iterable[MeasurementRecord], set_aside: Iterable[MeasurementRecord] = (), unwatched_s: float = 0.0
) -> list[AvailabilityRecord]:
    """Of each path and service, over all measurements; what nobody measured may have been out, and `unwatched_s` between them.

    Of those `set_aside` for noise what was out may be the noise's own doing: it counts for the figure and the upper bound alone.
    """
    sums: dict[tuple[str, str], list[float]] = {}
    for noisy, records in ((False, measurements), (True, set_aside)):
        for record in records:
            for series in record.measured.series:
                if series.kind == NEW and series.path:
                    row = sums.setdefault((series.path, series.service), [0.0] * 5)
                    for column, value in enumerate(_measured_seconds(record.measured, series, noisy)):
                        row[column] += value
    for row in sums.values():
        row[4] += unwatched_s
    return [_record(*key, *row) for key, row in sorted(sums.items())]


def _measured_seconds(measured: Measured, series: SeriesResult, noisy: bool) -> tuple[float, float, float, float, float]:
    """Seconds measured, and out: by the figures, at least, and at most; and seconds not measured."""
    duration_s = measured.end - measured.start
    unmeasured = min(series.unmeasured_s + series.unmeasured_before_s, duration_s) if series.attempts else duration_s
    measured_s = duration_s - unmeasured
    out_s = sum(outage.seconds for outage in series.outages)
    at_least_s = 0.0 if noisy else sum(outage.seconds if outage.min_s is None else outage.min_s for outage in series.outages)
    at_most_s = sum(outage.seconds if outage.max_s is None else outage.max_s for outage in series.outages)
    return measured_s, min(out_s, measured_s), min(at_least_s, measured_s), min(at_most_s, measured_s), unmeasured


def _record(
    path: str, service: str, measured_s: float, out_s: float, at_least_s: float, at_most_s: float, unmeasured: float
) -> AvailabilityRecord:
    share = out_s / measured_s if measured_s else 1.0
    return AvailabilityRecord(
        path=path,
        service=service,
        measured_s=measured_s,
        out_s=out_s,
        min_out_s=at_least_s,
        max_out_s=at_most_s + unmeasured,
        percent=round(100 * (1 - share), 6),
        unmeasured_s=unmeasured,
    )


def judge_availability(rows: Sequence[AvailabilityRecord], least_percent: float | None) -> Verdict:
    """The client path's worst service against the budget of the whole; without one, the figure is told."""
    clients = [row for row in rows if row.path == "client"]
    if not any(row.measured_s > 0 for row in clients):
        return inconclusive("nothing was measured on the client path, so its availability is not known")
    by_percent = [_judge_row(row, least_percent) for row in sorted(clients, key=lambda row: row.percent)]
    return min(by_percent, key=lambda verdict: (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS).index(verdict.outcome))


def _judge_row(row: AvailabilityRecord, least_percent: float | None) -> Verdict:
    blind = f"; {seconds(row.unmeasured_s)} were not measured" if row.unmeasured_s else ""
    sentence = (
        f"client path to {row.service}: in service for {row.percent:.4f} % of {seconds(row.measured_s)} "
        f"(out {seconds(row.out_s)}, {seconds(row.min_out_s)} to {seconds(row.max_out_s)}{blind})"
    )
    if least_percent is None:
        return passed(sentence)
    demanded, whole_s = f"{sentence}; {least_percent:g} % demanded", row.measured_s + row.unmeasured_s
    if _percent(row.min_out_s, whole_s) < least_percent:
        return failed(demanded)
    if _percent(row.max_out_s - row.unmeasured_s, whole_s) < least_percent:
        return inconclusive(f"{demanded}, which lies within the measuring error: measure for longer, or with a shorter period")
    if _percent(row.max_out_s, whole_s) < least_percent:
        return inconclusive(
            f"{demanded}, and what was not measured (gaps, rests, waiting for the cluster to be healthy) may hide more than that"
        )
    return passed(demanded)


def _percent(out_s: float, whole_s: float) -> float:
    return 100 * (1 - out_s / whole_s)
