"""How one attempt travelled, judged from what the packet captures saw. Pure.

The codes W1 to W9 are those of the expectation matrix (facts/azure-ilb section 11); W10 is what W5 is on Windows, whose stealth mode sends
no RST (facts WNET-13). A packet belongs to the attempt when it carries the origin's address and local port; clocks are never compared.
Precondition: every capture was watching before the attempt started and was marked after it ended, and `packets` holds only what came
between.

Receive-all on Windows does not see the loopback interface. There an attempt stayed inside its origin when it was answered or refused and
none of its packets was on a NIC, all of which are captured (`without_loopback`: such hosts; their captures are shown not to be blind).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from harness.config.cluster_config import Cluster
from harness.remote.connections.attempt import Attempt
from harness.remote.connections.attempt_outcome import AttemptOutcome
from harness.remote.recording.packets import Packet

PacketsByHost = Mapping[str, Sequence[Packet]]

UNKNOWN = "W?"


@dataclass(frozen=True)
class Way:
    """How an attempt travelled. `node`, `interface` and `destination` are where its SYN arrived, None when nowhere (or unknown).

    `left_a_nic`: a packet of the attempt was seen on a NIC of its origin, or at another host. `reason` is why the code is W?.
    """

    code: str
    node: str | None
    interface: str | None
    destination: str | None
    left_a_nic: bool
    sentence: str
    reason: str = ""

    @property
    def is_known(self) -> bool:
        """Whether the packets told how the attempt travelled."""
        return self.code != UNKNOWN

    def __str__(self) -> str:
        return f"{self.code} ({self.sentence})"


@dataclass(frozen=True)
class _Traces:
    """The attempt's packets, by where they were seen."""

    on_lo: list[Packet]
    left: list[Packet]
    returned: list[Packet]
    arrived: dict[str, list[Packet]]
    answers: dict[str, list[Packet]]

    @property
    def left_a_nic(self) -> bool:
        return bool(self.left or self.returned or self.arrived)


def classify_all(
    attempts: Sequence[Attempt], packets: PacketsByHost, cluster: Cluster, *, without_loopback: Collection[str] = ()
) -> list[Way]:
    """The way of each attempt; the packets of each local port are looked up once, whatever their number."""
    by_port = {a.local_port: dict[str, list[Packet]]((host, []) for host in packets) for a in attempts}
    for host, host_packets in packets.items():
        for packet in host_packets:
            for port in {packet.sport, packet.dport} & by_port.keys():
                by_port[port][host].append(packet)
    return [classify(a, by_port[a.local_port], cluster, without_loopback=without_loopback) for a in attempts]


def classify(attempt: Attempt, packets: PacketsByHost, cluster: Cluster, *, without_loopback: Collection[str] = ()) -> Way:
    """The way that `attempt` took, from what each capture saw (`packets` by host name; a host that is missing was not watched)."""
    if attempt.local_port is None or attempt.local_address is None:
        return _unknown_way(attempt, None, f"it has no local port, so its packets cannot be told ({attempt.detail})")
    traces = _sort_packets(attempt, packets)
    if len(traces.arrived) > 1:
        return _unknown_way(attempt, traces, f"its SYN arrived at {' and '.join(traces.arrived)}")
    if traces.returned:
        return _classify_hairpin(attempt, traces, cluster)
    if traces.arrived:
        return _classify_arrival(attempt, traces, cluster)
    if traces.on_lo and not traces.left:
        return _classify_inside(attempt, traces)
    if attempt.origin in packets and attempt.origin in without_loopback and not traces.left:
        return _classify_without_loopback(attempt, traces)
    return _classify_lost(attempt, traces, packets, cluster)


def _sort_packets(attempt: Attempt, packets: PacketsByHost) -> _Traces:
    end = (attempt.local_address, attempt.local_port)

    def is_ours(packet: Packet) -> bool:
        return packet.protocol == "tcp" and packet.dport == attempt.port and (packet.src, packet.sport) == end

    own_syns = [p for p in packets.get(attempt.origin, ()) if is_ours(p) and p.is_syn]
    leaving = [p for p in own_syns if not p.local and p.outgoing]
    sequence_numbers = {p.seq for p in leaving}
    arrivals = {
        name: [p for p in host_packets if is_ours(p) and p.is_syn and p.came_in]
        for name, host_packets in packets.items()
        if name != attempt.origin
    }
    return _Traces(
        on_lo=[p for p in own_syns if p.local],
        left=leaving,
        returned=[p for p in own_syns if p.came_in and (p.seq in sequence_numbers or not sequence_numbers)],
        arrived={name: host_packets for name, host_packets in arrivals.items() if host_packets},
        answers={
            name: [
                p
                for p in host_packets
                if p.protocol == "tcp" and p.outgoing and not p.local and (p.dst, p.dport) == end and p.sport == attempt.port
            ]
            for name, host_packets in packets.items()
        },
    )


