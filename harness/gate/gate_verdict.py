"""The gate's word on a run: budgets, skips, findings, and the comparison with the baseline. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.core.text.wording import count
from harness.core.verdict import Outcome
from harness.gate.allowed_skips import skip_findings
from harness.gate.budgets import budget_findings
from harness.gate.gate_file import Gate, LoadedGate
from harness.gate.path_and_phase_figures import night_to_night, repeats, samples
from harness.gate.slowdown import FAIL, PASS, REFUSED, slowdown
from harness.report.record.gate_record import GateFinding, GateRecord
from harness.report.record.run_record import Result, RunRecord, RunState
from harness.report.record.run_verdict import judge, tally
from harness.report.statistics.comparability import not_known_whether_comparable


def judge_gate(loaded: LoadedGate, run: RunRecord, baseline: Sequence[RunRecord], left_out: Sequence[str] = ()) -> GateRecord:
    """`baseline` are the runs that it is held against, comparable ones all of them; empty where the gate demands no comparison. `left_out`
    says of runs that might have been among them why they are not."""
    gate = loaded.gate
    findings = [
        *_measured(gate, run),
        *budget_findings(gate.budget, run),
        *skip_findings(gate, run),
        *_findings(gate, run),
        *_run_end_findings(run),
    ]
    if gate.baseline.runs or gate.baseline.last_good:
        findings += _slowdown(gate, run, baseline, left_out)
    failed, refused = ([finding for finding in findings if finding.outcome == what] for what in (FAIL, REFUSED))
    if failed:
        outcome, reason = FAIL, _first(failed, "not kept")
    elif refused:
        outcome, reason = REFUSED, _first(refused, "without a word")
    else:
        outcome, reason = PASS, f"all {count(len(findings), 'demand')} of the gate kept"
    return GateRecord(
        file=loaded.path.name,
        sha256=loaded.sha256,
        outcome=outcome,
        reason=reason,
        baseline=[older.run_id for older in baseline],
        findings=findings,
    )


def _first(findings: Sequence[GateFinding], what: str) -> str:
    first = findings[0]
    return f"{count(len(findings), 'demand')} of the gate {what}{', first' if len(findings) > 1 else ''}: {first.about}: {first.reason}"


def _run_end_findings(run: RunRecord) -> Iterable[GateFinding]:
    """Failed tests and audits, and a run that came to no end or executed nothing, whatever the gate demands besides.

    Tests and audits that could not be judged are a finding, which the gate may allow.
    """
    if run.state is not RunState.FINISHED:
        yield GateFinding(about="the run", outcome=REFUSED, reason=f"it did not end by itself ({run.state.value}): {run.state_reason}")
    verdict = judge(run.model_copy(update={"gate": None, "state": RunState.FINISHED}))
    if verdict.outcome is Outcome.FAIL or not tally(run.tests).executed:
        yield GateFinding(about="tests and audits", outcome=FAIL if verdict.outcome is Outcome.FAIL else REFUSED, reason=verdict.reason)


def _measured(gate: Gate, run: RunRecord) -> Iterable[GateFinding]:
    disruptions = {record.measured.disruption for record in run.measurements}
    for name in gate.disruptions:
        about = f"measured: {name}"
        if name in disruptions:
            yield GateFinding(about=about, outcome=PASS, reason="it was")
        else:
            yield GateFinding(about=about, outcome=FAIL, reason="the run did not measure it")


def _findings(gate: Gate, run: RunRecord) -> Iterable[GateFinding]:
    verdicts = [*((test.title, test.verdict) for test in run.tests), *((audit.name, audit.verdict) for audit in run.audits)]
    sentences = {
        "inconclusive": [f"{title}: {said.reason}" for title, said in verdicts if said.outcome is Result.INCONCLUSIVE],
        "set-aside": [f"{record.id} was set aside because of noise" for record in run.set_aside],
        "missing-evidence": [f"{fault.name}: {fault.reason}" for fault in run.evidence_faults],
        "host-note": [f"{note.host}: {note.text}" for note in run.host_notes],
        "cause": [cause.sentence for cause in run.causes],
    }
    for kind in gate.findings.fail:
        if of_kind := sentences[kind]:
            yield GateFinding(about=f"findings: {kind}", outcome=FAIL, reason=f"{len(of_kind)} of them, first: {of_kind[0]}")
        else:
            yield GateFinding(about=f"findings: {kind}", outcome=PASS, reason="none")


def _slowdown(gate: Gate, run: RunRecord, baseline: Sequence[RunRecord], left_out: Sequence[str]) -> Iterable[GateFinding]:
    if run.measurements and not repeats(run):
        reason = "incidents of a flight recorder are no repeats of one thing; a gate for them has budgets, and no [baseline]"
        yield GateFinding(about="slowdown", outcome=REFUSED, reason=reason)
        return
    if not baseline:
        why = f"; {count(len(left_out), 'run')} left out, first {left_out[0]}" if left_out else ""
        reason = (
            f"there is no comparable run that passed, so there is no baseline{why}; a run whose tests passed is one for the runs after it"
        )
        yield GateFinding(about="slowdown", outcome=REFUSED, reason=reason)
        return
    unknown = list(dict.fromkeys(clause for older in baseline for clause in not_known_whether_comparable(older, run)))
    if unknown:
        note = f"taken for comparable, though nobody knows whether these are the same: {', '.join(unknown)}"
        yield GateFinding(about="slowdown: the baseline", outcome=PASS, reason=note)
    before, after = samples(baseline), samples([run])
    if not after:
        yield GateFinding(about="slowdown", outcome=REFUSED, reason="the run has no figure that can be compared")
        return
    must_see = run.cluster.probe.interval_s if run.cluster else 1.0
    scatter = {disruption: night_to_night(baseline, disruption) for disruption in after}
    yield from slowdown(before, after, gate.slowdown, must_see, scatter, gate.disruptions)
