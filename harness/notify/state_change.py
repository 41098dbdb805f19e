"""What has changed with a run, against those before it: the few things that somebody is to be told. Pure.

Only runs of the same tests on the same cluster are looked at, so that an acceptance run does not end a failure of the failover suite. A run
that could not be judged changes nothing: it neither fails nor recovers, unless it is the gate that refuses to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.core.text import count
from harness.report.record.run_record import ClusterSummary, Result, RunRecord


class Change(StrEnum):
    """What is told."""

    FIRST_FAILURE = "first failure"
    STILL_FAILING = "still failing"
    RECOVERED = "recovered"
    GATE_REFUSED = "gate refused"


@dataclass(frozen=True)
class Told:
    """A change, and what it is against the runs before in a clause."""

    change: Change
    against: str


def change_of(run: RunRecord, before: Sequence[RunRecord], still_after: int) -> Told | None:
    """What is to be told of `run`; None where nothing changed. `before`: older runs, the newest first; `still_after`: told once more when
    so many in a row have failed."""
    like = [one for one in before if alike(one, run)]
    judged = [one for one in like if _word(one) is not None]
    if _refused(run):
        return None if like and _refused(like[0]) else Told(Change.GATE_REFUSED, "the gate of the run before did not")
    word = _word(run)
    if word is None:
        return None
    failed = 0
    while failed < len(judged) and _word(judged[failed]) is Result.FAIL:
        failed += 1
    if word is Result.PASS:
        return Told(Change.RECOVERED, f"{count(failed, 'run')} in a row had failed") if failed else None
    if not failed:
        return Told(Change.FIRST_FAILURE, "the run before passed" if judged else "no run before it is known here")
    if failed + 1 == still_after:
        return Told(Change.STILL_FAILING, f"{count(failed + 1, 'run')} in a row have failed")
    return None


def alike(one: RunRecord, other: RunRecord) -> bool:
    """Whether two runs are about the same cluster and the same files of tests."""
    if one.cluster is None or other.cluster is None or _place(one.cluster) != _place(other.cluster):
        return False
    return _files(one) == _files(other)


def _place(cluster: ClusterSummary) -> tuple[str, ...]:
    return (cluster.kind, cluster.vip, *sorted(f"{node.name} {node.address}" for node in cluster.nodes))


def _files(run: RunRecord) -> frozenset[str]:
    return frozenset(test.id.partition("::")[0] for test in run.tests)


def _word(run: RunRecord) -> Result | None:
    """Pass or fail; None where the run could not be judged."""
    return run.verdict.outcome if run.verdict.outcome in (Result.PASS, Result.FAIL) else None


def _refused(run: RunRecord) -> bool:
    return run.gate is not None and run.gate.outcome == "refused" and _word(run) is not Result.FAIL
