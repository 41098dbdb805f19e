"""How an attached cluster is put back: everything on the node where it was found, and that proved."""

from __future__ import annotations

from contextlib import suppress

from harness.attach.initial_state import RecordedState, differences, forget_ours, record_state
from harness.cluster.cluster_audit import audit
from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.config.cluster_config import Node
from harness.core.deadline import Deadline
from harness.core.errors import BadUse, DeadlineExceeded, HarnessError
from harness.core.verdict import Verdict, failed, passed
from harness.disrupt.disruption import clear_failures
from harness.disrupt.move_permission import demand_lease, hindrances, manager_reasons, mirror_reasons
from harness.expectations import outage_budget
from harness.hosts.detached_jobs import StillRunning, unfinished_commands
from harness.hosts.host import HostUnreachable
from harness.hosts.windows import windows_jobs
from harness.managers.manager import ClusterState

LEASE_PATIENCE_S = 60.0  # for a doubt about the lease, which the next renewals settle
PERMISSION_INTERVAL_S = 2.0  # from one asking whether the move is allowed to the next
ACTION_TIMEOUT_S = 1800.0  # how long one action of a manager is waited for: databases that shut down in order take minutes


def put_back(subject: ClusterUnderTest, active: str, before: RecordedState | None = None, *, patience_s: float) -> Verdict:
    """Move everything back to the node that was active when the run began, and say what is not as it was found and what mends it.

    `before`: how it was found; every state and every fail count is compared with it.

    Waits `patience_s` seconds for the cluster to be healthy, before and after; not where it stands still and the move itself is what
    makes it whole. As long it waits for the manager and the copy of the data to permit the move: only yes is a go. The manager has a
    takeover's and a boot's time for the move, whatever the patience.
    """
    timers = subject.cluster.manager
    try:
        demand_lease(subject, Deadline(LEASE_PATIENCE_S))
        _wait_for_actions(subject)
        deadline = Deadline(patience_s)
        state_found = _wait_until_movable(subject, active, deadline)
        if state_found.active != active:
            state_found, reasons_against = _wait_until_allowed(subject, active, deadline)
            now_active = state_found.active
            if reasons_against:
                situation = f"everything is on {now_active}, it was on {active}" if now_active else f"{active} was active ({state_found})"
                return failed(f"{situation}; it was not moved back, because {'; '.join(reasons_against)}; {by_hand(subject, active)}")
        if state_found.active != active:
            subject.timeline.note("harness", "put back", f"everything goes back to {active}, where it was found")
            demand_lease(subject, Deadline(LEASE_PATIENCE_S))
            try:
                subject.manager.switch_over(active, deadline=Deadline(timers.takeover_s + max(patience_s, timers.boot_s)))
            except StillRunning:  # nobody ends it; what is seen afterwards counts
                _wait_for_actions(subject)
        audit_verdict = _audit_until_settled(subject, patience_s)
        active_at_end = subject.state().active
        changes = _wait_for_no_changes(subject, before) if before is not None and audit_verdict and active_at_end == active else []
    except HarnessError as error:
        return failed(f"{active} was active; {error}{_hint_unless_there(subject, active)}")
    if active_at_end != active:
        return failed(f"{active_at_end or 'no node'} is active, {active} was; {by_hand(subject, active)}")
    if changes:
        return failed(f"{active} is active, as it was, but {'; '.join(changes)}")
    return passed(f"{active} is active, as it was") if audit_verdict else failed(audit_verdict.reason)


def by_hand(subject: ClusterUnderTest, active: str) -> str:
    """The one line that mends it, for a person."""
    return f"what brings everything back: on {active}, as root, `{subject.manager.by_hand_line(active)}`"


def _wait_for_no_changes(subject: ClusterUnderTest, before: RecordedState) -> list[str]:
    """What is not as it was, when the failures that were counted meanwhile are forgotten and what that started has come to rest."""
    timers = subject.cluster.manager
    forget_ours(subject, before)
    deadline = Deadline(timers.takeover_s)
    try:
        return deadline.wait_for(
            lambda: differences(before, record_state(subject)), until=lambda changes: not changes, what="the old state", every=0.5
        )
    except DeadlineExceeded:
        return differences(before, record_state(subject))


