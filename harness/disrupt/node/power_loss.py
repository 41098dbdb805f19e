"""The active node loses its power, and gets it back at the end."""

from __future__ import annotations

from harness.disrupt.bases import client_tcp_timeout
from harness.disrupt.bases.power_base import ByPower
from harness.disrupt.disruption import Effect, both


class PowerLoss(ByPower):
    """The peer takes over when every communication path was silent for long enough (facts LKL-36, LKL-39). The lost node is the only
    other member, so the standby path has no origin until it is back; it comes back as standby (LKL-49, LKL-51)."""

    name = "power loss"
    sentence = "the active node's power is cut; it falls silent on the wire"
    away, back = "off", "on"
    moves = True
    expects = both(Effect.RECOVERS, Effect.RECOVERS, Effect.ANY)
    runs_with = frozenset({"one comm path cut"})

    def observations(self) -> list[str]:
        return [*super().observations(), client_tcp_timeout.describe(self._subject)]
