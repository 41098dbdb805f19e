"""An orderly switchover back to the node with the best priority, the first of the cluster file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.core.deadline import Deadline
from harness.core.errors import HarnessError
from harness.disrupt import undo
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
        self._moved_before = ""

    def steps(self) -> list[Step]:
        away = self._subject.cluster.peer_of(self._to).name
        lines = self._subject.manager.switch_over_lines(away) if self._subject.active != away else []
        return [*(Step(away, "prepare", line) for line in lines), *super().steps()]

    def prepare(self, deadline: Deadline) -> None:
        """The move away is a switchover like any other: asked for right before it, because the meter was calibrated since the run was given
        its permission, and noted whatever becomes of it. Raises Inconclusive, and what `switch_over` raises."""
        subject, away = self._subject, self._subject.cluster.peer_of(self._to).name
        if subject.active != away:
            undo.demand_permission(subject, self)
            began = Deadline(0.0)
            subject.timeline.note("harness", "prepare", f"{self.name}: everything is moved to {away} first, so that it can go back")
            try:
                subject.manager.switch_over(away, deadline=deadline)
                subject.wait_until_healthy(deadline)
            except HarnessError as error:
                subject.timeline.note(
                    "harness", "prepare", f"{self.name}: the move to {away} was begun, and did not come to its end: {error}"
                )
                raise
            self._moved_before = f"before it everything was moved to {away}, in {began.elapsed():.1f} s, so that it could go back"
        self._node = away

    def observations(self) -> list[str]:
        return [self._moved_before] if self._moved_before else []
