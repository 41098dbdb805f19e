"""Connections to a cluster as captures of one or several hosts show them: attempts with their outcome, each with its own packets. Pure.

A connection is told from others by its ends and the number of its SYN, which the balancer leaves as they are: a port that is used again
has another number. Answers carry that number plus one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.config.cluster_config import Cluster, Machine
from harness.core.errors import BadUse
from harness.remote.captures.capture_file import UNKNOWN
from harness.remote.captures.wire_code_classifier import Way, classify
from harness.remote.connections.attempt import Attempt
from harness.remote.connections.attempt_outcome import AttemptOutcome
from harness.remote.recording.packets import LOOPBACK, Packet

MAX_ATTEMPTS = 50_000  # attempts
MAX_CLOCK_SKEW_S = 1.0  # by which the clocks of hosts may differ
UNANSWERED_AT_END_S = 1.0  # one that began so shortly before the end of a capture may yet have been answered

Seen = Mapping[str, Sequence[Packet]]
Span = tuple[float, float]
_Key = tuple[str, int, int, int]  # the origin's address and port, the service's port, the number of the SYN


@dataclass(frozen=True)
class CapturedAttempt:
    """One connection of a capture, and how it travelled."""

    attempt: Attempt
    way: Way
    path: str  # of whom it came: a client, or the name of a node
    watched: tuple[str, ...] = ()  # the hosts that were captured when it was made

    @property
    def outcome(self) -> str:
        """How it ended, in a word."""
        return str(self.attempt.outcome)


def find_capture_host(name: str, packets: Sequence[Packet], cluster: Cluster) -> str:
    """On which host a capture was made: by its name, else by whom its packets come from and go to. Raises BadUse if that is not clear."""
    by_name = [m.name for m in cluster.machines if name == m.name or name.startswith((f"{m.name}.", f"{m.name}-", f"{m.name}_"))]
    if len(by_name) == 1:
        return by_name[0]
    owners = {address: m.name for m in cluster.machines for address in _addresses(m)}
    packets_by_owner = Counter(
        owner
        for p in packets
        if not p.local and (owner := owners.get(p.src if p.outgoing else p.dst if p.kind == "host" else "")) is not None
    )
    if packets_by_owner and packets_by_owner.most_common(1)[0][1] > 0.9 * sum(packets_by_owner.values()):
        return packets_by_owner.most_common(1)[0][0]
    fits = [m.name for m in cluster.machines if packets and all({p.src, p.dst} & _addresses(m) for p in packets)]
    to_vip = any(str(cluster.vip) in (p.src, p.dst) for p in packets)
    if len(fits) > 1 and to_vip and cluster.client.name in fits:  # a node sees the client's connections translated, or with others' besides
        return cluster.client.name
    if len(fits) == 1:
        return fits[0]
    names = ", ".join(m.name for m in cluster.machines)
    raise BadUse(f"{name}: its packets do not tell on which host it was taken; write HOST={name}, with HOST one of {names}")


def with_directions(packets: Sequence[Packet], machine: Machine, cluster: Cluster) -> list[Packet]:
    """With whether each came or went, where the file does not say: what comes from the host's own address went."""
    own_addresses, vip = _addresses(machine), str(cluster.vip)
    return [p if p.kind != UNKNOWN else _with_direction(p, own_addresses, vip) for p in packets]


def _with_direction(packet: Packet, own_addresses: set[str], vip: str) -> Packet:
    if packet.src == packet.dst == vip:
        return replace(packet, kind="host", interface=LOOPBACK)
    went = packet.src != packet.dst and (packet.src in own_addresses or (packet.src == vip and packet.dst not in own_addresses))
    return replace(packet, kind="outgoing" if went else "host")


