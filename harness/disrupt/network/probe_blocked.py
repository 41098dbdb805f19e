"""The balancer's probes get lost on the active node: the service lives, and the balancer thinks that it is dead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.disrupt.bases.packet_drop_base import Blocks, Cut, Drops
from harness.disrupt.disruption import BY_FAILURE, Effect, both
from harness.expectations import outage_budget
from harness.managers.manager_registry import manager_class

if TYPE_CHECKING:
    from harness.cluster.cluster_under_test import ClusterUnderTest
    from harness.config.cluster_config import Cluster

STAYS_OUT = both(Effect.OUT, Effect.UNTOUCHED, Effect.OUT)  # the balancer sends nobody there, and nobody moves anything


class ProbeBlocked(Cut):
    """Silent for everybody but the active node itself (facts N5, F5), until the health-check resource, hearing no probe for HC_TIMEOUT,
    fails its check and everything goes over (LKL-59). Where it cannot miss a probe, clients stay out for as long as it lasts."""

    name = "probe blocked"
    sentence = "probes that come in at the active node are dropped in silence; the service itself lives"
    on_windows = ""
    needs = BY_FAILURE
    failures = 1
    moves = True
    expects = both(Effect.RECOVERS, Effect.RECOVERS, Effect.RECOVERS)
    runs_with = frozenset({"one comm path cut"})

    def __init__(self, subject: ClusterUnderTest) -> None:
        super().__init__(subject)
        if never_missed(subject.cluster):
            self.moves, self.expects = False, STAYS_OUT

    def allowance(self) -> outage_budget.Allowance:
        return allowance_without_probes(self._subject.cluster)

    def skip_reason(self) -> str | None:
        return lacks_hc_timeout(self._subject.cluster) or super().skip_reason()

    def drops(self) -> Drops:
        """The balancer's probes, by their source and port."""
        probe = self._subject.cluster.load_balancer.probe
        return Drops((f"ip saddr {probe.source} tcp dport {probe.port}",))

    def blocks(self) -> Blocks:
        """The same; the rule is for every address of the node, and its NIC in Subnet#1 is where probes come in."""
        probe, node = self._subject.cluster.load_balancer.probe, self._subject.cluster.node(self._node)
        return Blocks((str(node.address),), (str(probe.source),), probe.port)


def never_missed(cluster: Cluster) -> bool:
    """Is probing that ends without consequence for the cluster manager?"""
    return not manager_class(cluster).misses_probes and cluster.manager.hc_timeout_s is None


def allowance_without_probes(cluster: Cluster) -> outage_budget.Allowance:
    """The outage that is allowed while a node's probes get lost."""
    return outage_budget.balancer_alone(cluster) if never_missed(cluster) else outage_budget.probe_lost(cluster)


def lacks_hc_timeout(cluster: Cluster) -> str | None:
    """What the cluster file has to say for this; None where it says it."""
    if cluster.manager.hc_timeout_s is None and not never_missed(cluster):
        return (
            "the cluster file does not say manager.hc_timeout_s: how long the health check bears to hear no probe is not known, "
            "and one that only listens (GenLB) never notices"
        )
    return None