def _classify_inside(attempt: Attempt, traces: _Traces) -> Way:
    syn = traces.on_lo[-1]
    if attempt.outcome is AttemptOutcome.ANSWERED:
        return _known_way(
            "W3",
            attempt,
            traces,
            attempt.origin,
            syn,
            f"{attempt.origin} answered itself on {syn.dst}, seen on {syn.interface} and on no NIC",
        )
    if attempt.outcome is AttemptOutcome.REFUSED:
        sentence = f"{attempt.origin} holds {syn.dst} itself and nothing listens on {syn.dst}:{attempt.port} there; no NIC saw it"
        return _known_way("W6", attempt, traces, attempt.origin, syn, sentence)
    return _unknown_way(
        attempt, traces, f"it stayed on {syn.interface} of {attempt.origin} and was {attempt.outcome}: does a local filter drop it?"
    )


def _classify_without_loopback(attempt: Attempt, traces: _Traces) -> Way:
    """None of its packets was on a NIC of its origin, whose loopback interface nobody watches."""
    code = {AttemptOutcome.ANSWERED: "W3", AttemptOutcome.REFUSED: "W6"}.get(attempt.outcome)
    if code is None:
        why = f"no NIC of {attempt.origin} saw it leave, and it was {attempt.outcome}: does a local filter or the lack of a route stop it?"
        return _unknown_way(attempt, traces, why)
    did = "answered itself" if code == "W3" else "refused it itself"
    sentence = (
        f"{attempt.origin} {did} on {attempt.destination}: no NIC of it saw a packet of that (its loopback interface is not captured)"
    )
    return Way(code, attempt.origin, None, attempt.destination, False, f"{_name(attempt)}: {sentence}")


def _classify_hairpin(attempt: Attempt, traces: _Traces, cluster: Cluster) -> Way:
    syn = traces.returned[-1]
    if traces.arrived:
        return _unknown_way(attempt, traces, f"its SYN came back to {attempt.origin} and arrived at {next(iter(traces.arrived))} as well")
    if attempt.outcome is not AttemptOutcome.SILENT:
        return _unknown_way(attempt, traces, f"its SYN came back to {attempt.origin} (as → {syn.dst}), and yet it was {attempt.outcome}")
    if syn.dst == attempt.destination == str(cluster.vip):
        sentence = (
            f"the SYN of {attempt.origin} to {syn.dst} came back to it unchanged on {syn.interface} and was dropped (no NAT loopback)"
        )
        return _known_way("W9", attempt, traces, attempt.origin, syn, sentence)
    if syn.dst == syn.src:
        sentence = f"the SYN of {attempt.origin} came back to it on {syn.interface} as {syn.src} → {syn.dst}, a martian (no NAT loopback)"
        return _known_way("W4", attempt, traces, attempt.origin, syn, sentence)
    return _unknown_way(
        attempt,
        traces,
        f"its SYN came back to {attempt.origin} as {syn.src} → {syn.dst}, which is neither address expected",
    )


