"""The outages of a run's measurements, by path and disruption, as a report and a gate show them. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from harness.core.text.wording import count, seconds
from harness.core.verdict import Outcome
from harness.measure.measurement_result import Outage, SeriesResult
from harness.remote.recording.recording import NEW
from harness.report.record.labels import node_before
from harness.report.record.measurement_record import CalibrationRecord, MeasurementRecord
from harness.report.record.run_record import PathName, Result, RunRecord
from harness.report.record.run_verdict import severity
from harness.report.statistics.percentiles import Distribution

ANY = "any"  # of a path that nothing is demanded of, as in `Measured.expects`
NEVER = "did not recover"


@dataclass(frozen=True)
class SeriesFigure:
    """One series of one measurement, with what its figure is to be held against."""

    record: MeasurementRecord
    series: SeriesResult
    speaks: SeriesResult | None = None
    """The series whose verdict is told, where the figure stands for a whole path: the worst verdict need not be the longest figure's."""

    @property
    def result(self) -> Result:
        """The outcome that counts for the series."""
        return Result((self.speaks or self.series).verdict.outcome.value)

    @property
    def reason(self) -> str:
        """The reason of that outcome."""
        return (self.speaks or self.series).verdict.reason

    @property
    def demanded(self) -> bool:
        """Had the path to do anything? Of some nothing is demanded, be they out for as long as they may."""
        return self.record.measured.expects.get(self.series.path) != ANY

    @property
    def never(self) -> bool:
        """Was the path still out when the measurement ended?"""
        return self.series.recovered_after_s is None and any(outage.end is None for outage in self.series.outages)

    @property
    def known(self) -> bool:
        """Is there a figure at all, be it that the path never came back?"""
        return self.series.recovered_after_s is not None or self.never

    @property
    def value(self) -> float:
        """The figure for sorting and comparing: infinite when the path did not come back, 0 where nothing is known."""
        return self.series.recovered_after_s if self.series.recovered_after_s is not None else math.inf if self.never else 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """Between which the true figure lies, by the period and the clocks, in seconds; of one that is known."""
        out_s, series = self.series.recovered_after_s or 0.0, self.series
        least = max(0.0, out_s - series.period_s) if series.min_s is None else series.min_s
        return least, out_s if series.max_s is None else series.max_s

    @property
    def words(self) -> str:
        """The figure in words."""
        if self.never:
            return NEVER
        if not self.known:
            return self.series.unknown if self.series.unknown.startswith("not measured") else "not known"
        if self.series.recovered_after_s:
            return range_in_words(*self.bounds)
        if self.series.unmeasured_s and not self.series.longest_gap_s:  # a record of before
            return f"not measured for {seconds(self.series.unmeasured_s)}"
        at_most_s = self.bounds[1]
        return f"no outage longer than {seconds(at_most_s)}" if at_most_s else "no outage"

    @property
    def sentence(self) -> str:
        """`recovered after 1.69 s to 1.70 s`; where there is no such figure, why."""
        if not self.series.recovered_after_s:
            return self.words
        counted_from = f" from {self.series.counted_from}" if self.series.counted_from not in ("", "the disruption") else ""
        text = f"recovered after {self.words}{counted_from}"
        return text if self.demanded else f"{text}, of which nothing is demanded"

    @property
    def out_words(self) -> str:
        """For how long its longest outage lasted, which began some time after the disruption."""
        if self.longest is None:
            return self.words
        return outage_words(self.longest[1])

    @property
    def longest(self) -> tuple[int, Outage] | None:
        """The longest outage of the series and its place among them; one that never ended is the longest."""
        return max(enumerate(self.series.outages), key=lambda numbered: (numbered[1].end is None, numbered[1].seconds), default=None)


