"""What has changed with a run, against those before it: the few things that somebody is to be told. Pure.

Three things are followed, each by itself: whether a run can begin at all, or is bad use, and whether the cluster can be reached and used,
both over every run of that cluster; and whether its tests pass, over runs of the same tests only, so that neither an acceptance run nor one
disruption alone ends a failure of the whole failover suite. A run that could not be judged changes nothing of the last: it neither fails
nor recovers, unless it is the gate that refuses to say. A run that was interrupted before its first test says nothing of the second.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile

from harness.core.errors import ExitCode
from harness.core.text.wording import count
from harness.report.record.run_record import Result, RunRecord, RunState
from harness.report.statistics.series_identity import cluster_key

REPEAT = re.compile(r" \d{1,9}(?=\]\Z)")  # at the end of a test's id, where a disruption is measured again
STOPS = re.compile(r"-x|--exitfirst|--maxfail(=.*)?")  # options by which a run ends at a failure


class Change(StrEnum):
    """What is told."""

    NOT_BEGUN = "could not begin"
    NOT_USABLE = "not usable"
    STILL_NOT_USABLE = "still not usable"
    USABLE_AGAIN = "usable again"
    FIRST_FAILURE = "first failure"
    STILL_FAILING = "still failing"
    RECOVERED = "recovered"
    GATE_REFUSED = "gate refused"


@dataclass(frozen=True)
class StateChange:
    """A change, and what it is against the runs before in a clause."""

    change: Change
    against: str


def changes_of(run: RunRecord, before: Sequence[RunRecord], still_after: int) -> list[StateChange]:
    """What is to be told of `run`, whether its cluster could be used first; nothing where nothing changed. `before`: older runs, the newest
    first; `still_after`: told once more when so many in a row have failed."""
    changes = (
        _change_of_beginning(run, before),
        _change_of_usability(run, before, still_after),
        _change_of_tests(run, before, still_after),
    )
    return [change for change in changes if change is not None]


def _change_of_beginning(run: RunRecord, before: Sequence[RunRecord]) -> StateChange | None:
    """Bad use is mended by a person only, so that it is told, once for all such runs in a row."""
    if not _is_bad_use(run):
        return None
    older = next((older for older in before if _is_of_same_cluster(older, run)), None)
    if older is not None and _is_bad_use(older):
        return None
    return StateChange(Change.NOT_BEGUN, "the run before could" if older is not None else "no run before it is known here")


def _change_of_usability(run: RunRecord, before: Sequence[RunRecord], still_after: int) -> StateChange | None:
    usable = _could_use(run)
    if usable is None:
        return None
    same_cluster = [older for older in before if _is_of_same_cluster(older, run)]
    earlier = [word for older in same_cluster if (word := _could_use(older)) is not None]
    failed = sum(1 for _ in takewhile(lambda word: not word, earlier))
    if usable:
        return StateChange(Change.USABLE_AGAIN, f"{count(failed, 'run')} in a row could not use it") if failed else None
    if not failed:
        return StateChange(Change.NOT_USABLE, "the run before could use it" if earlier else "no run before it is known here")
    if failed + 1 == still_after:
        return StateChange(Change.STILL_NOT_USABLE, f"{count(failed + 1, 'run')} in a row could not use it")
    return None


def _change_of_tests(run: RunRecord, before: Sequence[RunRecord], still_after: int) -> StateChange | None:
    comparable = [older for older in before if is_comparable(older, run)]
    judged = [older for older in comparable if _conclusive_result(older) is not None]
    if _refused(run):
        return None if comparable and _refused(comparable[0]) else StateChange(Change.GATE_REFUSED, "the gate of the run before did not")
    word = _conclusive_result(run)
    if word is None:
        return None
    failed = 0
    while failed < len(judged) and _conclusive_result(judged[failed]) is Result.FAIL:
        failed += 1
    if word is Result.PASS:
        return StateChange(Change.RECOVERED, f"{count(failed, 'run')} in a row had failed") if failed else None
    if not failed:
        return StateChange(Change.FIRST_FAILURE, "the run before passed" if judged else "no run before it is known here")
    if failed + 1 == still_after:
        return StateChange(Change.STILL_FAILING, f"{count(failed + 1, 'run')} in a row have failed")
    return None


def is_comparable(run: RunRecord, other: RunRecord) -> bool:
    """Whether two runs are about the same cluster and the same tests, however often each was repeated; of a run that a failure ended early
    the tests that it came to must be among the other's."""
    if not _is_of_same_cluster(run, other):
        return False
    tests, others = _tests(run), _tests(other)
    return tests == others or (_ended_early(run) and tests < others) or (_ended_early(other) and others < tests)


def _is_of_same_cluster(run: RunRecord, other: RunRecord) -> bool:
    return run.cluster is not None and other.cluster is not None and cluster_key(run.cluster) == cluster_key(other.cluster)


def _tests(run: RunRecord) -> frozenset[str]:
    """Ids without the number of the repeat. A number without the test that it would repeat belongs to a name."""
    ids = {test.id for test in run.tests}
    return frozenset(plain if (plain := REPEAT.sub("", id)) in ids else id for id in ids)


def _ended_early(run: RunRecord) -> bool:
    """Whether a run that failed may not have come to all of its tests."""
    stops = run.state is not RunState.FINISHED or any(STOPS.fullmatch(word) for word in run.command)
    return stops and bool(run.tests) and _conclusive_result(run) is Result.FAIL


def _conclusive_result(run: RunRecord) -> Result | None:
    """Pass or fail; None where the run could not be judged."""
    return run.verdict.outcome if run.verdict.outcome in (Result.PASS, Result.FAIL) else None


def _could_use(run: RunRecord) -> bool | None:
    """Whether the run came to its first test; None where something else than the cluster kept it from that, as Ctrl-C does. Tests that were
    all skipped were begun on a cluster that was there."""
    if run.exit_code == ExitCode.UNUSABLE and not run.tests:
        return False
    return True if run.tests else None


def _is_bad_use(run: RunRecord) -> bool:
    return run.exit_code == ExitCode.BAD_USE and not run.tests


def _refused(run: RunRecord) -> bool:
    return run.gate is not None and run.gate.outcome == "refused" and _conclusive_result(run) is not Result.FAIL
