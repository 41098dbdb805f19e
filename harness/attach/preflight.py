"""What must hold on an attached cluster before anything is done to it."""

from __future__ import annotations

from collections.abc import Callable

from harness.attach.disruption_preconditions import Preconditions
from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.core.errors import Inconclusive
from harness.disrupt import disruption as disruptions


class Preflight:
    """`planned`: the names that were shown; `loss_reason` says why the cluster is no longer ours, and is empty while it is; `node_problems`
    names the nodes that would not bear a disruption, with the reason; `leftovers` what an earlier run has left on the hosts, whose undoing
    may yet come; `make_preconditions` begins a new look at what a disruption demands of the cluster.
    """

    def __init__(
        self,
        subject: ClusterUnderTest,
        planned: frozenset[str],
        loss_reason: Callable[[], str],
        node_problems: Callable[[], list[str]] = list,
        leftovers: Callable[[], list[str]] = list,
        make_preconditions: Callable[[ClusterUnderTest], Preconditions] = Preconditions,
    ) -> None:
        self._make_preconditions = make_preconditions
        self._node_problems = node_problems
        self._leftovers = leftovers
        self._subject = subject
        self._planned = planned
        self._loss_reason = loss_reason
        self.disturbed = False

    def demand_permission(self, name: str, *, within: bool = False, node: str = "") -> None:
        """Return when disruption `name` may be done now. Raises Inconclusive with every reason against it; nothing was done then.

        `within` another one the cluster is not healthy, which is the point: then only the plan, the lease and fencing are asked. `node`: it
        was chosen because it was active, and must be still.
        """
        reasons = [] if name in self._planned else ["it was not in the plan that was shown; name it in the test's mark `disruptive`"]
        if loss_reason := self._loss_reason():
            reasons.append(loss_reason)
        if not reasons:
            preconditions, kind = self._make_preconditions(self._subject), disruptions.get_disruption(name)
            if within:
                reasons = preconditions.split_reasons(kind)
            else:
                # What the cluster consists of is not asked twice.
                reasons = (
                    preconditions.split_reasons(kind) if node else preconditions.skip_reasons(kind, kind.failures)
                ) or preconditions.refusal_reasons(kind)
                if not reasons and node and preconditions.state.active != node:
                    reasons = [f"{node} was active when it was chosen, and {preconditions.state.active} is by now"]
                reasons = reasons or self._node_problems() or self._leftovers()
                if not reasons and (unproven := preconditions.unproven_points(kind)):
                    self._subject.timeline.note("harness", "unproven", f"{name} is done although this is not proven: {'; '.join(unproven)}")
        if reasons:
            raise Inconclusive(f"{name} was not done, and nothing was: {'; '.join(reasons)}")
        self.disturbed = True
