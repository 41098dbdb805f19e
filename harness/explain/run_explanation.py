"""Why a stored run is as it is: each failed check, each outage. From its folder alone, which a stranger may have written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.core.text import one_line, seconds
from harness.core.verdict import Outcome
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.outages.outage_causes import Explained, explain
from harness.explain.explanation import Told, first
from harness.report.record.labels import LABEL, where
from harness.report.record.measurement_record import MeasurementRecord
from harness.report.record.run_record import CheckRecord, Result, RunRecord, RunState, TestRecord
from harness.report.render import load_record

BAD = (Result.FAIL, Result.INCONCLUSIVE)
ENDED_EARLY = (RunState.UNUSABLE, RunState.BAD_USE, RunState.INTERRUPTED)
LOOK = "look at the cluster as it is with `lkharness check`, which tells the rule and the host"


@dataclass(frozen=True)
class RunExplanation:
    """`told` in order: what failed first. `outages` has every outage of every measurement."""

    run: RunRecord
    told: tuple[Told, ...]
    outages: tuple[dict[str, Any], ...] = ()

    def as_data(self) -> dict[str, Any]:
        return {
            "run": self.run.run_id,
            "outcome": str(self.run.verdict.outcome),
            "reason": self.run.verdict.reason,
            "causes": [one.as_data() for one in self.told],
            "outages": list(self.outages),
            "exit_code": int(self.run.exit_code),
        }

    def as_text(self) -> str:
        run = self.run
        lines = [one.as_text() for one in self.told if one.failed]
        lines += [""] if lines else []
        lines.append(one_line(f"{LABEL[run.verdict.outcome]}: run {run.run_id}, {seconds(run.seconds)} on {where(run.cluster)}"))
        rest = [one.as_text() for one in self.told if not one.failed]
        if not self.told:
            lines.append("nothing failed, and no path was out: there is nothing to explain")
        return "\n".join([*lines, *rest])


def look(folder: Path) -> RunExplanation:
    """The explanation of the run in that folder. Raises BadUse for what is no run."""
    return explained(load_record(folder))


def explained(run: RunRecord) -> RunExplanation:
    told: list[Told] = []
    outages: list[dict[str, Any]] = []
    for record in run.measurements:
        found = explain(record.measured)
        told += _of_measurement(record, found)
        outages += [one.as_data(record.id, record.measured) for one in found.outages]
    audits = [audit for audit in run.audits if audit.verdict.outcome in BAD]
    told += [Told(_plain(audit.verdict.reason, "", LOOK), audit.after or audit.name, (audit.name,), failed=True) for audit in audits]
    told += [one for test in run.tests for one in _of_test(run, test)]
    if run.state in ENDED_EARLY and not any(one.failed for one in told):
        told.append(Told(_plain(run.state_reason or str(run.state), "", "mend that, and run it again"), run.run_id, failed=True))
    return RunExplanation(run, tuple(first(_once(told))), tuple(outages))


def _once(told: list[Told]) -> list[Told]:
    """What is told again of another test, or in a longer sentence, is a symptom of what was told before."""
    kept: list[Told] = []
    for one in told:
        same = next((n for n, k in enumerate(kept) if k.failed and one.failed and k.cause.says in one.cause.says), None)
        if same is None:
            kept.append(one)
            continue
        symptoms = tuple(dict.fromkeys([*kept[same].symptoms, *one.symptoms]))
        kept[same] = replace(kept[same], symptoms=symptoms)
    return kept


def _of_measurement(record: MeasurementRecord, found: Explained) -> Iterator[Told]:
    """Its outages, and what else the verdict has against it: a token lost, two active nodes, the wrong node."""
    measured = record.measured
    for cause, under, failed in zip(found.causes, found.under, found.failed, strict=True):
        yield Told(cause, record.id, under, failed)
    if measured.verdict.outcome is Outcome.PASS or any(found.failed):
        return
    certainty = Certainty.CERTAIN if measured.verdict.outcome is Outcome.FAIL else Certainty.POSSIBLE
    do = f"look at {record.recording} with `lkharness judge`, and at the picture of {record.id} in report.html"
    cause = _plain(f"{measured.disruption}: {measured.verdict.reason}", measured.target, do, certainty)
    yield Told(cause, record.id, failed=True)


def _of_test(run: RunRecord, test: TestRecord) -> Iterator[Told]:
    """Why its checks failed; a test that failed by its measurement was explained with that."""
    measured = [m.measured.verdict.outcome for m in run.measurements if m.test == test.id]
    if test.verdict.outcome not in BAD or any(outcome is not Outcome.PASS for outcome in measured):
        return
    checks = [check for check in test.checks if check.verdict.outcome in BAD]
    for check in checks:
        yield Told(_of_check(check), test.id, (test.title,), failed=True)
    if not checks:
        yield Told(
            _plain(test.verdict.reason, "", "see the test in report.html, and timeline.jsonl around it"), test.id, (test.title,), True
        )


def _of_check(check: CheckRecord) -> Cause:
    return _plain(check.verdict.reason, check.node or check.origin or "", LOOK, evidence=(f"expected {check.expected}",))


def _plain(says: str, host: str, do: str, certainty: Certainty = Certainty.LIKELY, evidence: tuple[str, ...] = ()) -> Cause:
    return Cause(one_line(says), host or "the run", certainty, do, evidence)
