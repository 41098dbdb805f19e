"""The situations of the expectation matrix as data, and what brings a lab into them.

The cluster manager is stopped first, with everything left running, so that nobody puts back what a situation takes away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.config import cluster_config
from harness.config.cluster_config import Design, Service
from harness.core.deadline import Deadline
from harness.core.timeline import Timeline
from harness.expectations.connectivity_matrix import Situation
from harness.lab import lifekeeper_config
from harness.lab.lifecycle import launch
from tests.lab.fabric_witness import FabricWitness

LIMIT_S = 120.0  # for the balancer to believe: probes come every quarter of a second


@dataclass(frozen=True)
class Has:
    """What one node has: the VIP, the listener bound to an address (`any`, `vip`, `private`; None: it is down), the probe's responder."""

    vip: bool = False
    listener: str | None = None
    responder: bool = False


@dataclass(frozen=True)
class Placement:
    """What both nodes have, and what the balancer does when nobody is healthy."""

    active: Has
    standby: Has = Has()
    nobody_healthy: str = "AllProbedDown"


EVERYTHING = Has(vip=True, listener="any", responder=True)
HEALTHY = Placement(EVERYTHING)


def placement(situation: Situation, design: Design) -> Placement:
    """What has to be where for this row of the matrix (facts azure-ilb, section 11)."""

    def but(**changes) -> Placement:
        return Placement(replace(EVERYTHING, **changes))

    # F6b says VIP on both, N6b does not: without floating IP no VIP is needed to serve.
    second_server = Has(vip=design is Design.FLOATING, listener="any", responder=True)
    return {
        Situation.HEALTHY: HEALTHY,
        Situation.IP_RESOURCE_OUT: but(vip=False),
        Situation.BOUND_TO_VIP: but(listener="vip"),
        # The probe is the application port: there is no responder of its own.
        Situation.BOUND_TO_VIP_AND_PROBED: but(listener="vip", responder=False),
        Situation.BOUND_TO_PRIVATE: but(listener="private"),
        Situation.BOUND_TO_PRIVATE_NO_VIP: but(vip=False, listener="private"),
        Situation.RESPONDER_DOWN: but(responder=False),
        Situation.BOTH_UP: Placement(EVERYTHING, Has(responder=True)),
        Situation.BOTH_UP_NO_VIP: Placement(replace(EVERYTHING, vip=False), Has(responder=True)),
        Situation.BOTH_UP_BOTH_SERVE: Placement(EVERYTHING, second_server),
        Situation.VIP_ON_BOTH: Placement(EVERYTHING, Has(vip=True)),
        Situation.VIP_ON_BOTH_BOTH_SERVE: Placement(EVERYTHING, Has(vip=True, listener="any")),
        # The application still runs, so that only the balancer can be what keeps the paths silent.
        Situation.NONE_HEALTHY: but(vip=False, responder=False),
        Situation.SERVICE_DOWN: but(listener=None),
        Situation.SERVICE_DOWN_NO_VIP: but(vip=False, listener=None),
        Situation.ALL_PROBED_UP: Placement(replace(EVERYTHING, responder=False), nobody_healthy="AllProbedUp"),
    }[situation]


