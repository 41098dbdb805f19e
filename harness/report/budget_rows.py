"""Of each path after each disruption its worst figure against its budget, and the phase that took more than its part of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.text.wording import seconds
from harness.diagnosis.outages.outage_causes import Explained, OutageExplanation, explain
from harness.remote.recording.recording import NEW
from harness.report.record.run_record import PathName, Result, RunRecord
from harness.report.record.run_verdict import severity
from harness.report.statistics.outage_statistics import Group, SeriesFigure, groups, least_budget, worst_of

NO_OUTAGE = "no outage"
UNTOUCHED = "untouched"  # of a path that may not be out, as in `Measured.expects`


@dataclass(frozen=True)
class BudgetRow:
    """One path in all repeats of one disruption in one direction."""

    group: Group
    path: str
    result: Result
    """The worst outcome of the path in any repeat."""
    figure: SeriesFigure
    """Its longest figure."""
    allowed_s: float
    """The budget in seconds; 0: no outage is allowed."""
    longest: str
    """The longest phase of that figure's outage, such as `service up 3.10 s`; empty where nothing was out."""
    over: str
    """Which phase took more than the budget's sum has for it, in words; empty where none did."""

    @property
    def allowed(self) -> str:
        """The budget in words."""
        return allowed_in_words(UNTOUCHED if not self.allowed_s else "", self.allowed_s)

    @property
    def used(self) -> str:
        """How much of the budget the figure is: `42 %`; empty where there is no figure, or no budget for it."""
        is_known = self.allowed_s and self.figure.known and not self.figure.never
        return f"{100 * self.figure.value / self.allowed_s:.0f} %" if is_known else ""


def allowed_in_words(expects: str, budget_s: float) -> str:
    """What a path is allowed that must do this: its budget, or no outage at all."""
    return NO_OUTAGE if expects == UNTOUCHED else seconds(budget_s)


def budget_rows(run: RunRecord) -> list[BudgetRow]:
    """One for each disruption, direction and path of which something is demanded; what did not pass comes first, else in order of time."""
    rows = [row for group in groups(run) for row in _group_rows(group)]
    return sorted(rows, key=lambda row: severity(row.result))


def _group_rows(group: Group) -> list[BudgetRow]:
    explanations = {record.id: explain(record.measured) for record in group.records}
    rows = []
    for path in PathName:
        figures = [f for record in group.records if (f := worst_of(record, path)) is not None and f.demanded]
        if not figures:
            continue
        worst = max(figures, key=lambda figure: (figure.known, figure.value))
        untouched = worst.record.measured.expects.get(path) == UNTOUCHED
        longest = worst.longest[0] if worst.longest else None
        worst_outage = next(
            (
                outage
                for outage in explanations[worst.record.id].outages
                if outage.series.id == worst.series.id and outage.number == longest
            ),
            None,
        )
        rows.append(
            BudgetRow(
                group,
                path.value,
                min((figure.result for figure in figures), key=severity),
                worst,
                0.0 if untouched else least_budget(figures),
                "" if worst_outage is None else f"{worst_outage.phases.longest.name} {seconds(worst_outage.phases.longest.seconds)}",
                _overrun_in_words([explanations[figure.record.id] for figure in figures], path, worst_outage),
            )
        )
    return rows


def _overrun_in_words(explanations: Sequence[Explained], path: str, worst_outage: OutageExplanation | None) -> str:
    """The words of the worst figure's own outage, else of the longest one that has any; and in how many repeats there are some."""
    by_repeat = [
        [outage for outage in repeat.outages if outage.over and outage.series.path == path and outage.series.kind == NEW]
        for repeat in explanations
    ]
    outages = [outage for repeat in by_repeat for outage in repeat]
    if not outages:
        return ""
    words = (
        worst_outage.over if worst_outage is not None and worst_outage.over else max(outages, key=lambda outage: outage.outage.seconds).over
    )
    return (
        words
        if len(explanations) == 1
        else f"{words} (in {sum(map(bool, by_repeat))} of {len(explanations)} repeats a phase was over its part)"
    )
