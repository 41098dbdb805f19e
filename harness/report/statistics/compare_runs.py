"""Did failover get slower from one run to another? Pure: from the two records.

Every series (path, service, new connections or one kept open) of every disruption that both runs measured, from the same node, is compared
by itself. A change is claimed only where a rank test would be this surprising once in twenty by chance AND the shift is more than one
measuring period.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from harness.core.errors import ExitCode
from harness.core.text import count, seconds
from harness.core.verdict import Outcome
from harness.report.record.run_record import PathName, RunRecord
from harness.report.statistics.gate_statistics import Group, figures, groups
from harness.report.statistics.mann_whitney import Test, least_p, mann_whitney

SIGNIFICANCE_LEVEL = 0.05


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
            least = least_p(len(self.before), len(self.after))
            return f"{middles}, {sizes}: no outcome could reach p < {SIGNIFICANCE_LEVEL} (at best {least:.3f})"
        figures = f"{middles}, shift {_signed(self.test.shift)}, p = {self.test.p:.3f}, {sizes}, period {seconds(self.period_s)}"
        within = abs(self.test.shift) <= self.period_s and self.test.p < SIGNIFICANCE_LEVEL
        return f"{figures}; less than a measuring period" if within else figures


@dataclass(frozen=True)
class Comparison:
    """The rows, and what keeps the two runs from being comparable at all."""

    rows: list[Row]
    notes: list[str]

    @property
    def exit_code(self) -> ExitCode:
        """0 not slower, 1 slower, 3 cannot tell; what is slower is told before what cannot be told."""
        found = {row.change for row in self.rows}
        if Change.SLOWER in found:
            return ExitCode.FAILED
        unclear = not self.rows or found & {Change.TOO_FEW, Change.MISSING}
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
            fewer = number[Change.TOO_FEW] + number[Change.MISSING]
            return f"Cannot tell: too few runs in {fewer} of {count(len(self.rows), 'comparison')}; measure with more repeats."
        return f"Not slower: {count(len(self.rows), 'comparison')}, {number[Change.FASTER]} of them faster."


def compare(before: RunRecord, after: RunRecord) -> Comparison:
    """Compare what both runs measured, disruption by disruption."""
    old, new = ({(g.disruption, g.design, g.before, g.target): g for g in groups(run)} for run in (before, after))
    rows = [row for key in old if key in new for row in _rows(old[key], new[key])]
    notes = [*_differences(before, after), *_left_out(before, "the first run"), *_left_out(after, "the second run")]
    notes += _only(old, new, "the first run") + _only(new, old, "the second run")
    judged = sum(row.test is not None for row in rows)
    if judged >= 1 / SIGNIFICANCE_LEVEL:
        notes.append(f"of {judged} comparisons about {judged * SIGNIFICANCE_LEVEL / 2:.1f} look slower by chance alone")
    return Comparison(rows, notes)


_Key = tuple[str, str, str, str]  # disruption, design, the node active before, the target


def _only(here: Mapping[_Key, Group], there: Mapping[_Key, Group], which: str) -> list[str]:
    """What one run measured alone: a disruption, or one direction of it."""
    elsewhere = {key[:2] for key in there}
    missing = [key for key in here if key not in there]
    told = [f"{name} ({design})" + (f" from {node}" if (name, design) in elsewhere else "") for name, design, node, _ in missing]
    return [f"{what} was measured in {which} only" for what in dict.fromkeys(told)]


def compared(
    disruption: str,
    path: str,
    service: str,
    kind: str,
    before: Iterable[float],
    after: Iterable[float],
    period_s: float,
    *,
    before_node: str = "",
) -> Row:
    """One comparison, judged."""
    first, second = tuple(before), tuple(after)
    test = None
    if not first or not second:
        change = Change.MISSING
    elif least_p(len(first), len(second)) >= SIGNIFICANCE_LEVEL:
        change = Change.TOO_FEW
    else:
        test = mann_whitney(first, second)
        change = _change(test, period_s)
    return Row(disruption, path, service, kind, first, second, period_s, test, change, before_node)


def _change(test: Test, period_s: float) -> Change:
    if test.p >= SIGNIFICANCE_LEVEL or abs(test.shift) <= period_s:
        return Change.SAME
    return Change.SLOWER if test.shift > 0 else Change.FASTER


def _rows(old: Group, new: Group) -> Iterable[Row]:
    before, after = _values(old), _values(new)
    for key in before | after:
        path, service, kind = key
        first, second = before.get(key, []), after.get(key, [])
        period = max(p for _, p in [*first, *second])
        node = "" if old.alone and new.alone else old.before
        values = [v for v, _ in first], [v for v, _ in second]
        yield compared(old.disruption, path, service, kind, *values, period, before_node=node)


def _values(group: Group) -> dict[tuple[str, str, str], list[tuple[float, float]]]:
    """Seconds out and period by series, of the measurements whose timing can be relied on; in the order of the paths."""
    found: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for path in PathName:
        for record in group.records:
            if record.measured.timing.outcome is not Outcome.PASS:
                continue
            for figure in figures(record, path):
                if figure.known:
                    key = (path.value, figure.series.service, figure.series.kind)
                    found.setdefault(key, []).append((figure.value, figure.series.period_s))
    return found


def _left_out(run: RunRecord, which: str) -> list[str]:
    doubtful = [r.id for r in run.measurements if r.measured.timing.outcome is not Outcome.PASS]
    return [f"{which}: {', '.join(doubtful)} left out, because the timing could not be relied on"] if doubtful else []


def _differences(before: RunRecord, after: RunRecord) -> list[str]:
    """What is different about the two clusters, and may explain a change."""
    if before.cluster is None or after.cluster is None:
        return []
    old, new = before.cluster, after.cluster
    pairs = {
        "kind": (old.kind.value, new.kind.value),
        "design": (old.design, new.design),
        "probe interval": (f"{old.probe.interval_s:g} s", f"{new.probe.interval_s:g} s"),
        "probe threshold": (str(old.probe.threshold), str(new.probe.threshold)),
        **{name: (f"{value:g}", f"{new.timers[name]:g}") for name, value in old.timers.items() if name in new.timers},
    }
    return [f"the runs differ in {name}: {a} and {b}" for name, (a, b) in pairs.items() if a != b]


def _words(value: float) -> str:
    return "never" if math.isinf(value) else seconds(value)


def _signed(value: float) -> str:
    return f"{'-' if value < 0 else '+'}{_words(abs(value))}"