@dataclass(frozen=True)
class Group:
    """All repeats of one disruption of one design in one direction: from one node, done to one host. Failing over from A to B is another
    thing than from B to A, and repeats go to and fro."""

    disruption: str
    design: str
    before: str
    """The node that was active before."""
    target: str
    records: tuple[MeasurementRecord, ...]
    alone: bool = True
    """Was the disruption only measured in this direction?"""

    @property
    def name(self) -> str:
        """The disruption, with the node that was active before where that matters."""
        return self.disruption if self.alone else f"{self.disruption} from {node_before(self.before)}"

    @property
    def distributions(self) -> list[Distribution]:
        """The outages of each series over the repeats; none for a single measurement."""
        if len(self.records) < 2:
            return []
        columns = [(path, path.value, worst_of) for path in PathName] + [
            (path, f"{path}, established connection", longest_established) for path in PathName
        ]
        candidates = (self._of(name, [f for r in self.records if (f := figure_of(r, path))]) for path, name, figure_of in columns)
        return [distribution for distribution in candidates if distribution]

    def _of(self, name: str, figures: list[SeriesFigure]) -> Distribution | None:
        reliable = reliable_figures(figures)
        if len(reliable) < 2:
            return None
        finite = sorted(f.value for f in reliable if not f.never)
        return Distribution(
            path=name,
            values=tuple(finite),
            never=len(reliable) - len(finite),
            period_s=longest_period(figures),
            budget_s=least_budget(figures),
            left_out=len(figures) - len(reliable),
        )


@dataclass(frozen=True)
class TokenTotals:
    """What became of the written tokens, over all measurements."""

    written: int
    acknowledged: int
    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    both_s: float
    """For how long both nodes answered at once, over all measurements."""
    result: Result


def interval(recovered_after_s: float | None, period_s: float) -> str:
    """An outage as what is known of it: `1.20 s to 1.21 s`. A meter with a period knows no more (measuring facts)."""
    if recovered_after_s is None:
        return NEVER
    if recovered_after_s == 0:
        return "no outage"
    return range_in_words(max(0.0, recovered_after_s - period_s), recovered_after_s)


def range_in_words(at_least_s: float, at_most_s: float) -> str:
    """A range of seconds in words."""
    low, high = seconds(at_least_s), seconds(at_most_s)
    return high if low == high else f"{low} to {high}"


def outage_words(outage: Outage) -> str:
    """An outage's own length, which is uncertain at both ends."""
    if outage.end is None:
        return f"at least {seconds(outage.seconds if outage.min_s is None else outage.min_s)}"
    least = max(0.0, outage.seconds - outage.period_s) if outage.min_s is None else outage.min_s
    return range_in_words(least, outage.seconds if outage.max_s is None else outage.max_s)


def figures(record: MeasurementRecord, path: str | None = None) -> list[SeriesFigure]:
    """The series of a measurement (on one path): new connections before pinned ones, in the order of the recording."""
    all_figures = [SeriesFigure(record, t) for t in record.measured.series if path is None or t.path == path]
    return sorted(all_figures, key=lambda f: f.series.kind != NEW) if path is not None else all_figures


def reliable_figures(figures: Iterable[SeriesFigure]) -> list[SeriesFigure]:
    """Those that figures over repeats are made of, wherever they are shown: known ones whose timing could be relied on."""
    return [f for f in figures if f.known and f.record.measured.timing.outcome is Outcome.PASS]


def longest_period(figures: Iterable[SeriesFigure]) -> float:
    """The meter's period in seconds; the longest one, where repeats differ."""
    return max(f.series.period_s for f in figures)


def least_budget(figures: Iterable[SeriesFigure]) -> float:
    """What was allowed, in seconds; the shortest, where repeats differ."""
    return min(f.record.measured.budget_s for f in figures)


def worst_of(record: MeasurementRecord, path: str) -> SeriesFigure | None:
    """A path in a measurement: the longest figure of its new connections, with the worst verdict of all its series.

    How long a kept connection is out is mostly the time after which its user gives it up, here the harness (`longest_established`).
    """
    path_figures = figures(record, path)
    longest = max([f for f in path_figures if f.series.kind == NEW] or path_figures, key=_length, default=None)
    if longest is None:
        return None
    return SeriesFigure(record, longest.series, min(path_figures, key=lambda f: (severity(f.result), -_length(f)[1])).series)


def unknown_figures(record: MeasurementRecord, path: str) -> list[SeriesFigure]:
    """The new connections of a path of which no figure is known: each of them may have been out the longest."""
    path_figures = figures(record, path)
    return [f for f in ([f for f in path_figures if f.series.kind == NEW] or path_figures) if not f.known]


