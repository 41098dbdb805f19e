"""What has to pass a host's own firewall for the cluster to live, and what becomes of each there. One list, evaluated once. Pure.

Every node is judged as if it were active: a standby whose firewall is closed is a failover that will not work.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from harness.config.cluster_config import Cluster, Design, Node, Service
from harness.diagnosis.firewall import Opening, Outcome, Packet, Ruleset, evaluate, opening, windows
from harness.diagnosis.firewall.windows import WindowsFirewall
from harness.managers.manager_registry import manager_class

OUTSIDE = ("client/*", "standby/*")
NicOf = Callable[[object], str | None]
Places = Callable[[Packet], Packet]
K = TypeVar("K")


@dataclass(frozen=True)
class RequiredFlow:
    """One exchange, `first` the packet that opens it as this host's kernel sees it; `question` and `answer` say in words what is lost
    where that one, or what answers it, is. `explains` are the symptoms that follow (as in a `Cause`).

    `back` is the NIC by which answers leave, where that is known. `as_standby`: only the standby sends it, as a client of the services.
    """

    first: Packet
    question: str
    answer: str
    explains: tuple[str, ...] = ()
    back: str | None = None
    as_standby: bool = False


@dataclass(frozen=True)
class FlowVerdict:
    """What becomes of one exchange, by which rule."""

    needed: RequiredFlow
    found: Opening

    @property
    def lost(self) -> str:
        """In words, what does not pass."""
        return self.needed.question if self.found.packet == self.needed.first else self.needed.answer

    @property
    def does(self) -> str:
        """What the deciding rule does: `drops`, `rejects (with tcp reset)`."""
        decision = self.found.decision
        if decision.outcome is Outcome.REJECT:
            return f"rejects (with {decision.reply})"
        return "drops" if decision.outcome is Outcome.DROP else "drops or rejects"


@dataclass(frozen=True)
class FirewallVerdict:
    """One host's firewall. `not_told`: why some of its rules could not be read."""

    fates: tuple[FlowVerdict, ...]
    not_told: str = ""

    @property
    def stopped(self) -> dict[tuple[str, str], list[FlowVerdict]]:
        """What does not pass, by the rule that decides and what that does."""
        lost = [f for f in self.fates if f.found.passes is False]
        return _grouped(lost, lambda f: (f.found.decision.rule, f.does))

    @property
    def unsure(self) -> dict[str, list[FlowVerdict]]:
        """What cannot be told, by what would have to be known."""
        return _grouped([f for f in self.fates if f.found.passes is None], lambda f: f.found.decision.why)

    @property
    def moved(self) -> dict[str, list[FlowVerdict]]:
        """What passes and is given another destination, by the rule that does it."""
        return _grouped([f for f in self.fates if f.found.passes and f.found.decision.changed], lambda f: f.found.decision.changed)


def judge_firewall(
    cluster: Cluster,
    host: str,
    ruleset: Ruleset | WindowsFirewall,
    nic_of: NicOf,
    probe_back: str | None = None,
    programs: Mapping[int, str] | None = None,
    placed: Places | None = None,
    paths: Collection[str] = (),
) -> FirewallVerdict:
    """`nic_of` tells the host's NIC that has an address, `probe_back` the NIC that leads to the probe's source. A client's are its
    connections to the frontend. `programs`: of a Windows host, whose path listens on a port. `placed`: of a Linux host, the packet with
    what its own addresses, routes and listeners make of it. `paths`: the addresses by which the cluster manager's nodes talk, where it
    told them: nothing of it has to pass between others."""
    node = next((n for n in cluster.nodes if n.name == host), None)
    needed = _of_node(cluster, node, nic_of, probe_back, paths) if node else _of_client(cluster, nic_of)
    needed = (replace(one, first=placed(one.first)) for one in needed) if placed else needed
    return FirewallVerdict(tuple(FlowVerdict(one, _opened(ruleset, one, programs or {})) for one in needed), ruleset.not_told)


def listed(lost: Iterable[str]) -> str:
    """`a, b and c`, each once."""
    several = list(dict.fromkeys(lost))
    return several[0] if len(several) == 1 else f"{', '.join(several[:-1])} and {several[-1]}"


