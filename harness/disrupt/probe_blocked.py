"""The balancer's probes get lost on the active node: the service lives, and the balancer thinks that it is dead."""

from __future__ import annotations

from harness import budget
from harness.disrupt.base import Effect, both, register
from harness.disrupt.cut import Cut, Drops


@register
class ProbeBlocked(Cut):
    """Silent for everybody but the active node itself (facts N5, F5), until the health-check resource, hearing no probe for HC_TIMEOUT,
    fails its check and everything goes over (LKL-59)."""

    name = "probe blocked"
    sentence = "probes that come in at the active node are dropped in silence; the service itself lives"
    moves = True
    expects = both(Effect.RECOVERS, Effect.RECOVERS, Effect.RECOVERS)
    runs_with = frozenset({"one comm path cut"})

    def allowance(self) -> budget.Allowance:
        return budget.probe_lost(self._subject.cluster)

    def lacks(self) -> str | None:
        return lacks_hc_timeout(self._subject.cluster.manager.hc_timeout_s) or super().lacks()

    def drops(self) -> Drops:
        probe = self._subject.cluster.load_balancer.probe
        return Drops((f"ip saddr {probe.source} tcp dport {probe.port}",))


def lacks_hc_timeout(seconds: float | None) -> str | None:
    if seconds is None:
        return (
            "the cluster file does not say manager.hc_timeout_s: how long the health check bears to hear no probe is not known, "
            "and one that only listens (GenLB, azure-lb) never notices"
        )
    return None
