"""n, median, p95, maximum and interval of every series of a run. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

from harness.report.record.run_record import PathName, RunRecord
from harness.report.record.series_record import SeriesRecord
from harness.report.statistics.outage_statistics import (
    Group,
    SeriesFigure,
    figures,
    groups,
    least_budget,
    longest_period,
    reliable_figures,
)
from harness.report.statistics.percentiles import percentile

CONFIDENCE = 0.95


def series_of(run: RunRecord) -> list[SeriesRecord]:
    """One record for each series that was measured, in the order in which their disruptions were first done."""
    return [record for group in groups(run) for record in _of_group(group)]


def median_ranks(n: int, confidence: float = CONFIDENCE) -> tuple[int, int] | None:
    """Of n values in ascending order those two, counted from 0, between which the median lies with this confidence at least.

    They are as far inside as the binomial distribution lets them be. None where even the smallest and the largest do not suffice.
    """
    p_outside, last_rank = 0.0, None
    for rank in range((n + 1) // 2):
        p_outside += 2 * math.comb(n, rank) / 2**n
        if p_outside > 1 - confidence:
            break
        last_rank = rank
    return None if last_rank is None else (last_rank, n - 1 - last_rank)


def _of_group(group: Group) -> Iterable[SeriesRecord]:
    figures_by_series: dict[tuple[str, str, str], list[SeriesFigure]] = {}
    for path in PathName:
        for record in group.records:
            for figure in figures(record, path):
                figures_by_series.setdefault((path.value, figure.series.service, figure.series.kind), []).append(figure)
    for (name, service, kind), series_figures in figures_by_series.items():
        yield _series(group, name, service, kind, series_figures)


def _series(group: Group, path: str, service: str, kind: str, measured: Sequence[SeriesFigure]) -> SeriesRecord:
    reliable = reliable_figures(measured)
    values = [f.value for f in reliable]
    ascending = sorted(values)
    return SeriesRecord(
        disruption=group.disruption,
        design=group.design,
        before=group.before,
        target=group.target,
        path=path,
        service=service,
        kind=kind,
        expects=measured[0].record.measured.expects.get(path, ""),
        period_s=longest_period(measured),
        budget_s=least_budget(measured),
        n=len(values),
        never=sum(math.isinf(value) for value in values),
        left_out=len(measured) - len(values),
        values_s=[round(value, 6) for value in values if math.isfinite(value)],
        outcomes=dict(Counter(f.result.value for f in measured)),
        median_s=_finite(median(ascending)) if ascending else None,
        p95_s=_finite(percentile(ascending, 0.95)) if ascending else None,
        max_s=_finite(ascending[-1]) if ascending else None,
        interval_s=_interval(reliable),
    )


def _interval(figures: Sequence[SeriesFigure]) -> tuple[float, float | None] | None:
    """By the least that each figure may be at the lower end, and the most at the upper."""
    ranks = median_ranks(len(figures))
    if ranks is None:
        return None
    at_least = sorted(math.inf if f.never else f.bounds[0] for f in figures)[ranks[0]]
    at_most = sorted(math.inf if f.never else f.bounds[1] for f in figures)[ranks[1]]
    return (round(at_least, 6), _finite(at_most)) if math.isfinite(at_least) else None


def _finite(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
