"""A host's own firewall: which of the packets that this cluster lives by would its kernel drop, and by which rule?

Both nodes are judged as if they were active: a standby whose firewall is closed is a failover that will not work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.config.cluster_config import Design, Node
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.diagnosis.firewall import Decision, Outcome, Packet, evaluate

MANAGER_PORTS = {"lifekeeper": (("tcp", 7365),), "pacemaker": (("udp", 5405),)}  # LKL-36, PCM-02


@dataclass(frozen=True)
class Asked:
    """One packet that has to pass, and what it is; `explains` what does not work without it."""

    packet: Packet
    what: str
    explains: tuple[str, ...] = ()


def causes(evidence: Evidence) -> Iterator[Cause]:
    for node, seen in evidence.nodes:
        if seen.firewall is not None:
            yield from _judged(evidence, seen, list(_of_a_node(evidence, node, seen)))
    client = evidence.hosts.get(evidence.cluster.client.name)
    if client is not None and client.firewall is not None:
        yield from _judged(evidence, client, list(_of_the_client(evidence)))


def _judged(evidence: Evidence, seen: HostSeen, asked: list[Asked]) -> Iterator[Cause]:
    """One cause for each rule that decides, with everything that it stops."""
    assert seen.firewall is not None
    stopped: dict[str, list[tuple[Asked, Decision]]] = {}
    moved: dict[str, list[Asked]] = {}
    for one in asked:
        decision = evaluate(seen.firewall, one.packet)
        if decision.passes is False:
            stopped.setdefault(decision.rule, []).append((one, decision))
        elif decision.changed and one.packet.state == "new":
            moved.setdefault(decision.changed, []).append(one)
    for rule, sent in moved.items():
        whats = " and ".join(dict.fromkeys(one.what for one in sent))
        yield Cause(
            f"its own firewall gives {whats} another destination: `{rule}`",
            seen.name,
            Certainty.LIKELY,
            "see who put that translation there and whether what it leads to serves; else take it away",
            (f"{seen.name}'s ruleset, evaluated for {sent[0].packet}",),
            explains=tuple(dict.fromkeys(p for one in sent for p in one.explains)),
            general=True,
        )
    for rule, those in stopped.items():
        whats = " and ".join(dict.fromkeys(one.what for one, _ in those))
        does = "rejects" if those[0][1].outcome is Outcome.REJECT else "drops"
        later = f", so {seen.name} could not take over" if seen.name == evidence.standby else ""
        explains = tuple(dict.fromkeys(p for one, _ in those for p in one.explains))
        if seen.name == evidence.standby:
            explains = tuple(p for p in explains if ":" in p)
        yield Cause(
            f"its own firewall {does} {whats}: no rule lets it pass before {rule}{later}",
            seen.name,
            Certainty.CERTAIN,
            "let these pass by a rule before it, or take the rule away, and make that permanent where the firewall is configured",
            tuple(dict.fromkeys(f"{seen.name}'s ruleset, evaluated: {decision.why}" for _, decision in those)),
            explains=(*explains, f"{seen.name}:firewall"),
        )


def _of_a_node(evidence: Evidence, node: Node, seen: HostSeen) -> Iterator[Asked]:
    cluster = evidence.cluster
    first, second = seen.nic_of(node.address), seen.nic_of(node.second_address)
    probe, own = cluster.load_balancer.probe, str(node.address)
    if first is None:
        return
    into = Packet(str(probe.source), own, probe.port, in_nic=first)
    outside = ("client/*", "standby/*")
    broken = tuple(f"{node.name}:{what}" for what in ("probe port", "resource"))
    yield Asked(into, f"the probe from {probe.source} to port {probe.port}", (*outside, *broken))
    yield Asked(into.answer(), f"the answers that it sends to the probe's source {probe.source}", (*outside, *broken))
    target = own if cluster.design is Design.NAT else str(cluster.vip)
    peer = cluster.peer_of(node.name)
    for service in cluster.services:
        for origin, path in ((cluster.client.address, "client"), (peer.address, "standby")):
            packet = Packet(str(origin), target, service.port, in_nic=first)
            what = f"connections to port {service.port} ({service.name})"
            yield Asked(packet, what, (f"{path}/{service.name}",))
            yield Asked(packet.answer(), f"the answers of port {service.port} ({service.name})", (f"{path}/{service.name}",))
        inside = Packet(str(cluster.vip), str(cluster.vip), service.port, in_nic="lo")
        yield Asked(inside, f"its own connections to port {service.port} ({service.name})", (f"inside/{service.name}",))
    for protocol, port in MANAGER_PORTS.get(cluster.manager.kind, ()):
        for mine, its, nic in ((node.address, peer.address, first), (node.second_address, peer.second_address, second)):
            if nic is not None:
                yield from _of_the_manager(node.name, protocol, port, str(mine), str(its), nic)


def _of_the_manager(name: str, protocol: str, port: int, mine: str, its: str, nic: str) -> Iterator[Asked]:
    what = f"the cluster manager's own traffic ({protocol} port {port})"
    explains = ("*:communication path", "*/*")
    come = Packet(its, mine, port, protocol=protocol, in_nic=nic)
    yield Asked(come, what, explains)
    leave = Packet(mine, its, port, protocol=protocol, hook="output", out_nic=nic)
    yield Asked(leave, what, explains)
    if protocol == "tcp":
        yield Asked(come.answer(), what, explains)
        yield Asked(leave.answer(), what, explains)


def _of_the_client(evidence: Evidence) -> Iterator[Asked]:
    cluster, seen = evidence.cluster, evidence.hosts[evidence.cluster.client.name]
    nic = seen.nic_of(cluster.client.address)
    for service in cluster.services:
        leave = Packet(str(cluster.client.address), str(cluster.vip), service.port, hook="output", out_nic=nic)
        explains = (f"client/{service.name}",)
        yield Asked(leave, f"its own connections to port {service.port} ({service.name})", explains)
        what = f"the answers (SYN-ACK) from {cluster.vip}:{service.port} ({service.name})"
        yield Asked(leave.answer(), what, explains)
