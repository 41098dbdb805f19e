"""The history as lines of nights: what the page, the terminal and `--json` show. Pure: from what the store holds."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.core.text.wording import seconds
from harness.history.change_points import shifts
from harness.history.stability import Night, Stability, stability
from harness.history.stored_rows import StoredPoint, StoredRun, StoredSeries
from harness.history.unmeasured_nights import unmeasured_nights
from harness.report.record.labels import node_before
from harness.report.statistics.series_identity import LINE, changes

NOTHING_KNOWN = "nothing that is recorded changed within three nights of it: not harness, manager, kernel, timers or cluster file"


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
    measured: bool = True
    """False of a night in which this was to be measured and was not: it has no figures, and the last known budget."""


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
    """One cluster with its lines, the worst first, and the place of its last run."""

    key: str
    name: str
    kind: str
    last: int
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
    measured: dict[str, set[str]] = {}
    for point in points:
        line = series_by_id[point.series].line
        measured.setdefault(point.run_id, set()).add(line["disruption"])
        columns_by_line.setdefault(tuple(line[part] for part in LINE), []).append(_column(place[point.run_id], point))
    unmeasured = unmeasured_nights(runs, measured)
    lines: dict[str, list[Line]] = {}
    for key, columns in columns_by_line.items():
        parts = dict(zip(LINE, key, strict=True))
        columns = _with_unmeasured(sorted(columns, key=lambda c: c.run), unmeasured.get((parts["cluster"], parts["disruption"]), ()))
        lines.setdefault(parts["cluster"], []).append(_line(parts, columns, runs, series_by_id))
    last = {run.cluster: number for number, run in enumerate(runs) if run.cluster}
    clusters = [ClusterHistory(key, runs[at].name, runs[at].kind, at, tuple(lines.get(key, ()))) for key, at in last.items()]
    return History(tuple(runs), tuple(clusters))


def _with_unmeasured(columns: Sequence[Column], nights: Iterable[int]) -> list[Column]:
    """A line's nights with those since its first one in which it was to be measured and was not."""
    missing = [Column(run, 0, None, None, None, 0.0, "inconclusive", "", measured=False) for run in nights if run > columns[0].run]
    found: list[Column] = []
    for column in sorted([*columns, *missing], key=lambda c: c.run):
        found.append(column if column.measured else replace(column, budget=found[-1].budget, series=found[-1].series))
    return found


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
        Night(None if c.outcome == "inconclusive" else c.outcome == "pass", str(state.version), measured=c.measured)
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
    and none when it is asked again. A night in which nothing was measured is no word on what is: the next one has what changed."""
    states: list[_State] = []
    identity: dict[str, str] = {}
    context: dict[str, str] = {}
    for column in columns:
        if not column.measured and states:
            states.append(replace(states[-1], because=(), new_series=False))
            continue
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
    measured = [(column, state) for column, state in zip(columns, states, strict=True) if column.measured]
    columns, states = [column for column, _ in measured], [state for _, state in measured]
    place_of_run = {column.run: place for place, column in enumerate(columns)}
    with_figures = [c for c in columns if c.n]
    row = [math.inf if c.median is None else c.median for c in with_figures]
    period = max((_seconds(series_by_id[c.series].identity.get("meter period", "")) for c in with_figures), default=0.0)
    shifted = {place_of_run[with_figures[shift.index].run]: shift.by for shift in shifts(row, period)}
    points = {place: ChangePoint(columns[place].run, None, s.because, True) for place, s in enumerate(states) if s.new_series}
    taken = set(shifted)
    for place, by in shifted.items():
        places = _explaining(place, states, taken)
        at, because = places[0], tuple(clause for one in places for clause in states[one].because)
        points[at] = ChangePoint(columns[at].run, by, because, states[at].new_series)
        taken.add(at)
    return [points[place] for place in sorted(points)]


MAX_NIGHTS_OFF = 3
"""Nights by which a shift may be found beside what changed: figures scatter, the search may be off by that."""


def _explaining(place: int, states: Sequence[_State], taken: Container[int]) -> list[int]:
    """The nights of which what changed explains a shift that was found at `place`: that night itself, or else the nearest one in which
    anything that is recorded changed, be it a timer, the harness or a kernel; two that are as near are both. `place` alone where none is.
    `taken` are nights that have a shift of their own."""
    for off in range(MAX_NIGHTS_OFF + 1):
        near = sorted({place - off, place + off})
        changed = [n for n in near if 0 <= n < len(states) and states[n].because and (n == place or n not in taken)]
        if changed:
            return changed
    return [place]


def _seconds(words: str) -> float:
    return float(words.removesuffix(" s")) if words.endswith(" s") else 0.0
