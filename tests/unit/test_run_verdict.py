"""The verdict on a run and the exit code of the contract, for every way a run can go."""

from __future__ import annotations

import pytest

from harness.core.errors import ExitCode
from harness.core.text.wording import most_said
from harness.core.verdict import Outcome, failed, inconclusive, passed
from harness.report.record.run_exit_code import exit_code_of
from harness.report.record.run_record import (
    AuditRecord,
    CheckRecord,
    DisruptionRecord,
    Environment,
    Judgement,
    Moment,
    PathName,
    RecoveryRecord,
    Result,
    RunRecord,
    RunState,
    TestRecord,
)
from harness.report.record.run_verdict import judge, judge_recovery, judge_test, tally
from harness.report.statistics.path_summary import summarise_paths

PASS, FAIL, UNCLEAR, SKIP = (Judgement(outcome=r, reason=f"it was seen to {r}") for r in Result)


def a_test(verdict: Judgement, **parts) -> TestRecord:
    return TestRecord(id=f"t::{verdict.outcome}", title=f"a test that is {verdict.outcome}", started=Moment.now(), verdict=verdict, **parts)


def a_run(*verdicts: Judgement, state=RunState.FINISHED, reason="", tests=(), audits=()) -> RunRecord:
    return RunRecord(
        run_id="r",
        state=state,
        state_reason=reason,
        harness_version="0",
        command=[],
        started=Moment.now(),
        verdict=UNCLEAR,
        exit_code=3,
        tests=[*(a_test(v) for v in verdicts), *tests],
        audits=[AuditRecord(name="one active node", verdict=v) for v in audits],
        environment=Environment(python="3", platform="p"),
    )


def a_recovery(seconds: float | None, budget: float, **how) -> RecoveryRecord:
    verdict = Judgement.of(judge_recovery(PathName.CLIENT, seconds, budget, **how))
    return RecoveryRecord(path=PathName.CLIENT, seconds=seconds, budget_s=budget, verdict=verdict)


def a_disruption(name: str, *recoveries: RecoveryRecord) -> DisruptionRecord:
    return DisruptionRecord(name=name, began=Moment.now(), recoveries=list(recoveries))


@pytest.mark.parametrize(
    ("run", "outcome", "code"),
    [
        (a_run(PASS, PASS), Outcome.PASS, ExitCode.PASSED),
        (a_run(PASS, SKIP), Outcome.PASS, ExitCode.PASSED),
        (a_run(PASS, FAIL, UNCLEAR), Outcome.FAIL, ExitCode.FAILED),
        (a_run(PASS, UNCLEAR, SKIP), Outcome.INCONCLUSIVE, ExitCode.INCONCLUSIVE),
        (a_run(), Outcome.INCONCLUSIVE, ExitCode.INCONCLUSIVE),
        (a_run(SKIP, SKIP), Outcome.INCONCLUSIVE, ExitCode.INCONCLUSIVE),
        (a_run(PASS, audits=[FAIL]), Outcome.FAIL, ExitCode.FAILED),
        (a_run(PASS, audits=[UNCLEAR]), Outcome.INCONCLUSIVE, ExitCode.INCONCLUSIVE),
        (a_run(PASS, audits=[PASS]), Outcome.PASS, ExitCode.PASSED),
        (a_run(state=RunState.UNUSABLE), Outcome.INCONCLUSIVE, ExitCode.UNUSABLE),
        (a_run(PASS, state=RunState.UNUSABLE), Outcome.INCONCLUSIVE, ExitCode.UNUSABLE),
        (a_run(state=RunState.BAD_USE), Outcome.INCONCLUSIVE, ExitCode.BAD_USE),
        (a_run(PASS, state=RunState.INTERRUPTED), Outcome.INCONCLUSIVE, ExitCode.INCONCLUSIVE),
        (a_run(PASS, state=RunState.RUNNING), Outcome.INCONCLUSIVE, ExitCode.INCONCLUSIVE),
        (a_run(FAIL, state=RunState.INTERRUPTED), Outcome.FAIL, ExitCode.FAILED),
        (a_run(FAIL, state=RunState.UNUSABLE), Outcome.FAIL, ExitCode.FAILED),
    ],
)
def test_outcome_and_exit_code(run, outcome, code):
    verdict = judge(run)
    assert (verdict.outcome, exit_code_of(run, verdict)) == (outcome, code)


