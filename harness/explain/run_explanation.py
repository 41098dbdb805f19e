"""Why a stored run is as it is: each failed check, each outage. From its folder alone, which a stranger may have written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.core.text.host_text import cut_at_word, one_line
from harness.core.text.wording import seconds
from harness.core.verdict import Outcome
from harness.diagnosis import wire_code_causes
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.outages.outage_causes import Explained, explain
from harness.diagnosis.wire_code_causes import RouteTaken
from harness.explain.explanation_output import LocatedCause, failures_first
from harness.explain.failure_causes import FailureStates
from harness.report.record.labels import LABEL, cluster_in_words
from harness.report.record.measurement_record import MeasurementRecord
from harness.report.record.run_record import AuditRecord, CauseRecord, CheckRecord, Result, RunRecord, RunState, TestRecord
from harness.report.run_reader import load_record

MAX_VERDICT_LENGTH = 300  # characters of a verdict that is told as a cause
MAX_STORED_CAUSES = 50  # causes in run.json
BAD = (Result.FAIL, Result.INCONCLUSIVE)
ENDED_EARLY = (RunState.UNUSABLE, RunState.BAD_USE, RunState.INTERRUPTED)
LOOK = "look at the cluster as it is with `lkharness check`, which names the rule and the host"


@dataclass(frozen=True)
class RunExplanation:
    """`causes` in order: what failed first. `outages` has every outage of every measurement."""

    run: RunRecord
    causes: tuple[LocatedCause, ...]
    outages: tuple[dict[str, Any], ...] = ()

    def as_data(self) -> dict[str, Any]:
        """The explanation as `explain --json` prints it."""
        return {
            "run": self.run.run_id,
            "outcome": str(self.run.verdict.outcome),
            "reason": self.run.verdict.reason,
            "causes": [cause.as_data() for cause in self.causes],
            "outages": list(self.outages),
            "exit_code": int(self.run.exit_code),
        }

    def as_text(self) -> str:
        """The explanation for a terminal, causes of failures first."""
        run = self.run
        lines = [cause.as_text() for cause in self.causes if cause.failed]
        lines += [""] if lines else []
        lines.append(one_line(f"{LABEL[run.verdict.outcome]}: run {run.run_id}, {seconds(run.seconds)} on {cluster_in_words(run.cluster)}"))
        other_causes = [cause.as_text() for cause in self.causes if not cause.failed]
        if not self.causes:
            lines.append("nothing failed, and no path was out: there is nothing to explain")
        return "\n".join([*lines, *other_causes])


def explain_run(folder: Path) -> RunExplanation:
    """The explanation of the run in that folder. Raises BadUse for what is no run."""
    return explain_record(load_record(folder), folder)


def causes(run: RunRecord, folder: Path) -> list[CauseRecord]:
    """Why what failed in the run did so, as run.json stores it."""
    failed_causes = [cause for cause in explain_record(run, folder).causes if cause.failed][:MAX_STORED_CAUSES]
    return [
        CauseRecord(
            says=cause.cause.says,
            host=cause.cause.host,
            certainty=cause.cause.certainty.value,
            evidence=list(cause.cause.evidence),
            do=cause.cause.do,
            otherwise=cause.cause.otherwise,
            symptoms=list(cause.symptoms),
            of=cause.of,
            tests=list(cause.tests),
        )
        for cause in failed_causes
    ]


def explain_record(run: RunRecord, folder: Path) -> RunExplanation:
    """`folder` has what hosts said when something failed; what lies outside of it is not read."""
    causes: list[LocatedCause] = []
    outages: list[dict[str, Any]] = []
    states = FailureStates(run, folder)
    for record in run.measurements:
        explanation = explain(record.measured)
        causes += _measurement_causes(record, explanation)
        outages += [cause.as_data(record.id, record.measured) for cause in explanation.outages]
    causes += [cause for audit in run.audits if audit.verdict.outcome in BAD for cause in _audit_causes(states, audit)]
    causes += [cause for test in run.tests for cause in _test_causes(run, states, test)]
    if run.state in ENDED_EARLY and not any(cause.failed for cause in causes):
        causes.append(
            LocatedCause(_verdict_cause(run.state_reason or str(run.state), "", "fix that, and run it again"), run.run_id, failed=True)
        )
    return RunExplanation(run, tuple(failures_first(_merge_repeats(causes))), tuple(outages))


def _merge_repeats(causes: list[LocatedCause]) -> list[LocatedCause]:
    """What is told again of another test, or in a longer sentence, is a symptom of what was told before."""
    merged: list[LocatedCause] = []
    for cause in causes:
        index = next((n for n, k in enumerate(merged) if k.failed and cause.failed and k.cause.says in cause.cause.says), None)
        if index is None:
            merged.append(cause)
            continue
        symptoms, tests = ([*merged[index].symptoms, *cause.symptoms], [*merged[index].tests, *cause.tests])
        merged[index] = replace(merged[index], symptoms=tuple(dict.fromkeys(symptoms)), tests=tuple(dict.fromkeys(tests)))
    return merged


def _measurement_causes(record: MeasurementRecord, explanation: Explained) -> Iterator[LocatedCause]:
    """Its outages, and what else the verdict has against it: a token lost, two active nodes, the wrong node."""
    measured = record.measured
    for cause, under, failed in zip(explanation.causes, explanation.under, explanation.failed, strict=True):
        yield LocatedCause(cause, record.id, under, failed, (record.test,) if failed else ())
    if measured.verdict.outcome is Outcome.PASS or any(explanation.failed):
        return
    certainty = Certainty.CERTAIN if measured.verdict.outcome is Outcome.FAIL else Certainty.POSSIBLE
    do = f"look at {record.recording} with `lkharness judge`, and at the picture of {record.id} in report.html"
    cause = _verdict_cause(f"{measured.disruption}: {measured.verdict.reason}", measured.target, do, certainty)
    yield LocatedCause(cause, record.id, failed=True, tests=(record.test,))


def _audit_causes(states: FailureStates, audit: AuditRecord) -> Iterator[LocatedCause]:
    """By what all hosts said when it failed; the audit's own sentence where that names no cause."""
    tests = (audit.after,) if audit.after else ()
    causes = states.causes(audit.after or "")
    for cause, _ in causes:
        yield LocatedCause(cause, audit.after or audit.name, (f"{audit.name}: {audit.verdict.reason}",), True, tests)
    if not causes:
        yield LocatedCause(_verdict_cause(audit.verdict.reason, "", LOOK), audit.after or audit.name, (audit.name,), True, tests)