def longest_established(record: MeasurementRecord, path: str) -> SeriesFigure | None:
    """The kept connection of a path that was out the longest."""
    return max((f for f in figures(record, path) if f.series.kind != NEW), key=_length, default=None)


def worst_outages(run: RunRecord) -> dict[str, SeriesFigure]:
    """Per path the longest figure of the run, with the worst verdict. What nothing is demanded of counts where there is nothing else."""
    return _worst_by_path(run, worst_of)


def worst_established(run: RunRecord) -> dict[str, SeriesFigure]:
    """The same of the established connections."""
    return _worst_by_path(run, longest_established)


def _worst_by_path(run: RunRecord, figure_of: Callable[[MeasurementRecord, str], SeriesFigure | None]) -> dict[str, SeriesFigure]:
    worst_by_path = {}
    for path in PathName:
        candidates = [f for record in run.measurements if (f := figure_of(record, path))]
        longest = max(candidates, key=lambda f: (f.demanded, *_length(f)), default=None)
        if longest is not None:
            speaks = min(candidates, key=lambda f: severity(f.result))
            worst_by_path[path.value] = SeriesFigure(longest.record, longest.series, speaks.speaks or speaks.series)
    return worst_by_path


def groups(run: RunRecord) -> list[Group]:
    """The measurements by what was done and from where, in the order in which each was first done."""
    gathered: dict[tuple[str, str, str, str], list[MeasurementRecord]] = {}
    for record in run.measurements:
        m = record.measured
        gathered.setdefault((m.disruption, m.design, m.before, m.target), []).append(record)
    directions = Counter(key[:2] for key in gathered)
    return [Group(*key, tuple(records), alone=directions[key[:2]] == 1) for key, records in gathered.items()]


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
    text = f"{totals.acknowledged} acknowledged: {len(totals.lost) or 'none'} lost, {len(totals.doubled) or 'none'} doubled"
    return f"{text}; both nodes answered for {seconds(totals.both_s)}" if totals.both_s else text


def calibration_in_words(calibration: CalibrationRecord) -> str:
    """What the meter made of the known cut, in words."""
    cut_text = f"a cut of {seconds(calibration.cut_s)}"
    if calibration.measured_s is None:
        return f"{cut_text} was not seen"
    measured, period = calibration.measured_s, calibration.period_s
    return f"{cut_text} was measured as {range_in_words(max(0.0, measured - period), measured + period)}"


def sentence(run: RunRecord) -> str:
    """The measurements of a run in one sentence: `all 20 measured disruptions passed`; empty when nothing was measured."""
    return " ".join(part for part in (_verdict_sentence(run), _set_aside_sentence(run)) if part)


def _verdict_sentence(run: RunRecord) -> str:
    total = len(run.measurements)
    outcomes = [r.measured.verdict.outcome for r in run.measurements]
    failed_count, unclear_count = outcomes.count(Outcome.FAIL), outcomes.count(Outcome.INCONCLUSIVE)
    if not total:
        return ""
    if not failed_count and not unclear_count:
        return "The one measured disruption passed." if total == 1 else f"All {total} measured disruptions passed."
    parts = [f"{failed_count} of {count(total, 'measured disruption')} failed"] if failed_count else []
    parts += (
        [f"{unclear_count} {'more ' if failed_count else f'of {total} measured disruptions '}could not be judged"] if unclear_count else []
    )
    return ", ".join(parts) + "."


def _set_aside_sentence(run: RunRecord) -> str:
    """What was measured again because of noise, and for how long paths were out in that without anybody's doing."""
    if not run.set_aside:
        return ""
    outages_s = [
        o.seconds for r in run.set_aside for t in r.measured.series for o in t.outages if o.end is not None and o.end <= r.measured.anchor
    ]
    outage_note = (
        f"; before that a path was out {count(len(outages_s), 'time')}, for up to {seconds(max(outages_s))}, with nothing done"
        if outages_s
        else ""
    )
    return f"{len(run.set_aside)} more set aside because of noise{outage_note}."


def _length(figure: SeriesFigure) -> tuple[bool, float]:
    return figure.known, figure.value
