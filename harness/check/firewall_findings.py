"""What hosts' own firewalls would do to the packets that this cluster lives by. Every node is judged as if it were active. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.config.cluster_config import Client, Cluster, Design, Node
from harness.core.finding import Finding, Weight
from harness.diagnosis.firewall import Opening, Outcome, Packet, Ruleset, evaluate, opening, parse

MANAGER_TCP = {"lifekeeper": 7365}  # the communication paths' port
MANAGER_UDP = {"pacemaker": 5405}  # corosync's
NicOf = Callable[[object], str | None]


@dataclass(frozen=True)
class Asked:
    """One connection, `syn` as this host's kernel sees it. `question` and `answer` say in words what is lost where one of them is."""

    syn: Packet
    question: str
    answer: str
    back: str | None = None  # the NIC by which answers leave, where it is known


def of_node(cluster: Cluster, node: Node, text: str, nic_of: NicOf, probe_back: str | None = None) -> list[Finding]:
    """`text` is what the node printed of its rules, `nic_of` its NIC that has an address, `probe_back` the one that leads to the probe."""
    return list(_judged(node.name, parse(text), list(_of_node(cluster, node, nic_of, probe_back))))


def of_client(cluster: Cluster, client: Client, text: str, nic_of: NicOf) -> list[Finding]:
    """The client's own firewall: connections to the frontend, and what comes back."""
    asked = [
        Asked(
            Packet(str(client.address), str(cluster.vip), service.port, hook="output", out_nic=nic_of(client.address)),
            f"what it sends to {cluster.vip}:{service.port} ({service.name})",
            f"the answers (SYN-ACK) of {cluster.vip}:{service.port} ({service.name})",
        )
        for service in cluster.services
    ]
    return list(_judged(client.name, parse(text), asked))


def _of_node(cluster: Cluster, node: Node, nic_of: NicOf, probe_back: str | None) -> Iterator[Asked]:
    first, second = nic_of(node.address), nic_of(node.second_address)
    peer, probe = cluster.peer_of(node.name), cluster.load_balancer.probe
    own, vip = str(node.address), str(cluster.vip)
    yield Asked(
        Packet(str(probe.source), own, probe.port, in_nic=first),
        f"the probe from {probe.source} to port {probe.port}",
        f"the answers to the probe's source {probe.source} on their way out",
        probe_back,
    )
    target = own if cluster.design is Design.NAT else vip
    for service in cluster.services:
        named = f"port {service.port} ({service.name})"
        for who, address in (("the client", cluster.client.address), (peer.name, peer.address)):
            syn = Packet(str(address), target, service.port, in_nic=first)
            yield Asked(syn, f"connections to {named} from {who}", f"the answers of {named} to {who} on their way out")
        for hook in ("output", "input"):
            leaves = hook == "output"
            syn = Packet(vip, vip, service.port, hook=hook, out_nic="lo" if leaves else None, in_nic=None if leaves else "lo")
            yield Asked(syn, f"its own connections to {named}", f"the answers of {named} to itself")
        syn = Packet(own, vip, service.port, hook="output", out_nic=first)
        yield Asked(syn, f"what it sends to {vip}:{service.port} ({service.name})", f"the answers of {vip}:{service.port} ({service.name})")
    if port := MANAGER_TCP.get(cluster.manager.kind):
        for mine, its, nic in ((node.address, peer.address, first), (node.second_address, peer.second_address, second)):
            named = f"the cluster manager's communication path (port {port}) with {its}"
            yield Asked(Packet(str(its), str(mine), port, in_nic=nic), named, named)
            yield Asked(Packet(str(mine), str(its), port, hook="output", out_nic=nic), named, named)
    if port := MANAGER_UDP.get(cluster.manager.kind):
        named = f"the cluster manager's communication path (UDP port {port}) with {peer.address}"
        yield Asked(Packet(str(peer.address), own, port, protocol="udp", in_nic=first), named, named)
        yield Asked(Packet(own, str(peer.address), port, protocol="udp", hook="output", out_nic=first), named, named)


def _judged(host: str, ruleset: Ruleset, asked: list[Asked]) -> Iterator[Finding]:
    """One finding for each rule that decides, with all that it stops; and one for what cannot be told."""
    stopped: dict[tuple[str, str], list[str]] = {}
    unsure: dict[str, list[str]] = {}
    for one in asked:
        found = _opened(ruleset, one)
        lost = one.question if found.what == "the SYN" else one.answer
        if found.passes is None:
            unsure.setdefault(found.decision.why, []).append(lost)
        elif not found.passes:
            stopped.setdefault((found.decision.rule, _does(found)), []).append(lost)
    for (rule, does), lost_there in stopped.items():
        says = f"the firewall of the host itself {does} {_listed(lost_there)}: {rule}"
        do = "let these pass by a rule before it, or take it away; where the firewall is configured, so that it lasts"
        yield Finding(Weight.FAULT, host, "firewall", says, do, ("TRP-07",))
    if ruleset.not_told:
        yield Finding(Weight.UNKNOWN, host, "firewall", f"cannot tell: {ruleset.not_told}", "look yourself what it does to these ports")
        return
    for why, lost_there in unsure.items():
        says = f"cannot tell what becomes of {_listed(lost_there)}: {why}"
        yield Finding(Weight.NOTE, host, "firewall", says, "see that this rule lets them pass")


def _opened(ruleset: Ruleset, one: Asked) -> Opening:
    if one.syn.protocol == "tcp":
        return opening(ruleset, one.syn, back=one.back)
    return Opening(one.syn, evaluate(ruleset, one.syn), "")


def _does(found: Opening) -> str:
    if found.decision.outcome is Outcome.REJECT:
        return f"rejects (with {found.decision.told})"
    return "drops" if found.decision.outcome is Outcome.DROP else "drops or rejects"


def _listed(lost: list[str]) -> str:
    several = list(dict.fromkeys(lost))
    return several[0] if len(several) == 1 else f"{', '.join(several[:-1])} and {several[-1]}"
