"""What has to pass a host's own firewall for the cluster to live, and what becomes of each there. One list, evaluated once. Pure.

Every node is judged as if it were active: a standby whose firewall is closed is a failover that will not work.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from harness.config.cluster_config import Cluster, Design, Node, Service
from harness.diagnosis.firewall import Opening, Outcome, Packet, Ruleset, evaluate, opening, windows
from harness.diagnosis.firewall.packet import EPHEMERAL
from harness.diagnosis.firewall.windows import WindowsFirewall
from harness.managers.manager import PeerPort
from harness.managers.manager_registry import manager_class

OUTSIDE = ("client/*", "standby/*")
# As the evaluation says that a packet leaves for somebody else.
SENT_ELSEWHERE = re.compile(r"another address that it is sent to|target DNAT")
NicOf = Callable[[object], str | None]
Places = Callable[[Packet], Packet]
PortBetween = Callable[[Collection[str]], PeerPort | None]
K = TypeVar("K")


@dataclass(frozen=True)
class RequiredFlow:
    """One exchange, `first` the packet that opens it as this host's kernel sees it; `question` and `answer` say in words what is lost
    where that one, or what answers it, is. `explains` are the symptoms that follow (as in a `Cause`).

    `back` is the NIC by which answers leave, where that is known. `as_standby`: only the standby sends it, as a client of the services.
    `mutual`: of what is not TCP: the other end sends from the same port to the same port, so that it may pass as an answer to that.
    """

    first: Packet
    question: str
    answer: str
    explains: tuple[str, ...] = ()
    back: str | None = None
    as_standby: bool = False
    mutual: bool = False


@dataclass(frozen=True)
class FlowVerdict:
    """What becomes of one exchange, by which rule."""

    needed: RequiredFlow
    opening: Opening

    @property
    def lost(self) -> str:
        """In words, what does not pass."""
        return self.needed.question if self.opening.packet == self.needed.first else self.needed.answer

    @property
    def is_peers(self) -> bool:
        """Is it what the other node opens to a service here? A database may be shut to it on purpose: only clients have to get in."""
        return (
            self.needed.first.hook == "input" and bool(self.needed.explains) and all(p.startswith("standby/") for p in self.needed.explains)
        )

    @property
    def does(self) -> str:
        """What the deciding rule does: `drops`, `rejects (with tcp reset)`."""
        decision = self.opening.decision
        if decision.outcome is Outcome.REJECT:
            return f"rejects (with {decision.reply})"
        return "drops" if decision.outcome is Outcome.DROP else "drops or rejects"


@dataclass(frozen=True)
class FirewallVerdict:
    """One host's firewall. `not_told`: why some of its rules could not be read."""

    fates: tuple[FlowVerdict, ...]
    not_told: str = ""

    @property
    def stopped_by_rule(self) -> dict[tuple[str, str], list[FlowVerdict]]:
        """What does not pass, by the rule that decides and what that does."""
        flows = [f for f in self.fates if f.opening.passes is False]
        return _group_by(flows, lambda f: (f.opening.decision.rule, f.does))

    @property
    def unsure(self) -> dict[str, list[FlowVerdict]]:
        """What cannot be told, by what would have to be known."""
        return _group_by([f for f in self.fates if f.opening.passes is None], lambda f: f.opening.decision.why)

    @property
    def translated_by_rule(self) -> dict[str, list[FlowVerdict]]:
        """What passes and is given another destination, by the rule that does it."""
        return _group_by([f for f in self.fates if f.opening.passes and f.opening.decision.changed], lambda f: f.opening.decision.changed)

    def redirected(self, port: int) -> frozenset[int]:
        """The other ports of the host itself that its rules send connections to, from outside and for this port."""
        come = [f for f in self.fates if f.needed.first.hook == "input" and f.needed.first.in_nic != "lo"]
        return frozenset(f.opening.port for f in come if f.needed.first.destination_port == port and f.opening.port not in (None, port))

    def sent_elsewhere(self, port: int) -> str:
        """The rule that hands on to another address, as a container's, what comes from outside for this port; "" where there is none."""
        come = [f for f in self.fates if f.needed.first.hook == "input" and f.needed.first.in_nic != "lo"]
        decisions = [f.opening.decision for f in come if f.needed.first.destination_port == port]
        return next((d.rule or d.why for d in decisions if d.passes is None and SENT_ELSEWHERE.search(d.why)), "")


def judge_firewall(
    cluster: Cluster,
    host: str,
    ruleset: Ruleset | WindowsFirewall,
    nic_of: NicOf,
    probe_back: str | None = None,
    programs: Mapping[int, str] | None = None,
    place_packet: Places | None = None,
    paths: Collection[str] = (),
    port_between: PortBetween | None = None,
) -> FirewallVerdict:
    """`nic_of` tells the host's NIC that has an address, `probe_back` the NIC that leads to the probe's source. A client's are its
    connections to the frontend. `programs`: of a Windows host, whose path listens on a port. `place_packet`: of a Linux host, the packet
    with what its own addresses, routes and listeners make of it. `paths`: the addresses by which the cluster manager's nodes talk, where it
    told them: nothing of it has to pass between others. `port_between`: the port between two of these, by the manager's own file there."""
    port_between = port_between or (lambda ends: manager_class(cluster).port_between(ends, {}, {}))
    node = next((n for n in cluster.nodes if n.name == host), None)
    needed = _node_flows(cluster, node, nic_of, probe_back, paths, port_between) if node else _client_flows(cluster, nic_of)
    needed = (replace(flow, first=place_packet(flow.first)) for flow in needed) if place_packet else needed
    return FirewallVerdict(tuple(FlowVerdict(flow, _evaluate_flow(ruleset, flow, programs or {})) for flow in needed), ruleset.not_told)


