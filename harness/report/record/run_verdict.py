"""The verdict on a whole run, from what its record says. Pure: a stored run can be judged again."""

from __future__ import annotations

from collections.abc import Iterable

from harness.core.text.wording import count, most_said, seconds
from harness.core.verdict import Verdict, failed, inconclusive, passed
from harness.report.record.measurement_record import MeasurementRecord
from harness.report.record.run_record import (
    CheckRecord,
    Counts,
    DisruptionRecord,
    Judgement,
    PathName,
    Result,
    RunRecord,
    RunState,
    TestRecord,
)

_WORST_FIRST = (Result.FAIL, Result.INCONCLUSIVE, Result.PASS, Result.SKIPPED)


def worst(results: Iterable[Result]) -> Result | None:
    """A failure outweighs a broken measurement, which outweighs a pass; None of nothing."""
    return min(results, key=_WORST_FIRST.index, default=None)


def severity(result: Result) -> int:
    """For sorting what needs a reader's eye first."""
    return _WORST_FIRST.index(result)


def judge_recovery(
    path: PathName, recovered_after: float | None, budget: float, *, period: float = 0.0, fault: str | None = None
) -> Verdict:
    """The verdict on one path that had recovered after `recovered_after` seconds (None: it had not), and maybe
    `period` seconds earlier, as nobody looked in between. `fault`: the measurement itself broke."""
    if fault is not None:
        return inconclusive(f"the {path} path's recovery could not be measured: {fault}")
    if recovered_after is None:
        return failed(f"the {path} path had not recovered when its budget of {seconds(budget)} ended")
    if recovered_after > budget >= recovered_after - period:
        interval = f"{seconds(recovered_after - period)} to {seconds(recovered_after)}"
        return inconclusive(f"the {path} path recovered after {interval}; its budget of {seconds(budget)} is between: nobody looked then")
    if recovered_after > budget:
        return failed(f"the {path} path recovered after {seconds(recovered_after)}, its budget is {seconds(budget)}")
    return passed(f"the {path} path recovered after {seconds(recovered_after)} of {seconds(budget)} allowed")


def judge_test(
    verdict: Verdict,
    checks: Iterable[CheckRecord],
    disruptions: Iterable[DisruptionRecord],
    measurements: Iterable[MeasurementRecord] = (),
) -> Judgement:
    """A test's `verdict`, unless something recorded in it is worse: a test never passes over its own failed check."""
    recorded = [check.verdict for check in checks] + [r.verdict for d in disruptions for r in d.recoveries]
    recorded += [Judgement.of(m.measured.verdict) for m in measurements]
    own_judgement = Judgement.of(verdict)
    worse = [v for v in recorded if severity(v.outcome) < severity(own_judgement.outcome)]
    return min(worse, key=lambda v: severity(v.outcome), default=own_judgement)


def tally(tests: Iterable[TestRecord]) -> Counts:
    """How many tests came to which outcome."""
    results = [test.verdict.outcome for test in tests]
    return Counts(
        passed=results.count(Result.PASS),
        failed=results.count(Result.FAIL),
        inconclusive=results.count(Result.INCONCLUSIVE),
        skipped=results.count(Result.SKIPPED),
    )


def judge(run: RunRecord) -> Verdict:
    """The verdict on the run; `run_exit_code` says which exit code goes with it.

    A failure that was seen stands, whatever happened to the run afterwards. After that a run that could not be set up, was
    interrupted, or executed nothing may not claim a pass.
    """
    verdict, warning = _judge(run), run.not_as_found
    return Verdict(verdict.outcome, f"{warning}; {verdict.reason}") if warning else verdict


def _judge(run: RunRecord) -> Verdict:
    failure = _failure(run)
    if failure:
        return failed(failure)
    if run.state in _ENDED_EARLY:
        headline = _ENDED_EARLY[run.state]
        return inconclusive(f"{headline}: {run.state_reason}" if run.state_reason else headline)
    counts = tally(run.tests)
    unclear = _unclear(run, counts)
    if unclear:
        return inconclusive(unclear)
    also = f"; {count(counts.skipped, 'test')} skipped" if counts.skipped else ""
    return passed(f"{_all(counts.passed)} passed{also}")


_ENDED_EARLY = {
    RunState.RUNNING: "the run has not ended, or was killed",
    RunState.INTERRUPTED: "the run was interrupted",
    RunState.UNUSABLE: "the environment was not usable",
    RunState.BAD_USE: "the run could not begin",
}


def _failure(run: RunRecord) -> str:
    tests = [t for t in run.tests if t.verdict.outcome is Result.FAIL]
    audits = [a for a in run.audits if a.verdict.outcome is Result.FAIL]
    if tests:
        headline = f"{len(tests)} of {count(tally(run.tests).executed, 'test')} failed"
        return f"{headline}{_first(len(tests), tests[0].title, tests[0].verdict.reason)}"
    if audits:
        return f"{count(len(audits), 'audit')} failed{_first(len(audits), audits[0].name, audits[0].verdict.reason)}"
    if run.gate is not None and run.gate.outcome == "fail":
        return f"the gate {run.gate.file} is not passed: {run.gate.reason}"
    return ""


def _unclear(run: RunRecord, counts: Counts) -> str:
    if not counts.executed:
        skipped = [t.verdict.reason for t in run.tests if t.verdict.outcome is Result.SKIPPED]
        return "no test was executed" + (f"; {count(len(skipped), 'test')} skipped: {most_said(skipped)}" if skipped else "")
    tests = [t for t in run.tests if t.verdict.outcome is Result.INCONCLUSIVE]
    audits = [a for a in run.audits if a.verdict.outcome is Result.INCONCLUSIVE]
    if tests:
        headline = f"{len(tests)} of {count(counts.executed, 'test')} could not be judged"
        return f"{headline}{_first(len(tests), tests[0].title, tests[0].verdict.reason)}"
    if audits:
        return f"{count(len(audits), 'audit')} could not be judged{_first(len(audits), audits[0].name, audits[0].verdict.reason)}"
    if run.gate is not None and run.gate.outcome != "pass":
        return f"the gate {run.gate.file} refuses to say: {run.gate.reason}"
    return ""


def _first(number: int, title: str, reason: str) -> str:
    return f"{', first' if number > 1 else ''}: “{title}” because {reason}"


def _all(number: int) -> str:
    return "the one executed test" if number == 1 else f"all {number} executed tests"
