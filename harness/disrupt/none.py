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

    _soaks_s = 0.0

    def soak(self, seconds: float, *, demanding: bool) -> None:
        """A round of a soak takes so long; where it is not `demanding`, the whole has a budget, and an outage in it is a figure."""
        self._soaks_s = seconds
        self.figures_only = not demanding
        if not demanding:
            self.expects = both(Effect.ANY, Effect.ANY, Effect.ANY)

    @property
    def lasts_s(self) -> float:
        """A check, and the heartbeats that a path may miss."""
        if self._soaks_s:
            return self._soaks_s
        manager = self._subject.cluster.manager
        return 2.0 + max(manager.check_interval_s, manager.heartbeat_s * manager.heartbeats_missed)

    def allowance(self) -> outage_budget.Allowance:
        return outage_budget.balancer_alone(self._subject.cluster)

    def begin(self, deadline: Deadline) -> None:
        """That is the point."""

    def took_effect(self, deadline: Deadline) -> None:
        """Nothing did."""
