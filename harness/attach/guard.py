"""What must hold on a stranger's cluster before anything is done to it."""

from __future__ import annotations

from collections.abc import Callable

from harness.errors import Inconclusive
from harness.managers.base import ClusterState
from harness.subject import Subject

COMM_PATHS = 2  # where one is cut the other must hold: with a single one, whatever cuts it is a split brain (facts LKL-36)
CUTS = frozenset({"one comm path cut", "NIC down Subnet#1", "NIC down Subnet#2"})  # cut one path, and mean the other to live


def against(state: ClusterState, *, cuts: bool = False) -> list[str]:
    """What of a cluster's state speaks against disturbing it, or against cutting a path of it; sentences, none when it may be. Pure."""
    found = []
    for node in state.nodes.values():
        if not node.running:
            found.append(f"{node.node}: {node.why or 'its cluster manager could not be asked'}")
            continue
        dead = [p.addresses for p in node.comm_paths if not p.alive]
        if dead:
            found.append(f"{node.node}: communication path {' and '.join(dead)} is dead")
        elif len(node.comm_paths) < (needed := COMM_PATHS if cuts else 1):
            found.append(f"{node.node} names {len(node.comm_paths)} communication paths instead of {needed}")
    if state.active is None:
        found.append(f"not exactly one node has everything in service ({state})")
    elif not found:
        standby = next(s for n, s in state.nodes.items() if n != state.active)
        if not standby.stands_by:
            found.append(f"{standby.node} does not stand by ({state})")
    return found


class Guard:
    """`planned`: the names that were shown; `lost` says why the cluster is no longer ours, and is empty while it is; `sick` names the
    nodes that would not bear a disruption, with the reason; `left` what an earlier run has left on the hosts, whose undoing may yet come.
    """

    def __init__(
        self,
        subject: Subject,
        planned: frozenset[str],
        lost: Callable[[], str],
        sick: Callable[[], list[str]] = list,
        left: Callable[[], list[str]] = list,
    ) -> None:
        self._sick = sick
        self._left = left
        self._subject = subject
        self._planned = planned
        self._lost = lost
        self.disturbed = False

    def before(self, name: str, *, within: bool = False, node: str = "") -> None:
        """Return when disruption `name` may be done now. Raises Inconclusive with every reason against it; nothing was done then.

        `within` another one the cluster is not whole, which is the point: then only the plan and the lease are asked. `node`: it was
        chosen because it was active, and must be still.
        """
        reasons = [] if name in self._planned else ["it was not in the plan that was shown; name it in the test's mark `disruptive`"]
        if lost := self._lost():
            reasons.append(lost)
        if not reasons and not within:
            state = self._subject.manager.state()
            reasons = against(state, cuts=name in CUTS)
            if not reasons and not node:  # what the cluster consists of is not asked twice
                reasons = self._subject.manager.strangers()
            if not reasons and node and state.active != node:
                reasons = [f"{node} was active when it was chosen, and {state.active} is by now"]
            if not reasons and state.active is not None:
                to = self._subject.standby_of(state.active)
                allowed = self._subject.manager.may_switch_over(to)
                reasons = [f"a switchover to {to} would not be allowed: {why}" for why in allowed.because] if allowed.no else []
            reasons = reasons or self._sick() or self._left()
        if reasons:
            raise Inconclusive(f"{name} was not done, and nothing was: {'; '.join(reasons)}")
        self.disturbed = True
