"""The history as lines of nights: what the page, the terminal and `--json` show. Pure: from what the store holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.core.text.wording import seconds
from harness.history.change_points import shifts
from harness.history.stability import Night, Stability, stability
from harness.history.stored_rows import StoredPoint, StoredRun, StoredSeries
from harness.report.record.labels import node_before
from harness.report.statistics.series_identity import LINE, changes

NOTHING_KNOWN = "nothing that is recorded changed then: not harness, manager, kernel, timers or cluster file"


@dataclass(frozen=True)
class Column:
    """One night of a line: the place of its run among all runs, and its figures in seconds (None: never came back)."""

    run: int
    n: int
    median: float | None
    least: float | None
    most: float | None
    budget: float
    outcome: str
    series: str


@dataclass(frozen=True)
class ChangePoint:
    """A night from which on something is different. `by` is the shift in seconds, where one was found; `because` what changed then."""

    run: int
    by: float | None
    because: tuple[str, ...]
    new_series: bool
    """Did a new series begin, so that figures before and after must not be held against each other?"""

    @property
    def sentence(self) -> str:
        """`slower by 0.50 s; timer manager.heartbeat_s 5 → 10`."""
        if self.by is None:
            moved = "a new series begins, no shift is seen" if self.new_series else ""
        elif math.isinf(self.by):
            moved = "does not come back any more" if self.by > 0 else "comes back again"
        else:
            moved = f"{'slower' if self.by > 0 else 'faster'} by {seconds(abs(self.by))}"
        return "; ".join(filter(None, [moved, *(self.because or (NOTHING_KNOWN,))]))


@dataclass(frozen=True)
class Line:
    """One path to one service after one disruption, night after night."""

    cluster: str
    disruption: str
    before: str
    path: str
    service: str
    kind: str
    columns: tuple[Column, ...]
    change_points: tuple[ChangePoint, ...]
    stability: Stability

    @property
    def name(self) -> str:
        """`switchover from lknode01: client path, listener`."""
        suffix = "" if self.kind == "new" else ", established connection"
        return f"{self.disruption} from {node_before(self.before)}: {self.path} path, {self.service}{suffix}"


@dataclass(frozen=True)
class ClusterHistory:
    """One cluster with its lines, the worst first."""

    key: str
    name: str
    kind: str
    lines: tuple[Line, ...] = field(default=())


@dataclass(frozen=True)
class History:
    """All runs, and the lines of each cluster."""

    runs: tuple[StoredRun, ...]
    clusters: tuple[ClusterHistory, ...]


def history(runs: Sequence[StoredRun], series: Iterable[StoredSeries], points: Iterable[StoredPoint]) -> History:
    """Put what the store holds into lines. Runs are in order of time."""
    place = {run.run_id: number for number, run in enumerate(runs)}
    series_by_id = {item.id: item for item in series}
    columns_by_line: dict[tuple[str, ...], list[Column]] = {}
    for point in points:
        line = series_by_id[point.series].line
        columns_by_line.setdefault(tuple(line[part] for part in LINE), []).append(_column(place[point.run_id], point))
    lines: dict[str, list[Line]] = {}
    for key, columns in columns_by_line.items():
        nightly_line = _line(dict(zip(LINE, key, strict=True)), sorted(columns, key=lambda c: c.run), runs, series_by_id)
        lines.setdefault(nightly_line.cluster, []).append(nightly_line)
    last = {run.cluster: run for run in runs if run.cluster}
    clusters = [ClusterHistory(key, run.name, run.kind, tuple(lines.get(key, ()))) for key, run in last.items()]
    return History(tuple(runs), tuple(clusters))


def _column(run: int, point: StoredPoint) -> Column:
    figures: Mapping[str, Any] = point.figures
    values, outcomes = figures.get("values_s", []), figures.get("outcomes", {})
    outcome = next((o for o in ("fail", "inconclusive", "pass") if outcomes.get(o)), "inconclusive")
    least = min(values, default=None)
    most = None if figures.get("never") else figures.get("max_s")
    return Column(run, figures["n"], figures.get("median_s"), least, most, figures["budget_s"], outcome, point.series)


def _line(parts: Mapping[str, str], columns: Sequence[Column], runs: Sequence[StoredRun], series_by_id: Mapping[str, StoredSeries]) -> Line:
    states = _states(columns, runs, series_by_id)
    nights = [
        Night(None if c.outcome == "inconclusive" else c.outcome == "pass", str(state.version))
        for c, state in zip(columns, states, strict=True)
    ]
    change_points = _change_points(columns, states, series_by_id)
    return Line(
        parts["cluster"],
        parts["disruption"],
        parts["before"],
        parts["path"],
        parts["service"],
        parts["kind"],
        tuple(replace(column, series=state.series) for column, state in zip(columns, states, strict=True)),
        tuple(change_points),
        stability(nights),
    )


@dataclass(frozen=True)
class _State:
    """What a night was made on. `because` is what changed since it was last known, `version` counts those changes."""

    series: str
    version: int
    because: tuple[str, ...]
    new_series: bool


def _states(columns: Sequence[Column], runs: Sequence[StoredRun], series_by_id: Mapping[str, StoredSeries]) -> list[_State]:
    """Night by night, against all that was known before: what one night could not be asked, such as a node's version, is no change then,
    and none when it is asked again."""
    states: list[_State] = []
    identity: dict[str, str] = {}
    context: dict[str, str] = {}
    for column in columns:
        now, around = series_by_id[column.series].identity, runs[column.run].context
        forbids = changes(identity, now)
        because = (*forbids, *changes(context, around))
        last = states[-1] if states else None
        series = column.series if last is None or forbids else last.series
        states.append(_State(series, (last.version if last else 0) + bool(because), because, bool(forbids)))
        identity, context = {**identity, **now}, {**context, **around}
    return states


def _change_points(columns: Sequence[Column], states: Sequence[_State], series_by_id: Mapping[str, StoredSeries]) -> list[ChangePoint]:
    """Where a new series begins, and where figures shift; both at once are one."""
    with_figures = [c for c in columns if c.n]
    row = [math.inf if c.median is None else c.median for c in with_figures]
    period = max((_seconds(series_by_id[c.series].identity.get("meter period", "")) for c in with_figures), default=0.0)
    shifted = {with_figures[shift.index].run: shift.by for shift in shifts(row, period)}
    points = [
        ChangePoint(column.run, shifted.get(column.run), state.because, state.new_series)
        for column, state in zip(columns, states, strict=True)
        if state.new_series or column.run in shifted
    ]
    return _merge_near(points, [c.run for c in columns])


MAX_MERGED_NIGHTS = 3
"""Nights by which a shift may be found beside what changed: figures scatter, the search may be off by that."""


def _merge_near(points: Sequence[ChangePoint], runs: Sequence[int]) -> list[ChangePoint]:
    """A shift that nothing explains, found close to where something changed, is that change's."""
    place = {run: number for number, run in enumerate(runs)}
    merged: list[ChangePoint] = []
    for point in points:
        near = merged[-1] if merged and place[point.run] - place[merged[-1].run] <= MAX_MERGED_NIGHTS else None
        if near is not None and near.because and near.by is None and point.by is not None and not point.because:
            merged[-1] = ChangePoint(near.run, point.by, near.because, near.new_series)
        elif near is not None and not near.because and near.by is not None and point.by is None and point.because:
            merged[-1] = ChangePoint(point.run, near.by, point.because, point.new_series)
        else:
            merged.append(point)
    return merged


def _seconds(words: str) -> float:
    return float(words.removesuffix(" s")) if words.endswith(" s") else 0.0
