"""Why a stored run is as it is: each failed check, each outage. From its folder alone, which a stranger may have written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.core.text import one_line, seconds
from harness.core.verdict import Outcome
from harness.diagnosis import wire_code_causes
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.outages.outage_causes import Explained, explain
from harness.diagnosis.wire_code_causes import RouteTaken
from harness.explain.explanation_output import LocatedCause, first
from harness.explain.failure_causes import FailureStates
from harness.report.record.labels import LABEL, where
from harness.report.record.measurement_record import MeasurementRecord
from harness.report.record.run_record import AuditRecord, CauseRecord, CheckRecord, Result, RunRecord, RunState, TestRecord
from harness.report.run_reader import load_record

MAX_VERDICT_LENGTH = 300  # characters of a verdict that is told as a cause
MAX_STORED_CAUSES = 50  # causes in run.json
BAD = (Result.FAIL, Result.INCONCLUSIVE)
ENDED_EARLY = (RunState.UNUSABLE, RunState.BAD_USE, RunState.INTERRUPTED)
LOOK = "look at the cluster as it is with `lkharness check`, which tells the rule and the host"


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
            "causes": [one.as_data() for one in self.causes],
            "outages": list(self.outages),
            "exit_code": int(self.run.exit_code),
        }

    def as_text(self) -> str:
        """The explanation for a terminal, causes of failures first."""
        run = self.run
        lines = [one.as_text() for one in self.causes if one.failed]
        lines += [""] if lines else []
        lines.append(one_line(f"{LABEL[run.verdict.outcome]}: run {run.run_id}, {seconds(run.seconds)} on {where(run.cluster)}"))
        rest = [one.as_text() for one in self.causes if not one.failed]
        if not self.causes:
            lines.append("nothing failed, and no path was out: there is nothing to explain")
        return "\n".join([*lines, *rest])


def look(folder: Path) -> RunExplanation:
    """The explanation of the run in that folder. Raises BadUse for what is no run."""
    return explained(load_record(folder), folder)


def causes(run: RunRecord, folder: Path) -> list[CauseRecord]:
    """Why what failed in the run did so, as run.json stores it."""
    told = [one for one in explained(run, folder).causes if one.failed][:MAX_STORED_CAUSES]
    return [
        CauseRecord(
            says=one.cause.says,
            host=one.cause.host,
            certainty=one.cause.certainty.value,
            evidence=list(one.cause.evidence),
            do=one.cause.do,
            otherwise=one.cause.otherwise,
            symptoms=list(one.symptoms),
            of=one.of,
            tests=list(one.tests),
        )
        for one in told
    ]


def explained(run: RunRecord, folder: Path) -> RunExplanation:
    """`folder` has what hosts said when something failed; what lies outside of it is not read."""
    told: list[LocatedCause] = []
    outages: list[dict[str, Any]] = []
    states = FailureStates(run, folder)
    for record in run.measurements:
        found = explain(record.measured)
        told += _of_measurement(record, found)
        outages += [one.as_data(record.id, record.measured) for one in found.outages]
    told += [one for audit in run.audits if audit.verdict.outcome in BAD for one in _of_audit(states, audit)]
    told += [one for test in run.tests for one in _of_test(run, states, test)]
    if run.state in ENDED_EARLY and not any(one.failed for one in told):
        told.append(LocatedCause(_plain(run.state_reason or str(run.state), "", "fix that, and run it again"), run.run_id, failed=True))
    return RunExplanation(run, tuple(first(_once(told))), tuple(outages))


def _once(told: list[LocatedCause]) -> list[LocatedCause]:
    """What is told again of another test, or in a longer sentence, is a symptom of what was told before."""
    kept: list[LocatedCause] = []
    for one in told:
        same = next((n for n, k in enumerate(kept) if k.failed and one.failed and k.cause.says in one.cause.says), None)
        if same is None:
            kept.append(one)
            continue
        symptoms, tests = ([*kept[same].symptoms, *one.symptoms], [*kept[same].tests, *one.tests])
        kept[same] = replace(kept[same], symptoms=tuple(dict.fromkeys(symptoms)), tests=tuple(dict.fromkeys(tests)))
    return kept


def _of_measurement(record: MeasurementRecord, found: Explained) -> Iterator[LocatedCause]:
    """Its outages, and what else the verdict has against it: a token lost, two active nodes, the wrong node."""
    measured = record.measured
    for cause, under, failed in zip(found.causes, found.under, found.failed, strict=True):
        yield LocatedCause(cause, record.id, under, failed, (record.test,) if failed else ())
    if measured.verdict.outcome is Outcome.PASS or any(found.failed):
        return
    certainty = Certainty.CERTAIN if measured.verdict.outcome is Outcome.FAIL else Certainty.POSSIBLE
    do = f"look at {record.recording} with `lkharness judge`, and at the picture of {record.id} in report.html"
    cause = _plain(f"{measured.disruption}: {measured.verdict.reason}", measured.target, do, certainty)
    yield LocatedCause(cause, record.id, failed=True, tests=(record.test,))


def _of_audit(states: FailureStates, audit: AuditRecord) -> Iterator[LocatedCause]:
    """By what all hosts said when it failed; the audit's own sentence where that names no cause."""
    tests = (audit.after,) if audit.after else ()
    found = states.causes(audit.after or "")
    for cause, _ in found:
        yield LocatedCause(cause, audit.after or audit.name, (f"{audit.name}: {audit.verdict.reason}",), True, tests)
    if not found:
        yield LocatedCause(_plain(audit.verdict.reason, "", LOOK), audit.after or audit.name, (audit.name,), True, tests)


