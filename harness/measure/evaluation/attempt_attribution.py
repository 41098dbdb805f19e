"""Which node received, and which answered, each attempt: samples joined with what the packet captures saw. Pure.

The balancer keeps the client's address and port, so (origin's address, local port) names an attempt on the wire (facts measuring).
Ports are used again, so the join also asks for the time: the sighting nearest to the attempt's start, not before it and not after
its limit, give or take the stated error of both clocks. What a host sees on its own `lo` came from itself and was for itself; where `lo`
is not captured, what was answered and none of the host's NICs saw leave stayed inside it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from typing import NamedTuple

from harness.measure.evaluation import observation_gaps
from harness.remote.recording.recording import PINNED, CapturedPacket, Header, Recording, Sample, Series

ANSWERED, SKIPPED, WRONG_NODE = "answered", "skipped", "wrong-node"
FROM_A_NODE = (ANSWERED, "refused", "reset")  # outcomes that a node gave, be it the origin
LOOPBACK = "lo"
NO_PORT = 0  # of an attempt from a host that cannot tell
SYN, SOCKET = "syn", "socket"  # a packet, or a connection in the socket table of a host that may not capture packets
MAX_STAMP_DELAY_S = 1.0  # a packet of receive-all is stamped when it is read, on a busy host later than it was sent
MIN_TOLERANCE_S = 0.002  # stamps of packets and of attempts are taken at different places in a host
UNKNOWN_CLOCK_ERROR_S = 0.1  # for a host whose clock was never compared; such a recording's timing is inconclusive anyhow


class Traced(NamedTuple):
    """One sample and the node it was traced to: the one that answered it or, when it failed, received it. None: no capture saw it.

    `outcome` is a sample's, or wrong-node (see `expected_responder`). Times are seconds on the harness's monotonic clock.
    """

    at: float
    seconds: float
    outcome: str
    node: str | None
    detail: str = ""

    @property
    def ended_at(self) -> float:
        """When its outcome was known, on the harness's clock."""
        return self.at + self.seconds

    @property
    def is_answered(self) -> bool:
        """Whether it was answered."""
        return self.outcome == ANSWERED

    @property
    def spoke(self) -> bool:
        """Did some node's service answer it, be it the right one or not?"""
        return self.outcome in (ANSWERED, WRONG_NODE)

    @property
    def evidence(self) -> bool:
        """An attempt that the origin could not make says nothing about the path."""
        return self.outcome != SKIPPED


Traces = dict[str, list[Traced]]  # by series id, in the order in which they began
_Key = tuple[str, int, int]  # origin, its port, the service's port
_Seen = dict[_Key, list[tuple[float, str]]]  # time and node, in order of time


def trace(recording: Recording) -> Traces:
    """Every series's samples in order of their start, each with the node that it was traced to."""
    received, answered = _index_packets(recording)
    inside = {host: _OnNoNic(recording, host) for host in observation_gaps.without_loopback(recording)}
    errors = clock_errors(recording)
    worst_node_error = max([errors.get(node, UNKNOWN_CLOCK_ERROR_S) for node in recording.header.nodes], default=UNKNOWN_CLOCK_ERROR_S)
    traces: Traces = {}
    for series in recording.header.series:
        margin = MIN_TOLERANCE_S + errors.get(series.origin, UNKNOWN_CLOCK_ERROR_S) + worst_node_error
        find = _find_connection if series.kind == PINNED else _find_attempt
        rows = []
        for s in sorted(recording.samples.get(series.id, ()), key=lambda s: s.at):
            key = (series.origin, s.port, series.port)
            stayed = series.origin in inside and inside[series.origin].has_stayed_inside(s, series, margin)
            node = None
            if stayed and series.kind == PINNED:  # else it is looked for in all that came before, where an older one had its port
                node = series.origin
            elif s.outcome == ANSWERED and s.port == NO_PORT:
                node = _find_only_node(answered.get(key, []), s.at, s.seconds, margin)
            elif s.outcome == ANSWERED:  # a SYN sent again may have reached another node than the first: who answered, counts
                node = find(answered.get(key, []), s.at, s.seconds, margin)
            if node is None and s.outcome != SKIPPED and s.port != NO_PORT:
                node = find(received.get(key, []), s.at, max(series.limit_s, s.seconds), margin)
            if node is None and stayed:
                node = series.origin
            rows.append(Traced(s.at, s.seconds, s.outcome, node, s.detail))
        traces[series.id] = rows
    return traces


def clock_errors(recording: Recording) -> dict[str, float]:
    """The worst stated error of each host's clock, in seconds; hosts that were never compared are missing."""
    errors: dict[str, float] = {}
    for clock in recording.clocks:
        errors[clock.host] = max(abs(clock.error_s), errors.get(clock.host, 0.0))
    return errors


def arrives(sighting: CapturedPacket) -> bool:
    """Was the packet coming in at that host, or never leaving it?"""
    return sighting.interface == LOOPBACK or not sighting.outgoing