def _grouped(fates: Iterable[FlowVerdict], key: Callable[[FlowVerdict], K]) -> dict[K, list[FlowVerdict]]:
    found: dict[K, list[FlowVerdict]] = {}
    for fate in fates:
        found.setdefault(key(fate), []).append(fate)
    return found


def _opened(ruleset: Ruleset | WindowsFirewall, one: RequiredFlow, programs: Mapping[int, str]) -> Opening:
    if isinstance(ruleset, WindowsFirewall):
        if one.first.protocol == "tcp":
            port = one.first.destination_port
            listens = programs.get(port) if one.first.hook == "input" and isinstance(port, int) else None
            return windows.opening(ruleset, one.first, owner=windows.Owner(listens))
        return Opening(one.first, windows.evaluate(ruleset, one.first), "")
    if one.first.protocol == "tcp":
        return opening(ruleset, one.first, back=one.back)
    return Opening(one.first, evaluate(ruleset, one.first), "")


def _of_node(cluster: Cluster, node: Node, nic_of: NicOf, probe_back: str | None, paths: Collection[str]) -> Iterator[RequiredFlow]:
    first = nic_of(node.address)
    peer, probe = cluster.peer_of(node.name), cluster.load_balancer.probe
    own, vip = str(node.address), str(cluster.vip)
    yield RequiredFlow(
        Packet(str(probe.source), own, probe.port, in_nic=first),
        f"the probe from {probe.source} to port {probe.port}",
        f"the answers to the probe's source {probe.source} on their way out",
        (*OUTSIDE, f"{node.name}:probe port", f"{node.name}:resource"),
        probe_back,
    )
    target = own if cluster.design is Design.NAT else vip
    for service in cluster.services:
        named = f"port {service.port} ({service.name})"
        for who, address, path in (("the client", cluster.client.address, "client"), (peer.name, peer.address, "standby")):
            syn = Packet(str(address), target, service.port, in_nic=first)
            answers = f"the answers of {named} to {who} on their way out"
            yield RequiredFlow(syn, f"connections to {named} from {who}", answers, (f"{path}/{service.name}",))
        for leaves in (True, False):
            hook, out, come = ("output", "lo", None) if leaves else ("input", None, "lo")
            syn = Packet(vip, vip, service.port, hook=hook, out_nic=out, in_nic=come)
            yield RequiredFlow(syn, f"its own connections to {named}", f"the answers of {named} to itself", (f"inside/{service.name}",))
        yield _to_the_frontend(cluster, service, own, first, f"standby/{service.name}", as_standby=True)
    yield from _of_the_manager(cluster, node, peer, nic_of, paths)


def _of_the_manager(cluster: Cluster, node: Node, peer: Node, nic_of: NicOf, paths: Collection[str]) -> Iterator[RequiredFlow]:
    peer_port = manager_class(cluster).peer_port
    if peer_port is None:
        return
    protocol, port = peer_port
    for mine, its in ((node.address, peer.address), (node.second_address, peer.second_address)):
        if paths and not {str(mine), str(its)} & set(paths):
            continue
        nic, kind = nic_of(mine), "" if protocol == "tcp" else f"{protocol.upper()} "
        named = f"the cluster manager's communication path ({kind}port {port}) with {its}"
        come = Packet(str(its), str(mine), port, protocol=protocol, in_nic=nic)
        leave = Packet(str(mine), str(its), port, protocol=protocol, hook="output", out_nic=nic)
        for packet in (come, leave):
            yield RequiredFlow(packet, named, named, ("*:communication path", "*/*"))


def _of_client(cluster: Cluster, nic_of: NicOf) -> Iterator[RequiredFlow]:
    own = cluster.client.address
    for service in cluster.services:
        yield _to_the_frontend(cluster, service, str(own), nic_of(own), f"client/{service.name}")


def _to_the_frontend(cluster: Cluster, service: Service, own: str, nic: str | None, path: str, *, as_standby: bool = False) -> RequiredFlow:
    there = f"{cluster.vip}:{service.port} ({service.name})"
    leave = Packet(own, str(cluster.vip), service.port, hook="output", out_nic=nic)
    return RequiredFlow(leave, f"what it sends to {there}", f"the answers (SYN-ACK) of {there}", (path,), as_standby=as_standby)
