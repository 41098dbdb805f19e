"""An orderly switchover to the standby node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.core.deadline import Deadline
from harness.disrupt.disruption import Disruption, Effect, Step, both
from harness.expectations import outage_budget
from harness.managers.manager import Question

if TYPE_CHECKING:
    from harness.cluster.cluster_under_test import ClusterUnderTest


class Switchover(Disruption):
    """Both nodes live on, so the old one follows as standby, through the balancer (facts LKL-29, FLOW-15)."""

    name = "switchover"
    sentence = "the cluster manager is told to move everything to the standby node"
    needs = frozenset({Question.TOLD})
    on_windows = ""  # the cluster manager does it
    moves = True
    expects = both(Effect.RECOVERS, Effect.RECOVERS, Effect.RECOVERS)
    runs_with = frozenset({"one comm path cut"})

    def __init__(self, subject: ClusterUnderTest) -> None:
        super().__init__(subject)
        self._to = subject.cluster.peer_of(self._node).name

    def allowance(self) -> outage_budget.Allowance:
        return outage_budget.switchover(self._subject.cluster)

    @property
    def undoing(self) -> str:
        return "not by itself: at the end of the run everything goes back to the node that was active when the run began"

    def steps(self) -> list[Step]:
        return [Step(self._to, "do", line) for line in self._subject.manager.switch_over_lines(self._to)]

    def begin(self, deadline: Deadline) -> None:
        self._subject.manager.switch_over(self._to, deadline=deadline)

    def took_effect(self, deadline: Deadline) -> None:
        deadline.wait_for(self._subject.state, until=lambda s: s.active == self._to, what=f"the switchover to {self._to}")
