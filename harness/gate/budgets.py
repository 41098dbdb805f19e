"""Budgets of the gate: no repeat may take longer. What is not known keeps no budget. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.core.text.wording import count, seconds
from harness.core.verdict import Outcome
from harness.gate.gate_file import Budget
from harness.gate.slowdown import FAIL, PASS, REFUSED
from harness.report.record.gate_record import GateFinding
from harness.report.record.measurement_record import MeasurementRecord
from harness.report.record.run_record import PathName, RunRecord
from harness.report.statistics.outage_statistics import ANY, SeriesFigure, unknown_figures, worst_of


@dataclass(frozen=True)
class _Held:
    """One figure that a budget is held against, infinite for a path that did not come back; `unknown` says why there is none."""

    record: MeasurementRecord
    path: str
    value: float = 0.0
    unknown: str = ""

    @property
    def where(self) -> str:
        """`03-switchover, client path`."""
        return f"{self.record.id}, {self.path} path"


def budget_findings(budgets: Iterable[Budget], run: RunRecord) -> Iterable[GateFinding]:
    """One finding for each budget."""
    for budget in budgets:
        what = [
            budget.disruption if budget.disruption != "*" else "any disruption",
            f"{budget.path} path" if budget.path != "*" else "any path",
        ]
        about = "budget: " + ", ".join([*what, *([f"phase {budget.phase}"] if budget.phase else [])])
        outcome, reason = _judge_budget(budget, [held for record in run.measurements for held in _of(budget, record)])
        yield GateFinding(about=about, outcome=outcome, reason=reason)


def _judge_budget(budget: Budget, held: Sequence[_Held]) -> tuple[str, str]:
    known_figures = [figure for figure in held if not figure.unknown]
    over = [figure for figure in known_figures if figure.value > budget.seconds]
    lacking = [figure for figure in held if figure.unknown]
    if not known_figures:
        ask = "; is that phase ever seen?" if budget.phase else ""
        why = f": {lacking[0].where}: {lacking[0].unknown}" if lacking and not budget.phase else ""
        return REFUSED, f"the run has no such figure{ask}{why}"
    also = f"; {len(lacking)} of {count(len(held), 'figure')} not known, first {lacking[0].where}: {lacking[0].unknown}" if lacking else ""
    if over:
        worst = max(over, key=lambda figure: figure.value)
        words = "did not come back" if math.isinf(worst.value) else f"took {seconds(worst.value)}"
        return FAIL, f"{len(over)} of {len(held)} over {seconds(budget.seconds)}; {worst.where}, {words}{also}"
    most = max(figure.value for figure in known_figures)
    reason = f"at most {seconds(most)} of {seconds(budget.seconds)} in {count(len(known_figures), 'figure')}{also}"
    return (REFUSED if lacking else PASS), reason


def _of(budget: Budget, record: MeasurementRecord) -> Iterable[_Held]:
    if budget.disruption not in ("*", record.measured.disruption):
        return
    relied_on = record.measured.timing.outcome is Outcome.PASS
    for path in PathName:
        if budget.path not in ("*", path.value):
            continue
        figure, expects = worst_of(record, path), record.measured.expects.get(path, "")
        if figure is None and (budget.path != "*" or expects not in ("", ANY)):
            yield _Held(record, path, unknown="it was not measured on that path")
        if figure is None or not figure.demanded:
            continue
        missing = unknown_figures(record, path)
        if not relied_on:
            yield _Held(record, path, unknown=f"its timing could not be relied on: {record.measured.timing.reason}")
            continue
        for lack in missing:
            yield _Held(record, path, unknown=f"{lack.series.service}: {lack.words}")
        if figure.known:
            yield _of_figure(budget, record, path, figure)


def _of_figure(budget: Budget, record: MeasurementRecord, path: str, figure: SeriesFigure) -> _Held:
    """Of a phase: its seconds in the longest outage; none where it lies outside of that, or nothing was out at all."""
    if not budget.phase:
        return _Held(record, path, figure.value)
    if figure.longest is None:
        return _Held(record, path, 0.0)
    durations_s = [phase.seconds for phase in record.phases_of(figure.series.id, figure.longest[0]) if phase.name == budget.phase]
    if durations_s:
        return _Held(record, path, sum(durations_s))
    if any(boundary.name == budget.phase and boundary.at is not None for boundary in record.measured.boundaries):
        return _Held(record, path, 0.0)
    return _Held(record, path, unknown=f"nobody saw {budget.phase!r}")
