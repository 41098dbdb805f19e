"""Which exit code a run ends with: 0 passed, 1 a check failed, 2 it could not begin, 3 inconclusive, 4 nothing could be used. Pure."""

from __future__ import annotations

from harness.core.errors import ExitCode
from harness.core.verdict import Outcome, Verdict
from harness.report.record.run_record import RunRecord, RunState

_OF_OUTCOME = {Outcome.PASS: ExitCode.PASSED, Outcome.FAIL: ExitCode.FAILED, Outcome.INCONCLUSIVE: ExitCode.INCONCLUSIVE}
_OF_STATE = {RunState.UNUSABLE: ExitCode.UNUSABLE, RunState.BAD_USE: ExitCode.BAD_USE}


def exit_code_of(run: RunRecord, verdict: Verdict) -> ExitCode:
    """The exit code of a run with that verdict: a failure that was seen outweighs a run that could not be used or begun."""
    if verdict.outcome is Outcome.INCONCLUSIVE and run.state in _OF_STATE:
        return _OF_STATE[run.state]
    return _OF_OUTCOME[verdict.outcome]
