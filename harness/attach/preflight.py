"""What must hold on a stranger's cluster before anything is done to it."""

from __future__ import annotations

from collections.abc import Callable

from harness.attach.disruption_preconditions import Preconditions
from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.core.errors import Inconclusive
from harness.disrupt import disruption as disruptions


class Preflight:
    """`planned`: the names that were shown; `lost` says why the cluster is no longer ours, and is empty while it is; `sick` names the
    nodes that would not bear a disruption, with the reason; `left` what an earlier run has left on the hosts, whose undoing may yet come;
    `look` begins a new look at what a disruption demands of the cluster.
    """

    def __init__(
        self,
        subject: ClusterUnderTest,
        planned: frozenset[str],
        lost: Callable[[], str],
        sick: Callable[[], list[str]] = list,
        left: Callable[[], list[str]] = list,
        look: Callable[[ClusterUnderTest], Preconditions] = Preconditions,
    ) -> None:
        self._look = look
        self._sick = sick
        self._left = left
        self._subject = subject
        self._planned = planned
        self._lost = lost
        self.disturbed = False

    def before(self, name: str, *, within: bool = False, node: str = "") -> None:
        """Return when disruption `name` may be done now. Raises Inconclusive with every reason against it; nothing was done then.

        `within` another one the cluster is not healthy, which is the point: then only the plan, the lease and fencing are asked. `node`: it
        was chosen because it was active, and must be still.
        """
        reasons = [] if name in self._planned else ["it was not in the plan that was shown; name it in the test's mark `disruptive`"]
        if lost := self._lost():
            reasons.append(lost)
        if not reasons:
            asked, kind = self._look(self._subject), disruptions.get_disruption(name)
            if within:
                reasons = asked.of_split(kind)
            else:
                # What the cluster consists of is not asked twice.
                reasons = (asked.of_split(kind) if node else asked.skipped(kind, kind.failures)) or asked.refused(kind)
                if not reasons and node and asked.state.active != node:
                    reasons = [f"{node} was active when it was chosen, and {asked.state.active} is by now"]
                reasons = reasons or self._sick() or self._left()
                if not reasons and (unproven := asked.unproven(kind)):
                    self._subject.timeline.note("harness", "unproven", f"{name} is done although this is not proven: {'; '.join(unproven)}")
        if reasons:
            raise Inconclusive(f"{name} was not done, and nothing was: {'; '.join(reasons)}")
        self.disturbed = True