def evaluate_again(ruleset: Ruleset, flow: RequiredFlow) -> FlowVerdict:
    """What would become of a flow that was placed on a Linux host already under other rules of that host's."""
    return FlowVerdict(flow, _evaluate_flow(ruleset, flow, {}))


def join_names(names: Iterable[str]) -> str:
    """`a, b and c`, each once."""
    several = list(dict.fromkeys(names))
    return several[0] if len(several) == 1 else f"{', '.join(several[:-1])} and {several[-1]}"


def _group_by(fates: Iterable[FlowVerdict], key: Callable[[FlowVerdict], K]) -> dict[K, list[FlowVerdict]]:
    groups: dict[K, list[FlowVerdict]] = {}
    for fate in fates:
        groups.setdefault(key(fate), []).append(fate)
    return groups


def _evaluate_flow(ruleset: Ruleset | WindowsFirewall, flow: RequiredFlow, programs: Mapping[int, str]) -> Opening:
    if isinstance(ruleset, WindowsFirewall):
        if flow.first.protocol == "tcp":
            port = flow.first.destination_port
            listens = programs.get(port) if flow.first.hook == "input" and isinstance(port, int) else None
            return windows.opening(ruleset, flow.first, owner=windows.Owner(listens))
        return Opening(flow.first, windows.evaluate(ruleset, flow.first), "")
    if flow.first.protocol == "tcp":
        return opening(ruleset, flow.first, back=flow.back)
    decision = evaluate(ruleset, flow.first)
    if flow.mutual and decision.passes is not True:
        opposite = replace(flow.first.answer(), state="new", reply=None)
        as_answer = evaluate(ruleset, opposite.answer())
        if evaluate(ruleset, opposite).passes is True and as_answer.passes is not False:
            decision = as_answer
    return Opening(flow.first, decision, "")


def _node_flows(
    cluster: Cluster, node: Node, nic_of: NicOf, probe_back: str | None, paths: Collection[str], port_between: PortBetween
) -> Iterator[RequiredFlow]:
    first = nic_of(node.address)
    peer, probe = cluster.peer_of(node.name), cluster.load_balancer.probe
    own_address, vip = str(node.address), str(cluster.vip)
    yield RequiredFlow(
        Packet(str(probe.source), own_address, probe.port, in_nic=first),
        f"the probe from {probe.source} to port {probe.port}",
        f"the answers to the probe's source {probe.source} on their way out",
        (*OUTSIDE, f"{node.name}:probe port", f"{node.name}:resource"),
        probe_back,
    )
    target = own_address if cluster.design is Design.NAT else vip
    for service in cluster.services:
        port_name = f"port {service.port} ({service.name})"
        for who, address, path in (("the client", cluster.client.address, "client"), (peer.name, peer.address, "standby")):
            syn = Packet(str(address), target, service.port, in_nic=first)
            answers = f"the answers of {port_name} to {who} on their way out"
            yield RequiredFlow(syn, f"connections to {port_name} from {who}", answers, (f"{path}/{service.name}",))
        for leaves in (True, False):
            hook, out, come = ("output", "lo", None) if leaves else ("input", None, "lo")
            syn = Packet(vip, vip, service.port, hook=hook, out_nic=out, in_nic=come)
            yield RequiredFlow(
                syn, f"its own connections to {port_name}", f"the answers of {port_name} to itself", (f"inside/{service.name}",)
            )
        yield _frontend_flow(cluster, service, own_address, first, f"standby/{service.name}", as_standby=True)
    yield from _manager_flows(node, peer, nic_of, paths, port_between)


def _manager_flows(node: Node, peer: Node, nic_of: NicOf, paths: Collection[str], port_between: PortBetween) -> Iterator[RequiredFlow]:
    for own_address, peer_address in ((node.address, peer.address), (node.second_address, peer.second_address)):
        ends = {str(own_address), str(peer_address)}
        if (paths and not ends & set(paths)) or (used := port_between(ends)) is None:
            continue
        protocol, port, mutual = used
        nic, kind = nic_of(own_address), "" if protocol == "tcp" else f"{protocol.upper()} "
        path_name = f"the cluster manager's communication path ({kind}port {port}) with {peer_address}"
        sent_from = port if mutual else EPHEMERAL
        come = Packet(str(peer_address), str(own_address), port, sent_from, protocol, in_nic=nic)
        leave = Packet(str(own_address), str(peer_address), port, sent_from, protocol, hook="output", out_nic=nic)
        for packet in (come, leave):
            yield RequiredFlow(packet, path_name, path_name, ("*:communication path", "*/*"), mutual=mutual)


def _client_flows(cluster: Cluster, nic_of: NicOf) -> Iterator[RequiredFlow]:
    client_address = cluster.client.address
    for service in cluster.services:
        yield _frontend_flow(cluster, service, str(client_address), nic_of(client_address), f"client/{service.name}")


def _frontend_flow(
    cluster: Cluster, service: Service, source: str, nic: str | None, path: str, *, as_standby: bool = False
) -> RequiredFlow:
    there = f"{cluster.vip}:{service.port} ({service.name})"
    leave = Packet(source, str(cluster.vip), service.port, hook="output", out_nic=nic)
    return RequiredFlow(leave, f"what it sends to {there}", f"the answers (SYN-ACK) of {there}", (path,), as_standby=as_standby)