def origin_of(header: Header, hosts: dict[str, str], address: str, sighting: CapturedPacket) -> str | None:
    """The host that owns an attempt's end. The VIP is a source on `lo` only: there the origin is the host that saw it."""
    if sighting.interface == LOOPBACK:
        return sighting.host
    return None if address == header.vip else hosts.get(address)


def _index_packets(recording: Recording) -> tuple[_Seen, _Seen]:
    """SYNs as they came in at a node, and SYN-ACKs as they left one, each by the attempt that they belong to."""
    header, hosts, nodes = recording.header, recording.node_of_address, set(recording.header.nodes)
    services = {series.port for series in header.series}
    received: _Seen = defaultdict(list)
    answered: _Seen = defaultdict(list)
    for s in recording.sightings:
        if s.host not in nodes:
            continue
        if s.what in (SYN, SOCKET) and s.dport in services and arrives(s):
            origin = origin_of(header, hosts, s.src, s)
            if origin:
                received[origin, s.sport, s.dport].append((s.at, s.host))
        elif s.what == "syn-ack" and s.sport in services and (s.outgoing or s.interface == LOOPBACK):
            origin = origin_of(header, hosts, s.dst, s)
            if origin:
                answered[origin, s.dport, s.sport].append((s.at, s.host))
                answered[origin, NO_PORT, s.sport].append((s.at, s.host))
    for packets_by_attempt in (received, answered):
        for rows in packets_by_attempt.values():
            rows.sort()
    return received, answered


class _OnNoNic:
    """What of a host's own attempts did not leave it, by a capture of its NICs that saw packets before and after."""

    def __init__(self, recording: Recording, host: str) -> None:
        packets = [s for s in recording.sightings if s.host == host and s.interface != LOOPBACK and s.what != SOCKET]
        in_order = sorted(packets, key=lambda s: s.at)
        ends = [e.at for e in recording.events if e.host == host and e.kind == "witness-end"]
        self._first = in_order[0].at if in_order else 0.0
        self._last = max(ends, default=in_order[-1].at - MAX_STAMP_DELAY_S if in_order else 0.0)
        self._missing = observation_gaps.uncaptured_spans(recording, host)
        self._opened: dict[str, tuple[int, bool]] = {}  # of each series with a kept connection: its port, and whether it stayed inside
        self._left_at: dict[tuple[int, int], list[float]] = defaultdict(list)
        for s in in_order:
            if s.what == SYN and s.outgoing:
                self._left_at[s.sport, s.dport].append(s.at)

    def has_stayed_inside(self, sample: Sample, series: Series, margin: float) -> bool:
        """Did this attempt stay inside? One that was not answered may have been dropped before it could leave. Ask in order of time: a
        heartbeat stays where its connection was opened, at the first one from its port; one that is older than the recording is not known.
        """
        if series.kind != PINNED:
            return self._has_stayed(sample, series.port, margin)
        port_before, inside = self._opened.get(series.id, (NO_PORT, False))
        if sample.port != port_before:
            inside = (port_before != NO_PORT or "connected" in sample.detail) and self._has_stayed(sample, series.port, margin)
            self._opened[series.id] = (sample.port, inside)
        return inside and sample.outcome in FROM_A_NODE

    def _has_stayed(self, sample: Sample, port: int, margin: float) -> bool:
        start, end = sample.at - margin, sample.at + sample.seconds + margin
        if sample.outcome not in FROM_A_NODE or sample.port == NO_PORT or not self._first <= start <= end <= self._last:
            return False
        if any(a <= end and start <= b for a, b in self._missing):
            return False
        leaving_times = self._left_at.get((sample.port, port), [])
        return bisect_left(leaving_times, start) == bisect_right(leaving_times, end + MAX_STAMP_DELAY_S)


def _find_only_node(rows: list[tuple[float, str]], at: float, seconds: float, margin: float) -> str | None:
    """An answered attempt whose port its origin could not tell: by the only node that answered that origin meanwhile, if it was."""
    first, last = bisect_left(rows, (at - margin, "")), bisect_right(rows, (at + seconds + margin, "\uffff"))
    nodes = {node for _, node in rows[first:last]}
    return nodes.pop() if len(nodes) == 1 else None


def _find_attempt(rows: list[tuple[float, str]], at: float, seconds: float, margin: float) -> str | None:
    """The sighting nearest to the start, of those that can be the attempt's."""
    first = bisect_left(rows, (at - margin, ""))
    last = bisect_right(rows, (at + seconds + margin, "\uffff"))
    return min(rows[first:last], key=lambda row: abs(row[0] - at), default=(0.0, None))[1]


def _find_connection(rows: list[tuple[float, str]], at: float, seconds: float, margin: float) -> str | None:
    """A heartbeat's connection was opened at any time before: the latest one from that port."""
    last = bisect_right(rows, (at + seconds + margin, "\uffff"))
    return rows[last - 1][1] if last else None
