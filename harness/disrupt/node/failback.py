"""An orderly switchover back to the node with the best priority, the first of the cluster file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.core.deadline import Deadline
from harness.disrupt.disruption import Step
from harness.disrupt.node.switchover import Switchover

if TYPE_CHECKING:
    from harness.cluster.cluster_under_test import ClusterUnderTest


class Failback(Switchover):
    """To the first node of the cluster file, the one with the best priority. When it is active already, everything moves away first."""

    name = "failback"
    sentence = "the cluster manager is told to move everything back to the node with the best priority"

    def __init__(self, subject: ClusterUnderTest) -> None:
        super().__init__(subject)
        self._to = subject.cluster.nodes[0].name

    def steps(self) -> list[Step]:
        away = self._subject.cluster.peer_of(self._to).name
        lines = self._subject.manager.switch_over_lines(away) if self._subject.active != away else []
        return [*(Step(away, "prepare", line) for line in lines), *super().steps()]

    def prepare(self, deadline: Deadline) -> None:
        away = self._subject.cluster.peer_of(self._to).name
        if self._subject.active != away:
            self._subject.manager.switch_over(away, deadline=deadline)
            self._subject.wait_until_healthy(deadline)
        self._node = away