def _hint_unless_there(subject: ClusterUnderTest, active: str) -> str:
    try:
        is_there = subject.state().active == active
    except HarnessError:
        is_there = False
    return "" if is_there else f"; {by_hand(subject, active)}"


def _wait_until_movable(subject: ClusterUnderTest, active: str, deadline: Deadline) -> ClusterState:
    """The cluster's state when it is healthy, or when it has stood still for a takeover's time and moving is what it lacks.

    What failed because it was disturbed is marked as failed and would not be started; that is cleared as often as it is looked.
    Raises DeadlineExceeded with the last state otherwise.
    """
    last_state: ClusterState | None = None
    standstill = Deadline(subject.cluster.manager.takeover_s)

    def state() -> ClusterState:
        nonlocal last_state, standstill
        try:
            clear_failures(subject, Deadline(10.0))
        except BadUse:
            raise
        except HarnessError:  # what a cluster that is not at rest answers
            pass
        state_now = subject.state()
        if state_now != last_state:
            last_state, standstill = state_now, Deadline(subject.cluster.manager.takeover_s)
        return state_now

    def ready(state_now: ClusterState) -> bool:
        return state_now.healthy or ((standstill.expired or deadline.expired) and not hindrances(state_now, active))

    return deadline.wait_for(state, until=ready, what="the cluster being healthy", every=0.5)


def _wait_until_allowed(subject: ClusterUnderTest, active: str, deadline: Deadline) -> tuple[ClusterState, list[str]]:
    """The cluster's state and what speaks against moving everything to `active` in it; nothing where all say yes, or it is there by then.

    What the manager cannot tell, and a copy of the data that is not complete, may pass: they are asked for again until the deadline. A no
    of the manager does not pass by waiting. The copy is asked last, right before the move.
    """
    demand_lease(subject, Deadline(LEASE_PATIENCE_S))
    subject.manager.end_own_move(active, deadline=Deadline(10.0))
    state: ClusterState | None = None
    reasons: list[str] = []

    def is_settled() -> bool:
        nonlocal state, reasons
        state, reasons = subject.state(), []
        if state.active == active:
            return True
        reasons, is_no = manager_reasons(subject, state, active)
        if reasons and is_no:
            return True
        if not reasons and not state.healthy:  # it may have begun to move by itself
            reasons = hindrances(state, active)
        reasons = reasons or mirror_reasons(subject, active)
        return not reasons

    with suppress(DeadlineExceeded):  # the last answer says why
        deadline.wait_for(is_settled, what="the move back being allowed", every=PERMISSION_INTERVAL_S)
    assert state is not None  # it is asked once at least
    return state, reasons


def _wait_for_actions(subject: ClusterUnderTest) -> None:
    """Wait for as long as an action that changes the cluster runs on any node, whoever began it: what is done meanwhile is done into the
    middle of a switchover. Raises DeadlineExceeded after half an hour, with the command."""
    was_noted = False

    def running() -> str:
        nonlocal was_noted
        actions = [f"{n.name}: `{action}`" for n in subject.cluster.nodes for action in _actions_on(subject, n)]
        if actions and not was_noted:
            subject.timeline.note(
                "harness", "waiting", f"an action of the cluster manager still runs, and is not ended: {'; '.join(actions)}"
            )
            was_noted = True
        return "; ".join(actions)

    Deadline(ACTION_TIMEOUT_S).wait_for(
        running, until=lambda actions: not actions, what="the end of an action that changes the cluster", every=0.5
    )


def _actions_on(subject: ClusterUnderTest, node: Node) -> list[str]:
    read_unfinished = windows_jobs.unfinished_commands if node.platform == "windows" else unfinished_commands
    try:
        return read_unfinished(subject.hosts[node.name])
    except (HostUnreachable, DeadlineExceeded):  # the cluster will not be healthy without it, and that is said then
        return []


def _audit_until_settled(subject: ClusterUnderTest, patience_s: float) -> Verdict:
    """The audit's verdict; the balancer may take its time to follow a switchover, as long as the budget allows it."""
    deadline = Deadline(outage_budget.switchover(subject.cluster).seconds)
    try:
        return deadline.wait_for(lambda: audit(subject, patience_s=patience_s), what="the audit passing", every=0.5)
    except DeadlineExceeded:
        return audit(subject, patience_s=patience_s)