def _classify_arrival(attempt: Attempt, traces: _Traces, cluster: Cluster) -> Way:
    ((node, syns),) = traces.arrived.items()
    # the last interface of the first sighting: under Azure's accelerated networking a packet passes the VF first, then the NIC
    syn = syns[-1]
    if node not in {n.name for n in cluster.nodes}:
        return _unknown_way(attempt, traces, f"its SYN arrived at {node}, which is not a node")
    as_vip = syn.dst == str(cluster.vip)
    if not as_vip and syn.dst not in _private_addresses(cluster, node):
        return _unknown_way(attempt, traces, f"its SYN arrived at {node} for {syn.dst}, which is not an address of it")
    if len({p.dst for p in syns}) > 1:
        return _unknown_way(attempt, traces, f"its SYN arrived at {node} for several addresses: {', '.join(sorted({p.dst for p in syns}))}")
    arrival = f"arrived at {node} as → {syn.dst}:{syn.dport} on {syn.interface}"
    answers = traces.answers.get(node, [])
    accepted, refused = any(p.is_syn_ack for p in answers), any(p.is_rst for p in answers)
    is_windows = cluster.node(node).platform == "windows"
    match attempt.outcome:
        case AttemptOutcome.ANSWERED if accepted:
            return _known_way("W2" if as_vip else "W1", attempt, traces, node, syn, f"{arrival} and was answered by it")
        case AttemptOutcome.ANSWERED:
            return _unknown_way(
                attempt,
                traces,
                f"it {arrival}, which did not answer, and yet {attempt.origin} was: does something between complete handshakes?",
            )
        case AttemptOutcome.REFUSED if refused and not accepted:
            return _known_way(
                "W5", attempt, traces, node, syn, f"{arrival} and {node} refused it: nothing listens on {syn.dst}:{syn.dport} there"
            )
        case AttemptOutcome.REFUSED:
            return _unknown_way(attempt, traces, f"it {arrival}, whose RST was not seen: does a filter between refuse it?")
        case AttemptOutcome.SILENT if accepted or refused:
            return _unknown_way(attempt, traces, f"it {arrival}, whose {'SYN-ACK' if accepted else 'RST'} was lost on the way back")
        case AttemptOutcome.SILENT if as_vip:
            stealth = f", or does nobody listen on {syn.dst}:{syn.dport} there (stealth mode)" if is_windows else ""
            return _known_way("W7", attempt, traces, node, syn, f"{arrival} and {node} did not answer: does it lack {syn.dst}{stealth}?")
        case AttemptOutcome.SILENT if is_windows:
            sentence = (
                f"{arrival} and {node} kept silent: nobody listens on {syn.dst}:{syn.dport} there (stealth mode), or a filter drops it"
            )
            return _known_way("W10", attempt, traces, node, syn, sentence)
        case AttemptOutcome.SILENT:
            return _unknown_way(
                attempt, traces, f"it {arrival} and was not answered: does a filter of {node} drop it, or is the node frozen?"
            )
    return _unknown_way(attempt, traces, f"it {arrival} and was {attempt.outcome} ({attempt.detail or 'no detail'})")


def _classify_lost(attempt: Attempt, traces: _Traces, packets: PacketsByHost, cluster: Cluster) -> Way:
    if attempt.origin not in packets:
        return _unknown_way(
            attempt, traces, f"no node saw it, and {attempt.origin} itself was not watched: it may not have left; watch it too"
        )
    if not traces.left:
        where = "not even on lo" if not traces.on_lo else "other than on lo"
        return _unknown_way(
            attempt,
            traces,
            f"{attempt.origin} was not seen sending it, {where}: does a local filter or the lack of a route stop it ({attempt.outcome})?",
        )
    if places := _arrived_for_another_port(attempt, traces, packets):
        return _unknown_way(attempt, traces, f"its SYN arrived for another port, at {' and '.join(places)}: the backend port of the rule")
    unwatched = [n.name for n in cluster.nodes if n.name not in packets]
    if unwatched:
        return _unknown_way(
            attempt, traces, f"it left {attempt.origin} and no watched node saw it, but {' and '.join(unwatched)} was not watched"
        )
    if attempt.outcome is AttemptOutcome.SILENT:
        return _known_way(
            "W8", attempt, traces, None, None, f"its SYN left {attempt.origin} by {traces.left[-1].interface} and no node saw it"
        )
    return _unknown_way(attempt, traces, f"no node saw it, and yet it was {attempt.outcome}: something between answers in the nodes' place")


def _arrived_for_another_port(attempt: Attempt, traces: _Traces, packets: PacketsByHost) -> list[str]:
    """A balancer that translates the port leaves the sequence number as it is."""
    begun = {(p.src, p.sport, p.seq) for p in traces.left}
    return sorted(
        {
            f"{name}:{p.dport}"
            for name, host_packets in packets.items()
            for p in host_packets
            if name != attempt.origin and p.protocol == "tcp" and p.is_syn and p.came_in and (p.src, p.sport, p.seq) in begun
        }
    )


def _private_addresses(cluster: Cluster, name: str) -> set[str]:
    node = cluster.node(name)
    return {str(node.address), str(node.second_address)}


def _known_way(code: str, attempt: Attempt, traces: _Traces, node: str | None, at: Packet | None, sentence: str) -> Way:
    return Way(code, node, at.interface if at else None, at.dst if at else None, traces.left_a_nic, f"{_name(attempt)}: {sentence}")


def _unknown_way(attempt: Attempt, traces: _Traces | None, reason: str) -> Way:
    return Way(UNKNOWN, None, None, None, bool(traces and traces.left_a_nic), f"{_name(attempt)}: {reason}", reason)


def _name(attempt: Attempt) -> str:
    return f"{attempt.origin}:{attempt.local_port} → {attempt.destination}:{attempt.port}"
