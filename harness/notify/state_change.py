"""What has changed with a run, against those before it: the few things that somebody is to be told. Pure.

Only runs of the same tests on the same cluster are looked at, so that neither an acceptance run nor one disruption alone ends a failure of
the whole failover suite. A run that could not be judged changes nothing: it neither fails nor recovers, unless it is the gate that refuses
to say.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.core.text.wording import count
from harness.report.record.run_record import ClusterSummary, Result, RunRecord, RunState

REPEAT = re.compile(r" \d{1,9}(?=\]\Z)")  # at the end of a test's id, where a disruption is measured again
STOPS = re.compile(r"-x|--exitfirst|--maxfail(=.*)?")  # options by which a run ends at a failure


class Change(StrEnum):
    """What is told."""

    FIRST_FAILURE = "first failure"
    STILL_FAILING = "still failing"
    RECOVERED = "recovered"
    GATE_REFUSED = "gate refused"


@dataclass(frozen=True)
class StateChange:
    """A change, and what it is against the runs before in a clause."""

    change: Change
    against: str


def change_of(run: RunRecord, before: Sequence[RunRecord], still_after: int) -> StateChange | None:
    """What is to be told of `run`; None where nothing changed. `before`: older runs, the newest first; `still_after`: told once more when
    so many in a row have failed."""
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
    if run.cluster is None or other.cluster is None or _place(run.cluster) != _place(other.cluster):
        return False
    tests, others = _tests(run), _tests(other)
    return tests == others or (_ended_early(run) and tests < others) or (_ended_early(other) and others < tests)


def _place(cluster: ClusterSummary) -> tuple[str, ...]:
    return (cluster.kind, cluster.vip, *sorted(f"{node.name} {node.address}" for node in cluster.nodes))


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


def _refused(run: RunRecord) -> bool:
    return run.gate is not None and run.gate.outcome == "refused" and _conclusive_result(run) is not Result.FAIL