class Stage:
    """A lab whose nodes are set by hand. The first node plays the active one."""

    def __init__(self, lab: launch.RunningLab) -> None:
        self.lab = lab
        self.subject = ClusterUnderTest(cluster_config.load(lab.cluster_file), Timeline())
        self.cluster = self.subject.cluster
        self.active, self.standby = (n.name for n in self.cluster.nodes)
        self.listener = next(s for s in self.cluster.services if s.kind == "oracle")
        self.probed_itself = self.cluster.load_balancer.probe.port == self.listener.port
        self._responder = Service(name="responder", kind="tcp", port=self.cluster.load_balancer.probe.port, tag="responder")
        self.fabric = FabricWitness(self.subject)
        self._now = {self.active: Has(), self.standby: Has()}
        self._nobody_healthy = "AllProbedDown"

    def take_over(self) -> None:
        """Stop the cluster manager and leave what it runs; then put a responder of ours in the place of its own."""
        for node in (self.active, self.standby):
            self._run(node, [str(self.cluster.manager.root / "bin" / "lkstop"), "-f"])
        self._now[self.active] = EVERYTHING
        left = {x.port: x.pid for x in self.subject.facts[self.active].listeners()}
        assert self.listener.port in left and self._responder.port in left, "`lkstop -f` has to leave what is in service"
        assert list(self.subject.holders_of_vip()) == [self.active], "`lkstop -f` has to leave the VIP"
        self._run(self.active, ["kill", "-KILL", str(left[self._responder.port])])
        self._run(self.active, lifekeeper_config.command(self._responder, self.active, "start"))

    def bring_about(self, wanted: Placement) -> None:
        """Change what differs, then wait until the balancer believes it."""
        nodes = {self.active: wanted.active, self.standby: wanted.standby}
        if self.probed_itself:
            nodes = {name: replace(has, responder=False) for name, has in nodes.items()}
        if wanted.nobody_healthy != self._nobody_healthy:
            self.lab.record.ask("no_healthy_backends", behaviour=wanted.nobody_healthy)
            self._nobody_healthy = wanted.nobody_healthy
        for node, has in nodes.items():
            self._change(node, has)
        believed = [n for n in nodes if self._answers_the_probe(nodes[n])]
        if not believed and wanted.nobody_healthy == "AllProbedUp":
            believed = list(nodes)
        Deadline(LIMIT_S).wait_for(
            self.healthy, until=lambda seen: seen == believed, what=f"the balancer sending to {believed}", every=0.05
        )

    def _change(self, node: str, wanted: Has) -> None:
        now = self._now[node]
        rebind = wanted.listener != now.listener
        # A listener bound to the VIP goes before the VIP goes, and comes after it has come.
        if rebind and now.listener:
            self._run(node, lifekeeper_config.command(self.listener, node, "stop"))
        if wanted.vip != now.vip:
            vip = f"{self.cluster.vip}/{self.cluster.ip_resource.prefix}"
            self._run(node, ["ip", "addr", "add" if wanted.vip else "del", vip, "dev", "eth1"])
        if rebind and wanted.listener:
            self._run(node, lifekeeper_config.command(self.listener, node, "start", bind=self._address(node, wanted.listener)))
        if wanted.responder != now.responder:
            self._run(node, lifekeeper_config.command(self._responder, node, "start" if wanted.responder else "stop"))
        self._now[node] = wanted

    def _address(self, node: str, bound: str) -> str:
        return {"any": "0.0.0.0", "vip": str(self.cluster.vip), "private": str(self.cluster.node(node).address)}[bound]

    def _answers_the_probe(self, has: Has) -> bool:
        """The probe goes to the private address, so what listens on the VIP alone does not hear it (facts PRB-03)."""
        return has.listener in ("any", "private") if self.probed_itself else has.responder

    def healthy(self) -> list[str]:
        """Who the balancer sends new flows to."""
        return [m["node"] for m in self.lab.record.ask("status")["balancer"] if m["healthy"]]

    def _run(self, node: str, words: list[str]) -> None:
        self.subject.hosts[node].check(words)

    def down(self) -> None:
        try:
            self.fabric.stop()
            self.subject.close()
        finally:
            self.lab.down()


def stages(bring_up) -> Iterator:
    """A function (design, probed_itself) → Stage that makes each stage once; all go down at the end."""
    made: dict[tuple[Design, bool], Stage] = {}

    def stage(design: Design, probed_itself: bool) -> Stage:
        key = (design, probed_itself)
        if key not in made:
            made[key] = Stage(bring_up(design, probed_itself))
            if not probed_itself:  # otherwise the lab is its network alone: its health-check resource would want the listener's port
                made[key].take_over()
            made[key].bring_about(HEALTHY)
        return made[key]

    try:
        yield stage
    finally:
        for one in made.values():
            one.down()
