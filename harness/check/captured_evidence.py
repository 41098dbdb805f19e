"""What was done and captured during a look, as evidence: paths with how their packets travelled, and the balancer's probes. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import median

from harness.cluster.path_check import PathCheck
from harness.config.cluster_config import Cluster, Node
from harness.diagnosis.evidence import Direct, PathSeen, ProbesSeen
from harness.remote.connections.attempt import Attempt
from harness.remote.recording.packets import Packet

Seen = Mapping[str, Sequence[Packet]]


def path(check: PathCheck, packets: Seen, cluster: Cluster) -> PathSeen:
    """One path's check with its packets, as evidence."""
    ports = {(a.local_address, a.local_port) for a in check.attempts if a.local_port is not None}
    at = [
        (name, p)
        for name, of_host in packets.items()
        for p in of_host
        if p.dport == check.service.port and p.protocol == "tcp" and (p.src, p.sport) in ports and p.is_syn and p.came_in
    ]
    nodes = {n.name for n in cluster.nodes}
    arrived = [(name, p) for name, p in at if name in nodes and name != check.origin_host]
    back = [
        (name, p)
        for name, of_host in packets.items()
        for p in of_host
        if p.sport == check.service.port and p.protocol == "tcp" and p.is_syn_ack and (p.dst, p.dport) in ports and not p.local
    ]
    began = {
        (p.src, p.sport, p.seq)
        for p in packets.get(check.origin_host, ())
        if p.protocol == "tcp" and p.is_syn and p.outgoing and p.dport == check.service.port and (p.src, p.sport) in ports
    }
    elsewhere = {  # a translated destination leaves the sequence number as it is
        (name, p.dport)
        for name in nodes - {check.origin_host}
        for p in packets.get(name, ())
        if _is_syn_that_came(p) and (p.src, p.sport, p.seq) in began and p.dport != check.service.port
    }
    return PathSeen(
        str(check.origin),
        check.origin_host,
        check.service,
        str(check.verdict.outcome),
        check.verdict.reason,
        outcomes=frozenset(str(a.outcome) for a in check.attempts),
        ways=frozenset(w.code for w in check.ways),
        nodes=frozenset(name for name, _ in arrived),
        arrived_as=frozenset(p.dst for _, p in arrived),
        other_ports=frozenset(f"{name} {port}" for name, port in elsewhere),
        answers_left=any(name in nodes and p.outgoing for name, p in back),
        answers_came=any(name == check.origin_host and p.came_in for name, p in back),
        identity=check.identity if not check.verdict else "",
        full=check.full.passes,
        full_says=check.full.says,
        hung=check.hung,
        overload=check.overload,
        answered_s=check.answered_s,
    )


def probes(node: Node, packets: Sequence[Packet], cluster: Cluster, seconds: float) -> ProbesSeen:
    """What arrived of the balancer's probes at a node within these seconds, and what was answered."""
    source, port = str(cluster.load_balancer.probe.source), cluster.load_balancer.probe.port
    came = [p for p in packets if p.protocol == "tcp" and p.src == source and p.is_syn and p.came_in]
    back = [p for p in packets if p.protocol == "tcp" and p.dst == source and p.sport == port and p.outgoing and not p.local]
    answers = [p for p in back if p.is_syn_ack]
    opened = {p.dport for p in answers}
    return ProbesSeen(
        node.name,
        seconds,
        syns=dict(Counter(p.dport for p in came)),
        came_by=frozenset(p.interface for p in came),
        answered=len(answers),
        refused=sum(p.is_rst and p.dport not in opened for p in back),  # a connection that was open may end by one as well
        answers_by=frozenset(p.interface for p in answers),
        misdelivered=_misdelivered(node, packets),
        every_s=_interval(p for p in came if p.dport == port),
        swallowed=_swallowed(node, packets, cluster),
    )


def direct(attempts: Sequence[Direct], packets: Seen, cluster: Cluster) -> list[Direct]:
    """The attempts past the balancer, those that were silent with what was seen of them at the node: told by both ends' ports."""
    return [_direct(a, packets.get(a.node, ()), str(cluster.node(a.node).address)) if a.outcome == "silent" else a for a in attempts]


def _direct(attempt: Direct, packets: Sequence[Packet], address: str) -> Direct:
    ports = (attempt.local_port, attempt.port)
    arrived = any(_is_syn_that_came(p) and p.dst == address and (p.sport, p.dport) == ports for p in packets)
    left = any(_is_answer_that_left(p) and p.src == address and (p.dport, p.sport) == ports for p in packets)
    return replace(attempt, arrived=arrived, answer_left=left)


def _is_syn_that_came(packet: Packet) -> bool:
    return packet.protocol == "tcp" and packet.is_syn and packet.came_in


def _is_answer_that_left(packet: Packet) -> bool:
    return packet.protocol == "tcp" and packet.outgoing and not packet.local and (packet.is_syn_ack or packet.is_rst)


def _swallowed(node: Node, packets: Sequence[Packet], cluster: Cluster) -> dict[str, int]:
    """What the other node's manager begins there, by the address that it came to, but where anything of that was answered or refused; what
    the look itself tries is left out."""
    peer, tried = cluster.peer_of(node.name), {cluster.load_balancer.probe.port, *(s.port for s in cluster.services)}
    ways = {(str(peer.address), str(node.address)), (str(peer.second_address), str(node.second_address))}
    came = Counter(p.dst for p in packets if _is_syn_that_came(p) and (p.src, p.dst) in ways and p.dport not in tried)
    heeded = {p.src for p in packets if _is_answer_that_left(p) and (p.dst, p.src) in ways and p.sport not in tried} if came else set()
    return {address: times for address, times in came.items() if address not in heeded}


def _interval(syns: Iterable[Packet]) -> float | None:
    """The median of the seconds between one connection's first SYN and the next one's, by the host's clock; None where it saw no two."""
    first_by_connection: dict[tuple[int, int], float] = {}
    for packet in syns:  # one that is not answered is sent again
        key = (packet.sport, packet.seq)
        first_by_connection[key] = min(packet.time, first_by_connection.get(key, packet.time))
    times = sorted(first_by_connection.values())
    return median(later - earlier for earlier, later in pairwise(times)) if len(times) > 1 else None


def _misdelivered(node: Node, packets: Sequence[Packet]) -> dict[str, int]:
    """By address of the node. A lower device sees what it passes on too, as a stranger's: one that came rightly clears it."""
    own_addresses = (str(node.address), str(node.second_address))
    rightly = {p.dst for p in packets if p.came_in}
    return dict(Counter(p.dst for p in packets if p.kind == "otherhost" and p.dst in own_addresses and p.dst not in rightly))


def outcome(attempt: Attempt) -> str:
    """An attempt's outcome as a word."""
    return str(attempt.outcome)