def captured_attempts(packets_by_host: Seen, cluster: Cluster, spans: Mapping[str, Span]) -> list[CapturedAttempt]:
    """Every connection to one of the cluster's services by its VIP, in the order in which they began. `spans`: when each was watched."""
    ports = {s.port for s in cluster.services}
    packets_by_attempt: dict[_Key, dict[str, list[Packet]]] = {}
    for host, packets in packets_by_host.items():
        for p in packets:
            if p.is_syn and p.dport in ports and len(packets_by_attempt) < MAX_ATTEMPTS:
                packets_by_attempt.setdefault((p.src, p.sport, p.dport, p.seq), {name: [] for name in packets_by_host})[host].append(p)
    for host, packets in packets_by_host.items():
        for p in packets:
            if not p.is_syn and p.sport in ports:
                by_host = packets_by_attempt.get((p.dst, p.dport, p.sport, (p.ack - 1) % (1 << 32)))
                if by_host is not None:
                    by_host[host].append(p)
    attempts = [_attempt(key, by_host, cluster, spans) for key, by_host in packets_by_attempt.items()]
    return sorted((attempt for attempt in attempts if attempt is not None), key=lambda attempt: attempt.attempt.host_time)


def _attempt(key: _Key, all_packets: Seen, cluster: Cluster, spans: Mapping[str, Span]) -> CapturedAttempt | None:
    address, port, service, _ = key
    origin = _origin(address, all_packets, cluster)
    syns = [p for packets in all_packets.values() for p in packets if p.is_syn]
    syns_at_origin = [p for p in all_packets.get(origin, ()) if p.is_syn]
    vip = str(cluster.vip)
    if syns_at_origin and not any(p.dst == vip for p in syns_at_origin):
        return None  # past the balancer, to a node's own address
    began = min(p.time for p in syns_at_origin or syns)
    watched_packets = {host: packets for host, packets in all_packets.items() if packets or _is_watched(host, origin, began, spans)}
    if origin in watched_packets and not syns_at_origin:
        del watched_packets[origin]  # what left it was seen elsewhere: it was not watched then
    outcome = _outcome(watched_packets, origin, spans, began)
    if outcome is None:
        return None
    attempt = Attempt(origin, vip, service, outcome, address, port, 0.0, began, 0.0)
    route = classify(attempt, watched_packets, cluster)
    machine = next((m for m in cluster.machines if m.name == origin), None)
    return CapturedAttempt(
        attempt, route, "client" if machine is None or machine.name == cluster.client.name else origin, tuple(watched_packets)
    )


def _is_watched(host: str, origin: str, moment: float, spans: Mapping[str, Span]) -> bool:
    """Was that host captured then? Clocks of hosts are taken for equal to within MAX_CLOCK_SKEW_S.

    A quiet host's capture may have begun earlier.
    """
    first, last = spans.get(host, (0.0, 0.0))
    return host != origin and first - MAX_CLOCK_SKEW_S <= moment <= last + MAX_CLOCK_SKEW_S


def _origin(address: str, packets_by_host: Seen, cluster: Cluster) -> str:
    """The host that it came from; a client that is not in the cluster file by its address."""
    if address == str(cluster.vip):  # inside the node that holds it
        return next((host for host, packets in packets_by_host.items() if any(p.local for p in packets)), address)
    return next((m.name for m in cluster.machines if address in _addresses(m)), address)


def _outcome(packets_by_host: Seen, origin: str, spans: Mapping[str, Span], began: float) -> AttemptOutcome | None:
    """By what came back to its origin, where that was watched; else by what left the node. None: it may still have been under way."""
    watched = origin in packets_by_host
    packets_seen = packets_by_host[origin] if watched else [p for packets in packets_by_host.values() for p in packets]
    responses = [p for p in packets_seen if not p.is_syn and (p.local or (p.kind != "outgoing" if watched else p.outgoing))]
    answers = [p for p in responses if p.is_syn_ack]
    if answers:
        repeated_syns = [p for p in packets_seen if p.is_syn and p.time > answers[0].time]
        return AttemptOutcome.ANSWERED if watched or not repeated_syns else AttemptOutcome.SILENT
    if any(p.is_rst for p in responses):
        return AttemptOutcome.REFUSED
    watched_until = max((spans[host][1] for host in ([origin] if watched else packets_by_host) if host in spans), default=began)
    return None if watched_until - began < UNANSWERED_AT_END_S else AttemptOutcome.SILENT


def _addresses(machine: Machine) -> set[str]:
    second = getattr(machine, "second_address", None)
    return {str(machine.address), *([str(second)] if second else [])}