def test_a_failed_run_names_how_many_and_the_first_with_its_reason():
    verdict = judge(a_run(PASS, FAIL, FAIL, SKIP))
    assert verdict.reason == "2 of 3 tests failed, first: “a test that is fail” because it was seen to fail"


def test_an_early_end_says_why():
    verdict = judge(a_run(state=RunState.UNUSABLE, reason="lknode01 did not answer on port 22"))
    assert verdict.reason == "the environment was not usable: lknode01 did not answer on port 22"


def test_a_pass_names_what_was_skipped():
    assert judge(a_run(PASS, PASS, SKIP)).reason == "all 2 executed tests passed; 1 test skipped"


def test_a_run_of_skipped_tests_proves_nothing_and_says_so():
    """With the reasons, those that were given most often first."""
    (reason,) = {t.verdict.reason for t in a_run(SKIP).tests}
    assert judge(a_run(SKIP)).reason == f"no test was executed; 1 test skipped: 1 because {reason}"


def test_the_reasons_that_were_given_most_often():
    assert most_said(["b", "a", "a\nc ", "a", "d", "e", "a c"]) == "2 because a; 2 because a c; 1 because b; 2 for other reasons"
    assert most_said([]) == ""


def test_every_test_is_counted_once():
    counts = tally([a_test(v) for v in (PASS, PASS, FAIL, UNCLEAR, SKIP)])
    assert (counts.passed, counts.failed, counts.inconclusive, counts.skipped, counts.executed) == (2, 1, 1, 1, 4)


@pytest.mark.parametrize(
    ("seconds", "fault", "outcome", "said"),
    [
        (6.0, None, Outcome.PASS, "6.00 s of 6.00 s allowed"),
        (6.01, None, Outcome.FAIL, "recovered after 6.01 s, its budget is 6.00 s"),
        (None, None, Outcome.FAIL, "had not recovered when its budget of 6.00 s ended"),
        (1.0, "the agent was late", Outcome.INCONCLUSIVE, "the agent was late"),
    ],
)
def test_a_recovery_is_judged_against_its_budget(seconds, fault, outcome, said):
    verdict = judge_recovery(PathName.INSIDE, seconds, 6.0, fault=fault)
    assert verdict.outcome is outcome
    assert said in verdict.reason
    assert "inside path" in verdict.reason


def test_a_test_never_passes_over_its_own_failed_check():
    refused = CheckRecord(expected="reaches", observed="refused", verdict=FAIL)
    late = a_disruption("switchover", a_recovery(9, 6))
    blind = a_disruption("switchover", a_recovery(1, 6, fault="blind"))
    assert judge_test(passed("fine"), [refused], []).reason == FAIL.reason
    assert judge_test(passed("fine"), [], [late]).outcome is Result.FAIL
    assert judge_test(passed("fine"), [], [blind]).outcome is Result.INCONCLUSIVE
    assert judge_test(inconclusive("lost"), [refused], [blind]).outcome is Result.FAIL
    assert judge_test(failed("own reason"), [refused], []).reason == "own reason"
    assert judge_test(passed("fine"), [], []).reason == "fine"


def test_the_worst_recovery_is_the_one_nearest_its_budget_not_the_longest():
    tight, long = a_recovery(5, 6), a_recovery(8, 40)
    run = a_run(tests=[a_test(PASS, disruptions=[a_disruption("crash", tight), a_disruption("power loss", long)])])
    client, inside, _ = summarise_paths(run)
    assert client.worst == ("crash", tight)
    assert client.longest == ("power loss", long)
    assert client.result is Result.PASS
    assert (inside.result, inside.worst, inside.checks) == (None, None, 0)


def test_never_recovering_is_worse_than_any_figure():
    lost = a_recovery(None, 6)
    run = a_run(tests=[a_test(FAIL, disruptions=[a_disruption("a", a_recovery(99, 6)), a_disruption("b", lost)])])
    assert summarise_paths(run)[0].worst == ("b", lost)
    assert summarise_paths(run)[0].result is Result.FAIL
