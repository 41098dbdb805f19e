"""What is asked before everything is moved to a node by another than a planned disruption, and before whatever else changes the cluster.

A disruption is asked for by its plan. What brings the cluster back (the put-back, the last resort of a disruption that has brought
everything down) is in none, often comes behind a lost node, and may come minutes after this run's lease was last seen to be its own.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, Inconclusive
from harness.managers.manager import Answer, ClusterState, ResourceState
from harness.managers.switchover_readiness import by_state

if TYPE_CHECKING:
    from harness.cluster.cluster_under_test import ClusterUnderTest

DOUBT_S = 30.0  # the lease is renewed every few seconds: what is a doubt longer than this is none


class LeaseLost(Inconclusive):
    """The cluster is not this run's to change any more, or nobody can tell; nothing was changed. The message says why."""


def demand_lease(subject: ClusterUnderTest, deadline: Deadline) -> None:
    """Return while this run holds the cluster. A doubt (a node just booted, a machine that slept) is waited out for DOUBT_S seconds: the
    next renewals settle it. A lease that another run has is not waited for. Raises LeaseLost."""
    doubt = Deadline(deadline.within(DOUBT_S))
    with suppress(DeadlineExceeded):
        doubt.wait_for(lambda: bool(subject.stolen()) or not subject.lost(), what="the lease being this run's", every=0.5)
    if reason := subject.stolen() or subject.lost():
        raise LeaseLost(f"nothing was changed on the cluster: {reason}")


def hindrances(state: ClusterState, active: str) -> list[str]:
    """Why moving everything to `active` would not make a cluster healthy that is not; sentences, none when it would. Pure.

    Every node must be heard, or what it holds might be started twice; nothing may be in service on both, or on its way.
    """
    reasons = []
    for node in state.nodes.values():
        if not node.running:
            reasons.append(f"{node.node}: {node.why or 'its cluster manager could not be asked'}")
            continue
        unknown_tags = [tag for tag, resource_state in node.resources.items() if resource_state is ResourceState.UNKNOWN]
        if unknown_tags or not node.resources:
            reasons.append(f"{node.node}: the state of {', '.join(unknown_tags) or 'its resources'} is not known")
        if not any(path.alive for path in node.comm_paths):
            reasons.append(f"{node.node} hears the other node on no communication path")
    active_tags = [{tag for tag, resource_state in node.resources.items() if resource_state.active} for node in state.nodes.values()]
    on_every_node = set.intersection(*active_tags) if len(active_tags) > 1 else set()
    if on_every_node:
        reasons.append(f"{', '.join(sorted(on_every_node))} is in service on every node")
    if state.active == active:
        reasons.append(f"everything is on {active} already")
    return reasons


def manager_reasons(subject: ClusterUnderTest, state: ClusterState, to: str) -> tuple[list[str], bool]:
    """What the manager has against moving everything to `to`, and whether it is a proven no, which no waiting changes.

    That nothing is in service, or something on each node, is what the move mends, and no reason.
    """
    answer = subject.manager.may_switch_over(to)
    mended_reasons = [] if state.healthy else by_state(to, state).against
    return _reasons_of(subject, answer, mended_reasons), answer.no


def mirror_reasons(subject: ClusterUnderTest, to: str) -> list[str]:
    """What speaks against the data on `to` being whole: a node that was lost comes back with an old copy, which is brought up to date for
    minutes or hours while the cluster is healthy by every other word. "Cannot tell" is a reason, unless the operator took that upon
    himself."""
    reasons = _reasons_of(subject, subject.manager.mirror(to))
    return [f"the copy of the data on {to} is not known to be complete: {reason}" for reason in reasons]


def _reasons_of(subject: ClusterUnderTest, answer: Answer, mended_reasons: list[str] | None = None) -> list[str]:
    if answer.yes or (subject.takes_unproven and not answer.no):
        return []
    return [reason for reason in answer.because if reason not in (mended_reasons or [])]
