"""What answers the balancer's probe dies without a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.disrupt.service.service_crash import ServiceCrash

if TYPE_CHECKING:
    from harness.cluster.cluster_under_test import ClusterUnderTest


class ProbeResponderCrash(ServiceCrash):
    """What answers the probe dies: a recovery event, and without local recovery a failover (facts LKL-58, DES-06). Whether the
    product's health-check resource has a local recovery is not known, so either node is right."""

    name = "probe responder crash"
    sentence = "the process that answers the balancer's probe is killed (SIGKILL)"
    runs_with = frozenset({"one comm path cut"})

    def __init__(self, subject: ClusterUnderTest) -> None:
        super().__init__(subject)
        self._port = subject.cluster.load_balancer.probe.port
