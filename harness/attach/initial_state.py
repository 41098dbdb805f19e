"""How an attached cluster was before anything was done to it, to compare with how it is left."""

from __future__ import annotations

from pydantic import BaseModel

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError
from harness.disrupt.move_permission import LeaseLost
from harness.managers.manager import ClusterState


class RecordedState(BaseModel):
    """`resources`: node → tag → its state in words; `failures`: node → tag → how many failures the manager counts there."""

    resources: dict[str, dict[str, str]] = {}
    failures: dict[str, dict[str, int]] = {}


def record_state(subject: ClusterUnderTest) -> RecordedState:
    """The state as it is now. Raises HarnessError."""
    return _make_state(subject.manager.state(), subject.manager.fail_counts())


def _make_state(state: ClusterState, failures: dict[str, dict[str, int]]) -> RecordedState:
    states = {name: {tag: str(resource_state) for tag, resource_state in node.resources.items()} for name, node in state.nodes.items()}
    return RecordedState(resources=states, failures=failures)


def differences(before: RecordedState, now: RecordedState) -> list[str]:
    """Sentences, none when it is as it was found. Pure."""
    changes = [
        f"{tag} is {now.resources.get(node, {}).get(tag, 'gone')} on {node}, it was {state_before}"
        for node, tags in before.resources.items()
        for tag, state_before in tags.items()
        if now.resources.get(node, {}).get(tag) != state_before
    ]
    changes += [
        f"{tag} is on {node}, which was not there before"
        for node, tags in now.resources.items()
        for tag in tags
        if tag not in before.resources.get(node, {})
    ]
    return changes + [
        f"the fail count of {tag} on {node} is {now}, it was {state_before}"
        for node, tag, state_before, now in raised_fail_counts(before, now)
    ]


def raised_fail_counts(before: RecordedState, now: RecordedState) -> list[tuple[str, str, int, int]]:
    """Node, resource, and its fail count before and now, where that has grown: at its threshold the next real failure bans the node."""
    return [
        (node, tag, before.failures.get(node, {}).get(tag, 0), count)
        for node, tags in now.failures.items()
        for tag, count in tags.items()
        if count > before.failures.get(node, {}).get(tag, 0)
    ]


def note_failures_of_its_own(subject: ClusterUnderTest, before: RecordedState) -> RecordedState:
    """What is to be found again when nothing has been done yet: with the failures that were counted meanwhile, which are none of ours.

    Raises HarnessError."""
    now = record_state(subject)
    for node, tag, state_before, count in raised_fail_counts(before, now):
        subject.timeline.note(
            node, "failure", f"the fail count of {tag} is {count}, it was {state_before}: before this run had done anything; it is left"
        )
    return before.model_copy(update={"failures": now.failures})


def forget_ours(subject: ClusterUnderTest, before: RecordedState) -> None:
    """Delete the failures that were counted since, where there were none before: a count can be deleted and not be set.

    What is deleted is looked at anew by the manager, which calls it out of service for a moment: that is waited for. Raises nothing: what
    is left is a difference. Where the lease is in doubt nothing is deleted: another run's disruption may have been counted.
    """
    limit_s = subject.cluster.manager.takeover_s
    try:
        new_failures = [(node, tag) for node, tag, count_before, _ in raised_fail_counts(before, record_state(subject)) if not count_before]
        for node, tag in new_failures:
            if reason := subject.lost():
                raise LeaseLost(reason)
            subject.manager.clear_failure(tag, node, deadline=Deadline(limit_s))
        if new_failures:
            subject.wait_until_healthy(Deadline(limit_s))
    except HarnessError as error:
        subject.timeline.note("harness", "put back", f"the failures that were counted could not be deleted: {error}")
