"""The figures a gate asks for, from the measurements of a run. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from harness.measure.measured import Outage, TrackResult
from harness.measure.recording import NEW
from harness.report.judge import severity
from harness.report.measurement import CalibrationRecord, MeasurementRecord
from harness.report.model import PathName, Result, RunRecord
from harness.report.text import count, seconds
from harness.verdict import Outcome


@dataclass(frozen=True)
class TrackFigure:
    """One track of one measurement, with what its figure is to be held against."""

    record: MeasurementRecord
    track: TrackResult

    @property
    def result(self) -> Result:
        return Result(self.track.verdict.outcome.value)

    @property
    def used(self) -> float:
        """The part of the budget that was used; infinite when the path did not come back."""
        return self.value / max(self.record.measured.budget_s, 1e-9)

    @property
    def never(self) -> bool:
        """Was the path still out when the measurement ended?"""
        return self.track.out_s is None and any(outage.end is None for outage in self.track.outages)

    @property
    def known(self) -> bool:
        """Is there a figure at all, be it that the path never came back?"""
        return self.track.out_s is not None or self.never

    @property
    def value(self) -> float:
        """The figure for sorting and comparing: infinite when the path did not come back, 0 where nothing is known."""
        return self.track.out_s if self.track.out_s is not None else math.inf if self.never else 0.0

    @property
    def words(self) -> str:
        if self.known and self.track.out_s == 0 and self.track.unmeasured_s:
            return self.out_words  # its host was gone for a time: that nothing failed says little
        return interval(self.track.out_s, self.track.period_s) if self.known else "not known"

    @property
    def told(self) -> str:
        """`right again after 1.69 s to 1.70 s`; where there is no such figure, why."""
        return f"right again after {self.words}" if self.track.out_s else self.words

    @property
    def out_words(self) -> str:
        """For how long its longest outage lasted, which began some time after the disruption."""
        if self.longest is None:
            return f"not measured for {seconds(self.track.unmeasured_s)}" if self.track.unmeasured_s else "not out"
        outage = self.longest[1]
        return interval(outage.seconds, outage.period_s) if outage.end is not None else f"at least {seconds(outage.seconds)}"

    @property
    def longest(self) -> tuple[int, Outage] | None:
        """The longest outage of the track and its place among them; one that never ended is the longest."""
        return max(enumerate(self.track.outages), key=lambda found: (found[1].end is None, found[1].seconds), default=None)


@dataclass(frozen=True)
class Distribution:
    """What several repeats of one disruption did to one path: for how long it was out each time, in seconds, in order of length."""

    path: str
    values: tuple[float, ...]
    never: int
    """How often the path did not come back; not among the values."""
    period_s: float
    budget_s: float

    @property
    def runs(self) -> int:
        return len(self.values) + self.never

    @property
    def median(self) -> float | None:
        return _finite(median([*self.values, *[math.inf] * self.never]))

    @property
    def p95(self) -> float | None:
        """By nearest rank: a value that was measured. Of fewer than 20 runs it is the longest one."""
        ordered = [*self.values, *[math.inf] * self.never]
        return _finite(ordered[math.ceil(0.95 * len(ordered)) - 1])

    @property
    def longest(self) -> float | None:
        return None if self.never else self.values[-1]


@dataclass(frozen=True)
class Group:
    """All repeats of one disruption of one design."""

    disruption: str
    design: str
    records: tuple[MeasurementRecord, ...]

    @property
    def distributions(self) -> list[Distribution]:
        if len(self.records) < 2:
            return []
        return [found for path in PathName if (found := self._of(path))]

    def _of(self, path: PathName) -> Distribution | None:
        figures = [figure for record in self.records if (figure := worst_of(record, path)) and figure.known]
        if len(figures) < 2:
            return None
        known = sorted(f.value for f in figures if not f.never)
        return Distribution(
            path=path.value,
            values=tuple(known),
            never=len(figures) - len(known),
            period_s=max(f.track.period_s for f in figures),
            budget_s=max(f.record.measured.budget_s for f in figures),
        )


@dataclass(frozen=True)
class TokenTotals:
    written: int
    acknowledged: int
    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    both_s: float
    """For how long both nodes answered at once, over all measurements."""
    result: Result


def interval(out_s: float | None, period_s: float) -> str:
    """An outage as what is known of it: `1.20 s to 1.21 s`. A meter with a period knows no more (measuring facts)."""
    if out_s is None:
        return "did not recover"
    if out_s == 0:
        return "not out"
    low, high = seconds(max(0.0, out_s - period_s)), seconds(out_s)
    return high if low == high else f"{low} to {high}"


def figures(record: MeasurementRecord, path: str | None = None) -> list[TrackFigure]:
    """The tracks of a measurement (on one path): new connections before pinned ones, in the order of the recording."""
    found = [TrackFigure(record, t) for t in record.measured.tracks if path is None or t.path == path]
    return sorted(found, key=lambda f: f.track.kind != NEW) if path is not None else found


def worst_of(record: MeasurementRecord, path: str) -> TrackFigure | None:
    """The track that says the worst of a path: a failure first, then the one that was out the longest."""
    return min(figures(record, path), key=_badness, default=None)


def worst_outages(run: RunRecord) -> dict[str, TrackFigure]:
    """Per path the worst figure of the run."""
    found = {}
    for path in PathName:
        candidates = [f for record in run.measurements if (f := worst_of(record, path))]
        if candidates:
            found[path.value] = min(candidates, key=_badness)
    return found


def groups(run: RunRecord) -> list[Group]:
    """The measurements by what was done, in the order in which each was first done."""
    gathered: dict[tuple[str, str], list[MeasurementRecord]] = {}
    for record in run.measurements:
        gathered.setdefault((record.measured.disruption, record.measured.design), []).append(record)
    return [Group(name, design, tuple(records)) for (name, design), records in gathered.items()]


def token_totals(records: Iterable[MeasurementRecord]) -> TokenTotals | None:
    """Tokens over all measurements that wrote any; None when none did."""
    results = [r.measured.tokens for r in records if r.measured.tokens is not None]
    if not results:
        return None
    return TokenTotals(
        written=sum(t.written for t in results),
        acknowledged=sum(t.acknowledged for t in results),
        lost=tuple(line for t in results for line in t.lost),
        doubled=tuple(line for t in results for line in t.doubled),
        both_s=sum(max(0.0, end - start) for t in results for start, end in t.both_answered),
        result=min((Result(t.verdict.outcome.value) for t in results), key=severity),
    )


def tokens_in_words(totals: TokenTotals) -> str:
    """`512 acknowledged: none lost, none doubled`."""
    words = f"{totals.acknowledged} acknowledged: {len(totals.lost) or 'none'} lost, {len(totals.doubled) or 'none'} doubled"
    return f"{words}; both nodes answered for {seconds(totals.both_s)}" if totals.both_s else words


def calibration_in_words(calibration: CalibrationRecord) -> str:
    cut = f"a cut of {seconds(calibration.cut_s)}"
    if calibration.measured_s is None:
        return f"{cut} was not seen"
    return f"{cut} was measured as {interval(calibration.measured_s, calibration.period_s)}"


def sentence(run: RunRecord) -> str:
    """The measurements of a run in one sentence: `all 20 measured disruptions passed`; empty when nothing was measured."""
    total = len(run.measurements)
    outcomes = [r.measured.verdict.outcome for r in run.measurements]
    bad, unclear = outcomes.count(Outcome.FAIL), outcomes.count(Outcome.INCONCLUSIVE)
    if not total:
        return ""
    if not bad and not unclear:
        return "The one measured disruption passed." if total == 1 else f"All {total} measured disruptions passed."
    parts = [f"{bad} of {count(total, 'measured disruption')} failed"] if bad else []
    parts += [f"{unclear} {'more ' if bad else f'of {total} measured disruptions '}could not be judged"] if unclear else []
    return ", ".join(parts) + "."


def _badness(figure: TrackFigure) -> tuple[int, float]:
    return severity(figure.result), -figure.used


def _finite(value: float) -> float | None:
    return None if math.isinf(value) else value
