"""What must hold on a stranger's cluster before anything is done to it, and how it is left at the end."""

from __future__ import annotations

from collections.abc import Callable

from harness import budget
from harness.audit import audit
from harness.deadline import Deadline
from harness.errors import DeadlineExceeded, HarnessError, Inconclusive
from harness.managers.base import ClusterState
from harness.subject import Subject
from harness.verdict import Verdict, failed, passed

COMM_PATHS = 2  # LifeKeeper asks for two (facts LKL-36); with a single one, whatever cuts it is a split brain


def against(state: ClusterState) -> list[str]:
    """What of a cluster's state speaks against disturbing it; sentences, none when it may be. Pure."""
    found = []
    for node in state.nodes.values():
        if not node.running:
            found.append(f"{node.node}: {node.why or 'its cluster manager could not be asked'}")
            continue
        dead = [p.addresses for p in node.comm_paths if not p.alive]
        if dead:
            found.append(f"{node.node}: communication path {' and '.join(dead)} is dead")
        elif len(node.comm_paths) < COMM_PATHS:
            found.append(f"{node.node} names {len(node.comm_paths)} communication paths instead of {COMM_PATHS}")
    if state.active is None:
        found.append(f"not exactly one node has everything in service ({state})")
    elif not found:
        standby = next(s for n, s in state.nodes.items() if n != state.active)
        if not standby.stands_by:
            found.append(f"{standby.node} does not stand by ({state})")
    return found


class Guard:
    """`planned`: the names that were shown; `lost` says why the cluster is no longer ours, and is empty while it is; `sick` names the
    nodes that would not bear a disruption, with the reason."""

    def __init__(
        self, subject: Subject, planned: frozenset[str], lost: Callable[[], str], sick: Callable[[], list[str]] = lambda: []
    ) -> None:
        self._sick = sick
        self._subject = subject
        self._planned = planned
        self._lost = lost
        self.disturbed = False

    def before(self, name: str) -> None:
        """Return when disruption `name` may be done now. Raises Inconclusive with every reason against it; nothing was done then."""
        reasons = [] if name in self._planned else ["it was not in the plan that was shown; name it in the test's mark `disruptive`"]
        if lost := self._lost():
            reasons.append(lost)
        if not reasons:
            state = self._subject.manager.state()
            reasons = against(state)
            if not reasons and state.active is not None:
                to = self._subject.standby_of(state.active)
                allowed = self._subject.manager.may_switch_over(to)
                reasons = [f"a switchover to {to} would not be allowed: {why}" for why in allowed.because] if allowed.no else []
            reasons = reasons or self._sick()
        if reasons:
            raise Inconclusive(f"{name} was not done, and nothing was: {'; '.join(reasons)}")
        self.disturbed = True


def put_back(subject: Subject, active: str, *, patience_s: float) -> Verdict:
    """Move everything back to the node that was active when the run began, and say what is not as it was found.

    Waits `patience_s` seconds for the cluster to be whole, before and after.
    """
    timers = subject.cluster.manager
    try:
        now = subject.wait_until_whole(Deadline(patience_s)).active
        if now != active:
            allowed = subject.manager.may_switch_over(active)
            if allowed.no:
                return failed(f"everything is on {now}, it was on {active}; it was not moved back, because {'; '.join(allowed.because)}")
            subject.timeline.note("harness", "put back", f"everything goes back to {active}, where it was found")
            subject.manager.switch_over(active, deadline=Deadline(timers.takeover_s + patience_s))
        left = _settled(subject, patience_s)
        seen = subject.manager.state().active
    except HarnessError as error:
        return failed(f"{active} was active; {error}")
    if seen != active:
        return failed(f"{seen or 'no node'} is active, {active} was")
    return passed(f"{active} is active, as it was") if left else failed(left.reason)


def _settled(subject: Subject, patience_s: float) -> Verdict:
    """The audit's verdict; the balancer may take its time to follow a switchover, as long as the budget allows it."""
    deadline = Deadline(budget.switchover(subject.cluster).seconds)
    try:
        return deadline.wait_for(lambda: audit(subject, patience_s=patience_s), what="the audit passing", every=0.5)
    except DeadlineExceeded:
        return audit(subject, patience_s=patience_s)
