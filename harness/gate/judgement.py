"""The gate's word on a run: budgets, skips, findings, and the comparison with the baseline. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase

from harness.core.text import count, seconds
from harness.core.verdict import Outcome
from harness.gate.gate_file import AllowedSkip, Budget, Gate, LoadedGate
from harness.gate.samples import night_to_night, samples
from harness.gate.slowdown import FAIL, PASS, REFUSED, slowdown
from harness.report.record.gate_record import GateFinding, GateRecord
from harness.report.record.measurement_record import MeasurementRecord
from harness.report.record.run_record import PathName, Result, RunRecord, RunState, TestRecord
from harness.report.record.run_verdict import judge, tally
from harness.report.statistics.gate_statistics import worst_of


def judge_gate(loaded: LoadedGate, run: RunRecord, baseline: Sequence[RunRecord]) -> GateRecord:
    """`baseline` are the runs that it is held against, comparable ones all of them; empty where the gate demands no comparison."""
    gate = loaded.gate
    found = [*_measured(gate, run), *_budgets(gate, run), *_skips(gate, run), *_findings(gate, run), *_ended(run)]
    if gate.baseline.runs or gate.baseline.last_good:
        found += _slowdown(gate, run, baseline)
    failed, refused = ([one for one in found if one.outcome == what] for what in (FAIL, REFUSED))
    if failed:
        outcome, reason = FAIL, _first(failed, "not kept")
    elif refused:
        outcome, reason = REFUSED, _first(refused, "without a word")
    else:
        outcome, reason = PASS, f"all {count(len(found), 'demand')} of the gate kept"
    return GateRecord(
        file=loaded.path.name,
        sha256=loaded.sha256,
        outcome=outcome,
        reason=reason,
        baseline=[one.run_id for one in baseline],
        findings=found,
    )


def _first(found: Sequence[GateFinding], what: str) -> str:
    return f"{count(len(found), 'demand')} of the gate {what}{', first' if len(found) > 1 else ''}: {found[0].about}: {found[0].reason}"


def _ended(run: RunRecord) -> Iterable[GateFinding]:
    """Failed tests and audits, and a run that came to no end or executed nothing, whatever the gate demands besides.

    Tests that could not be judged are a finding, which the gate may allow.
    """
    if run.state is not RunState.FINISHED:
        yield GateFinding(about="the run", outcome=REFUSED, reason=f"it did not end by itself ({run.state.value}): {run.state_reason}")
    own, _ = judge(run.model_copy(update={"gate": None, "state": RunState.FINISHED}))
    if own.outcome is Outcome.FAIL or not tally(run.tests).executed:
        yield GateFinding(about="tests and audits", outcome=FAIL if own.outcome is Outcome.FAIL else REFUSED, reason=own.reason)


def _measured(gate: Gate, run: RunRecord) -> Iterable[GateFinding]:
    known = {record.measured.disruption for record in run.measurements}
    for name in gate.disruptions:
        about = f"measured: {name}"
        if name in known:
            yield GateFinding(about=about, outcome=PASS, reason="it was")
        else:
            yield GateFinding(about=about, outcome=FAIL, reason="the run did not measure it")


def _budgets(gate: Gate, run: RunRecord) -> Iterable[GateFinding]:
    for budget in gate.budget:
        what = [
            budget.disruption if budget.disruption != "*" else "any disruption",
            f"{budget.path} path" if budget.path != "*" else "any path",
        ]
        about = "budget: " + ", ".join([*what, *([f"phase {budget.phase}"] if budget.phase else [])])
        held = [(record, path, value) for record in run.measurements for path, value in _values(budget, record)]
        over = [(record, path, value) for record, path, value in held if value is None or value > budget.seconds]
        if not held:
            reason = "the run has no such figure" if not budget.phase else "the run has no such figure; is that phase ever seen?"
            yield GateFinding(about=about, outcome=REFUSED, reason=reason)
        elif over:
            record, path, value = max(over, key=lambda one: float("inf") if one[2] is None else one[2])
            words = "did not come back" if value is None else f"took {seconds(value)}"
            yield GateFinding(
                about=about,
                outcome=FAIL,
                reason=f"{len(over)} of {len(held)} over {seconds(budget.seconds)}; {record.id}, {path} path, {words}",
            )
        else:
            most = max(value or 0.0 for _, _, value in held)
            yield GateFinding(
                about=about, outcome=PASS, reason=f"at most {seconds(most)} of {seconds(budget.seconds)} in {len(held)} figures"
            )


def _values(budget: Budget, record: MeasurementRecord) -> Iterable[tuple[str, float | None]]:
    """The seconds that a budget is held against: those that could be measured; None for a path that did not come back."""
    if budget.disruption not in ("*", record.measured.disruption):
        return
    for path in PathName:
        if budget.path not in ("*", path.value) or (figure := worst_of(record, path)) is None or not figure.known or not figure.demanded:
            continue
        if not budget.phase:
            yield path.value, None if figure.never else figure.value
        elif figure.longest is not None:
            for phase in record.phases_of(figure.series.id, figure.longest[0]):
                if phase.name == budget.phase:
                    yield path.value, phase.seconds


def _skips(gate: Gate, run: RunRecord) -> Iterable[GateFinding]:
    skipped = [test for test in run.tests if test.verdict.outcome is Result.SKIPPED]
    if gate.skips == "any" or not skipped:
        return
    today = datetime.fromtimestamp(run.started.epoch, UTC).date()
    for test in skipped:
        allowed = next((one for one in gate.allowed_skip if _matches(one, test)), None)
        about = f"skipped: {test.title}"
        if allowed is None:
            yield GateFinding(
                about=about, outcome=FAIL, reason=f"no [[allowed_skip]] names it; it was skipped because {test.verdict.reason}"
            )
        elif _over(allowed, today):
            yield GateFinding(about=about, outcome=FAIL, reason=f"{allowed.by} allowed it until {allowed.until}, because {allowed.because}")
        else:
            yield GateFinding(about=about, outcome=PASS, reason=f"allowed by {allowed.by}, because {allowed.because}")


def _matches(one: AllowedSkip, test: TestRecord) -> bool:
    return fnmatchcase(test.id, one.test) or fnmatchcase(test.title, one.test)


def _over(one: AllowedSkip, today: date) -> bool:
    return one.until is not None and today > one.until


def _findings(gate: Gate, run: RunRecord) -> Iterable[GateFinding]:
    told = {
        "inconclusive": [f"{t.title}: {t.verdict.reason}" for t in run.tests if t.verdict.outcome is Result.INCONCLUSIVE],
        "set-aside": [f"{record.id} was set aside because of noise" for record in run.set_aside],
        "missing-evidence": [f"{fault.name}: {fault.reason}" for fault in run.evidence_faults],
        "host-note": [f"{note.host}: {note.text}" for note in run.host_notes],
        "cause": [cause.sentence for cause in run.causes],
    }
    for kind in gate.findings.fail:
        if told[kind]:
            yield GateFinding(about=f"findings: {kind}", outcome=FAIL, reason=f"{len(told[kind])} of them, first: {told[kind][0]}")
        else:
            yield GateFinding(about=f"findings: {kind}", outcome=PASS, reason="none")


def _slowdown(gate: Gate, run: RunRecord, baseline: Sequence[RunRecord]) -> Iterable[GateFinding]:
    if not baseline:
        yield GateFinding(about="slowdown", outcome=REFUSED, reason="there is no comparable run that passed, so there is no baseline")
        return
    before, after = samples(baseline), samples([run])
    if not after:
        yield GateFinding(about="slowdown", outcome=REFUSED, reason="the run has no figure that can be compared")
        return
    must_see = run.cluster.probe.interval_s if run.cluster else 1.0
    yield from slowdown(before, after, gate.slowdown, must_see, {key: night_to_night(baseline, key) for key in after})