def _of_test(run: RunRecord, states: FailureStates, test: TestRecord) -> Iterator[LocatedCause]:
    """Why its checks failed; a test that failed by its measurement was explained with that."""
    measured = [m.measured.verdict.outcome for m in run.measurements if m.test == test.id]
    if test.verdict.outcome not in BAD or any(outcome is not Outcome.PASS for outcome in measured):
        return
    checks = [check for check in test.checks if check.verdict.outcome in BAD]
    found = states.causes(test.id) if test.verdict.outcome is Result.FAIL else []
    known = {symptom for _, under in found for symptom in under}
    left = [c for c in checks if (f"{c.path}/{c.service}" not in known if c.path else not found)]
    told = [cause for check in left for cause in _of_check(run, check)]
    if not checks and not found:
        told = [_plain(test.verdict.reason, "", "see the test in report.html, and timeline.jsonl around it")]
    # what explains a path of this test comes first, then how that travelled, then what else is wrong
    best = [cause for cause, under in found if under]
    for cause in [*best, *told, *(cause for cause, _ in found if cause not in best)]:
        yield LocatedCause(cause, test.id, (test.title,), True, (test.id,))


def _of_check(run: RunRecord, check: CheckRecord) -> Iterator[Cause]:
    """By how its attempts travelled, else by its own sentence."""
    vip = run.cluster.vip if run.cluster else "the VIP"
    evidence = (f"expected {check.expected}; seen {check.observed}",)
    expected = wire_code_causes.codes(check.expected)
    codes = [code for code in wire_code_causes.codes(check.wire or "") if code not in expected]
    ways = [RouteTaken(c, str(check.path), check.service or "", None, check.origin or "", check.node or "", vip) for c in codes]
    found = [cause for way in ways if (cause := wire_code_causes.cause(way, evidence)) is not None]
    yield from found or [_plain(check.verdict.reason, check.node or check.origin or "", LOOK, evidence=evidence)]


def _plain(says: str, host: str, do: str, certainty: Certainty = Certainty.LIKELY, evidence: tuple[str, ...] = ()) -> Cause:
    return Cause(_short(one_line(says)), host or "the run", certainty, do, evidence)


def _short(says: str) -> str:
    """A verdict may quote hundreds of attempts: its first sentences say what it is about, the report has them all."""
    parts = says.split("; ")
    kept = parts[:1]
    while len(kept) < len(parts) and len("; ".join(kept)) + len(parts[len(kept)]) < MAX_VERDICT_LENGTH:
        kept.append(parts[len(kept)])
    left = len(parts) - len(kept)
    return "; ".join(kept)[: 2 * MAX_VERDICT_LENGTH] + (f"; and {left} more like it in the report" if left else "")
