"""An orderly switchover to the other node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import budget
from harness.deadline import Deadline
from harness.disrupt.base import register

if TYPE_CHECKING:
    from harness.subject import Subject


@register
class Switchover:
    name = "switchover"
    sentence = "the cluster manager is told to move everything to the standby node"
    settles = True

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._from = subject.active
        self._to = subject.cluster.peer_of(self._from).name

    def allowance(self) -> budget.Allowance:
        return budget.switchover(self._subject.cluster)

    def lacks(self) -> str | None:
        return None

    def target(self) -> str:
        return self._from

    def begin(self, deadline: Deadline) -> None:
        self._subject.manager.switch_over(self._to, deadline=deadline)

    def took_effect(self, deadline: Deadline) -> None:
        deadline.wait_for(self._subject.manager.state, until=lambda s: s.active == self._to, what=f"the switchover to {self._to}")

    def undo(self, deadline: Deadline) -> None:
        """Nothing to undo: both nodes are whole, and where everything runs is the next test's affair."""
