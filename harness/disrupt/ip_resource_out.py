"""The IP resource alone is taken out of service: the negative control of the inside path (facts HAIR-08)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import budget
from harness.deadline import Deadline
from harness.disrupt.base import register

if TYPE_CHECKING:
    from harness.subject import Subject


@register
class IpResourceOut:
    name = "IP resource out"
    sentence = "the IP resource is taken out of service, everything else stays"
    settles = False

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._node = subject.active
        self._tag = subject.cluster.ip_resource.tag
        self._out = False

    def allowance(self) -> budget.Allowance:
        return budget.switchover(self._subject.cluster)

    def lacks(self) -> str | None:
        return None

    def target(self) -> str:
        return self._node

    def begin(self, deadline: Deadline) -> None:
        self._out = True
        self._subject.manager.take_out(self._tag, self._node, deadline=deadline)

    def took_effect(self, deadline: Deadline) -> None:
        deadline.wait_for(lambda: not self._subject.holders_of_vip(), what=f"{self._subject.cluster.vip} leaving every NIC")

    def undo(self, deadline: Deadline) -> None:
        if self._out:
            self._subject.manager.put_back(self._tag, self._node, deadline=deadline)
            deadline.wait_for(
                lambda: self._subject.holders_of_vip(),
                until=lambda h: set(h) == {self._node},
                what=f"{self._subject.cluster.vip} back on {self._node}",
            )
