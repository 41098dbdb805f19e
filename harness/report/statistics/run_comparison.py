"""Did failover get slower from one run to another? Pure: from the two records.

Every series (path, service, new or established connections) of every disruption that both runs measured, from the same node, is compared
by itself, with the gate's statistics: a rank test, the series of one disruption and direction corrected together, those by Holm's method. A
change is claimed only where that would be this surprising once in twenty comparisons of two runs AND the shift is more than one measuring
period.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from harness.core.errors import ExitCode
from harness.core.text.wording import count, seconds
from harness.core.verdict import Outcome
from harness.report.record.run_record import PathName, RunRecord
from harness.report.statistics.comparability import not_known_whether_comparable
from harness.report.statistics.mann_whitney import Test, least_p, mann_whitney
from harness.report.statistics.multiple_comparisons import Block, joint_test
from harness.report.statistics.outage_statistics import Group, SeriesFigure, figures, groups
from harness.report.statistics.series_identity import changes, context_of
from harness.report.statistics.stratified_shift import holm

SIGNIFICANCE_LEVEL = 0.05
"""Of all claims of a comparison together."""


class Change(StrEnum):
    """What became of one row from the first run to the second."""

    SLOWER = "slower"
    FASTER = "faster"
    SAME = "no change"
    TOO_FEW = "too few runs"
    MISSING = "not measured"


@dataclass(frozen=True)
class Row:
    """One series of one disruption in both runs: seconds out, infinite where the path did not come back."""

    disruption: str
    path: str
    service: str
    kind: str
    before: tuple[float, ...]
    after: tuple[float, ...]
    period_s: float
    test: Test | None
    change: Change
    before_node: str = ""
    """The node that was active before, where the disruption was measured from both."""
    p: float = 1.0
    """Corrected for all series of the comparison, where it is one of several."""
    least: float = 1.0
    """The smallest that it could have become in these numbers."""

    @property
    def name(self) -> str:
        """The disruption, with the node that was active before where that matters."""
        return f"{self.disruption} from {self.before_node}" if self.before_node else self.disruption

    @property
    def reason(self) -> str:
        """One sentence with the figures that the claim stands on."""
        sizes = f"{len(self.before)} against {count(len(self.after), 'run')}"
        if self.change is Change.MISSING:
            return f"{sizes}: there is nothing to compare"
        middles = f"median {_words(median(self.before))} → {_words(median(self.after))}"
        if self.test is None:
            return f"{middles}, {sizes}: no outcome could reach p < {SIGNIFICANCE_LEVEL} (at best {self.least:.3f})"
        figures = f"{middles}, shift {_signed(self.test.shift)}, p = {self.p:.3f}, {sizes}, period {seconds(self.period_s)}"
        within_period = abs(self.test.shift) <= self.period_s and self.p < SIGNIFICANCE_LEVEL
        return f"{figures}; less than a measuring period" if within_period else figures


@dataclass(frozen=True)
class Comparison:
    """The rows, and what keeps the two runs from being comparable at all."""

    rows: list[Row]
    notes: list[str]
    missing: int = 0
    """Disruptions that the first run measured and the second did not."""

    @property
    def exit_code(self) -> ExitCode:
        """0 not slower, 1 slower, 3 cannot tell; what is slower is told before what cannot be told."""
        found_changes = {row.change for row in self.rows}
        if Change.SLOWER in found_changes:
            return ExitCode.FAILED
        unclear = not self.rows or self.missing or found_changes & {Change.TOO_FEW, Change.MISSING}
        return ExitCode.INCONCLUSIVE if unclear else ExitCode.PASSED

    @property
    def sentence(self) -> str:
        """The whole comparison in one sentence."""
        number = {change: sum(row.change is change for row in self.rows) for change in Change}
        if not self.rows:
            return "Cannot tell: the two runs have no measured disruption in common."
        if number[Change.SLOWER]:
            return f"Slower: {number[Change.SLOWER]} of {count(len(self.rows), 'comparison')}."
        if self.exit_code is ExitCode.INCONCLUSIVE:
            if fewer := number[Change.TOO_FEW] + number[Change.MISSING]:
                return f"Cannot tell: too few runs in {fewer} of {count(len(self.rows), 'comparison')}; measure with more repeats."
            return f"Cannot tell: {count(self.missing, 'disruption')} of the first run not measured in the second."
        return f"Not slower: {count(len(self.rows), 'comparison')}, {number[Change.FASTER]} of them faster."


def compare(before: RunRecord, after: RunRecord) -> Comparison:
    """Compare what both runs measured, disruption by disruption."""
    groups_before, groups_after = ({(g.disruption, g.design, g.before, g.target): g for g in groups(run)} for run in (before, after))
    rows = _rows([(groups_before[key], groups_after[key]) for key in groups_before if key in groups_after])
    notes = [*_differences(before, after), *_exclusion_notes(before, "the first run"), *_exclusion_notes(after, "the second run")]
    notes += _measured_in_one_run(groups_before, groups_after, "the first run") + _measured_in_one_run(
        groups_after, groups_before, "the second run"
    )
    return Comparison(rows, notes, len({key[:2] for key in groups_before} - {key[:2] for key in groups_after}))


_Key = tuple[str, str, str, str]  # disruption, design, the node active before, the target


def _measured_in_one_run(groups: Mapping[_Key, Group], other_groups: Mapping[_Key, Group], run_name: str) -> list[str]:
    """What one run measured alone: a disruption, or one direction of it."""
    elsewhere = {key[:2] for key in other_groups}
    missing = [key for key in groups if key not in other_groups]
    descriptions = [f"{name} ({design})" + (f" from {node}" if (name, design) in elsewhere else "") for name, design, node, _ in missing]
    return [f"{description} was measured in {run_name} only" for description in dict.fromkeys(descriptions)]


def compare_series(
    disruption: str,
    path: str,
    service: str,
    kind: str,
    before: Iterable[float],
    after: Iterable[float],
    period_s: float,
    *,
    before_node: str = "",
    p: float | None = None,
    among: int = 1,
) -> Row:
    """One comparison, judged by its own p, or by one that is corrected for all others of `among` disruptions and directions."""
    first, second = tuple(before), tuple(after)
    if not first or not second:
        return Row(disruption, path, service, kind, first, second, period_s, None, Change.MISSING, before_node)
    test = mann_whitney(first, second)
    p, least = test.p if p is None else p, min(1.0, among * least_p(len(first), len(second)))
    few = p >= SIGNIFICANCE_LEVEL <= least
    change = Change.TOO_FEW if few else _change(p, test.shift, period_s)
    return Row(disruption, path, service, kind, first, second, period_s, None if few else test, change, before_node, p, least)


def _change(p: float, shift: float, period_s: float) -> Change:
    if p >= SIGNIFICANCE_LEVEL or abs(shift) <= period_s:
        return Change.SAME
    return Change.SLOWER if shift > 0 else Change.FASTER


_Series = tuple[str, str, str]  # path, service, kind
_Table = dict[_Series, list[SeriesFigure | None]]  # a figure for each repeat, None where it is not known


def _rows(pairs: Sequence[tuple[Group, Group]]) -> list[Row]:
    tables = [(_table(old), _table(new)) for old, new in pairs]
    results: list[tuple[int, _Series, float | None]] = []
    for number, (before, after) in enumerate(tables):
        results += [(number, key, p) for key, p in _correct_p(before, after).items()]
    tested = [(number, p) for number, _, p in results if p is not None]
    families = [number for number, _ in tested]
    corrected = iter(holm([p for _, p in tested], families))
    rows = []
    for number, key, p in results:
        old, new = pairs[number]
        first, second = ([figure for figure in table.get(key, []) if figure is not None] for table in tables[number])
        period = max((figure.series.period_s for figure in [*first, *second]), default=0.0)
        values = [figure.value for figure in first], [figure.value for figure in second]
        node = "" if old.alone and new.alone else old.before
        corrected_p = None if p is None else next(corrected)
        rows.append(compare_series(old.disruption, *key, *values, period, before_node=node, p=corrected_p, among=len(set(families))))
    return rows


def _correct_p(before: _Table, after: _Table) -> dict[_Series, float | None]:
    """p of each series, corrected for all series of the disruption; None where one side knows no figure of it."""
    sizes = tuple(len(next(iter(table.values()), [])) for table in (before, after))
    keys = list(dict.fromkeys([*before, *after]))
    rows_by_series = {key: [table.get(key, [None] * size) for table, size in zip((before, after), sizes, strict=True)] for key in keys}
    comparable = [key for key in keys if all(any(figures_of_side) for figures_of_side in rows_by_series[key])]
    p_by_series: dict[_Series, float | None] = dict.fromkeys(keys)
    if comparable:
        rows = [
            [None if figure is None else figure.value for figures_of_side in rows_by_series[key] for figure in figures_of_side]
            for key in comparable
        ]
        p_by_series |= dict(zip(comparable, joint_test(Block([(sizes[0], sizes[1])], rows), two_sided=True).p, strict=True))
    return p_by_series


def _table(group: Group) -> _Table:
    """Of the measurements whose timing can be relied on; in the order of the paths."""
    records = [record for record in group.records if record.measured.timing.outcome is Outcome.PASS]
    table: _Table = {}
    for path in PathName:
        for number, record in enumerate(records):
            for figure in figures(record, path):
                row = table.setdefault((path.value, figure.series.service, figure.series.kind), [None] * len(records))
                row[number] = figure if figure.known else None
    return table


def _exclusion_notes(run: RunRecord, run_name: str) -> list[str]:
    doubtful = [r.id for r in run.measurements if r.measured.timing.outcome is not Outcome.PASS]
    notes = [f"{run_name}: {', '.join(doubtful)} left out, because the timing could not be relied on"] if doubtful else []
    unknown = [f"{f.series.id} of {r.id}" for r in run.measurements if r.id not in doubtful for f in figures(r) if not f.known]
    if unknown:
        remainder = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        notes.append(f"{run_name}: not known, and left out: {', '.join(unknown[:3])}{remainder}")
    return notes


def _differences(before: RunRecord, after: RunRecord) -> list[str]:
    """What may explain a change, and what of the set-up only one run knows."""
    if before.cluster is None or after.cluster is None:
        return []
    old, new = (context_of(run.harness_version, run.cluster) for run in (before, after) if run.cluster)
    unknown = not_known_whether_comparable(before, after)
    notes = [f"nobody knows whether these are the same: {', '.join(unknown)}"] if unknown else []
    return [*(f"the runs differ in {change}" for change in changes(old, new)), *notes]


def _words(value: float) -> str:
    return "never" if math.isinf(value) else seconds(value)


def _signed(value: float) -> str:
    return f"{'-' if value < 0 else '+'}{_words(abs(value))}"
