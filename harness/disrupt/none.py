"""The control: the same measurement, and nothing done."""

from __future__ import annotations

from harness.core.deadline import Deadline
from harness.disrupt.disruption import NOTHING, Disruption, Effect, both
from harness.expectations import outage_budget


class Nothing(Disruption):
    """What is out here is out by itself, or by the measuring."""

    name = "none"
    sentence = "nothing is done; the control of the measurement"
    on_windows = ""
    needs = NOTHING
    moves = False
    expects = both(Effect.UNTOUCHED, Effect.UNTOUCHED, Effect.UNTOUCHED)

    @property
    def lasts_s(self) -> float:
        """A check, and the heartbeats that a path may miss."""
        manager = self._subject.cluster.manager
        return 2.0 + max(manager.check_interval_s, manager.heartbeat_s * manager.heartbeats_missed)

    def allowance(self) -> outage_budget.Allowance:
        return outage_budget.balancer_alone(self._subject.cluster)

    def begin(self, deadline: Deadline) -> None:
        """That is the point."""

    def took_effect(self, deadline: Deadline) -> None:
        """Nothing did."""