def _test_causes(run: RunRecord, states: FailureStates, test: TestRecord) -> Iterator[LocatedCause]:
    """Why its checks failed; a test that failed by its measurement was explained with that."""
    measured = [m.measured.verdict.outcome for m in run.measurements if m.test == test.id]
    if test.verdict.outcome not in BAD or any(outcome is not Outcome.PASS for outcome in measured):
        return
    checks = [check for check in test.checks if check.verdict.outcome in BAD]
    causes = states.causes(test.id) if test.verdict.outcome is Result.FAIL else []
    symptoms = {symptom for _, under in causes for symptom in under}
    unexplained = [c for c in checks if (f"{c.path}/{c.service}" not in symptoms if c.path else not causes)]
    check_causes = [cause for check in unexplained for cause in _check_causes(run, check)]
    if not checks and not causes:
        check_causes = [_verdict_cause(test.verdict.reason, "", "see the test in report.html, and timeline.jsonl around it")]
    # what explains a path of this test comes first, then how that travelled, then what else is wrong
    best = [cause for cause, under in causes if under]
    for cause in [*best, *check_causes, *(cause for cause, _ in causes if cause not in best)]:
        yield LocatedCause(cause, test.id, (test.title,), True, (test.id,))


def _check_causes(run: RunRecord, check: CheckRecord) -> Iterator[Cause]:
    """By how its attempts travelled, else by its own sentence."""
    vip = run.cluster.vip if run.cluster else "the VIP"
    evidence = (f"expected {check.expected}; seen {check.observed}",)
    expected = wire_code_causes.codes(check.expected)
    codes = [code for code in wire_code_causes.codes(check.wire or "") if code not in expected]
    routes = [RouteTaken(c, str(check.path), check.service or "", None, check.origin or "", check.node or "", vip) for c in codes]
    causes = [cause for route in routes if (cause := wire_code_causes.cause(route, evidence)) is not None]
    yield from causes or [_verdict_cause(check.verdict.reason, check.node or check.origin or "", LOOK, evidence=evidence)]


def _verdict_cause(sentence: str, host: str, do: str, certainty: Certainty = Certainty.LIKELY, evidence: tuple[str, ...] = ()) -> Cause:
    return Cause(_shorten(one_line(sentence)), host or "the run", certainty, do, evidence)


def _shorten(sentence: str) -> str:
    """A verdict may quote hundreds of attempts: its first sentences say what it is about, the report has them all."""
    clauses = sentence.split("; ")
    clauses_kept = clauses[:1]
    while len(clauses_kept) < len(clauses) and len("; ".join(clauses_kept)) + len(clauses[len(clauses_kept)]) < MAX_VERDICT_LENGTH:
        clauses_kept.append(clauses[len(clauses_kept)])
    left_out = len(clauses) - len(clauses_kept)
    shortened = cut_at_word("; ".join(clauses_kept), 2 * MAX_VERDICT_LENGTH)
    return f"{shortened}; and {left_out} more like it in the report" if left_out else shortened
