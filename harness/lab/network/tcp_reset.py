"""TCP reset: the balancer tells both ends that it has forgotten their flow (facts IDLE-03, IDLE-04; OQ-04 at `reset`).

Connection tracking forgets a flow in silence and knows no sequence numbers, so this listens on the fabric's legs with one
packet socket, remembers of every established flow to the frontend what either end expects next, and sends the resets
itself, straight down the leg. A lab whose settings ask for no resets does not start it.
"""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from harness.config.cluster_config import Cluster, Design
from harness.config.load_balancer_config import LoadBalancer
from harness.lab.topology import Nic, Topology

FIN, SYN, RST, ACK = 1, 2, 4, 16
MAX_REMEMBERED_FLOWS = 10_000  # flows without an answer yet, and lost ones, of each the newest
MAX_PACKETS_PER_TURN = 256  # packets per turn, so that a bulk transfer does not keep the probes waiting
SNAP_LENGTH = 128  # both headers at their longest
SO_ATTACH_FILTER = 26  # not in Python's socket module
ETH_P_IP = 0x0800

End = tuple[IPv4Address, int]


def idle_seconds(balancer: LoadBalancer) -> int:
    """The idle timeout as connection tracking counts it, in whole seconds."""
    return max(1, round(balancer.idle_timeout_s))


@dataclass(frozen=True)
class Segment:
    """What of one TCP packet matters here."""

    source: End
    target: End
    seq: int
    ack: int
    flags: int


@dataclass
class Flow:
    """One flow to the frontend. `expects` is, per end, the next sequence number that this end waits for."""

    origin: End
    frontend: End
    origin_nic: Nic
    server: End | None = None  # where the packet arrives: the member's address in nat, the frontend in floating
    server_nic: Nic | None = None
    expects: dict[str, int] = field(default_factory=dict)
    last: float = 0.0


def resets_needed(cluster: Cluster, admin_down_established: str) -> bool:
    """Whether anything in this lab sends resets."""
    return cluster.load_balancer.tcp_reset or admin_down_established == "reset"


class Resets:
    """Follows the flows to the frontend and resets those that the balancer gives up.

    `idle_s` is None where flows are not reset for being idle; `powered` tells whether a host can hear and be heard.
    """

    def __init__(self, cluster: Cluster, topology: Topology, idle_s: float | None, powered: Callable[[str], bool], note: Callable) -> None:
        self._vip = cluster.load_balancer.frontend
        self._floating = cluster.design is Design.FLOATING
        self._legs = {nic.leg: nic for nic in topology.nics}
        self._idle_s = idle_s
        self._powered = powered
        self._note = note
        self._opening: OrderedDict[tuple[End, int], Flow] = OrderedDict()  # by origin and the acknowledgement its SYN waits for
        self._established: OrderedDict[tuple[End, End], Flow] = OrderedDict()  # the longest idle first
        self._by_server: dict[tuple[End, End], Flow] = {}
        self._lost: OrderedDict[tuple[End, End], Flow] = OrderedDict()
        self._lost_by_server: dict[tuple[End, End], Flow] = {}
        self._wire = self._listen([nic.address for nic in topology.members])

    def _listen(self, members: list[IPv4Address]) -> socket.socket:
        """A socket for what comes in over any leg; one for a single protocol does not see what goes out."""
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, socket.htons(ETH_P_IP))
        _attach_filter(wire, self._vip, members)
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        return wire

    async def run(self) -> None:
        """Follow the wire and reset what has been idle for too long, for as long as the lab lives."""
        loop = asyncio.get_running_loop()
        news = asyncio.Event()
        loop.add_reader(self._wire, news.set)
        try:
            while True:
                news.clear()
                self._read(loop.time())
                wait = self._expire(loop.time())
                try:
                    async with asyncio.timeout(wait):
                        await news.wait()
                except TimeoutError:
                    continue  # a flow has been idle for too long
        finally:
            loop.remove_reader(self._wire)
            self._wire.close()

    def reset_member(self, host: str) -> None:
        """Reset every established flow of one member, and of no other."""
        for flow in [f for f in self._established.values() if f.server_nic and f.server_nic.host == host]:
            self._give_up(flow, "its member was taken out of service")

    def _read(self, now: float) -> None:
        for _ in range(MAX_PACKETS_PER_TURN):
            try:
                packet, (leg, *_) = self._wire.recvfrom(SNAP_LENGTH)
            except BlockingIOError:
                return
            nic = self._legs.get(leg)
            segment = _dissect(packet)
            if nic and segment and self._powered(nic.host):
                self._follow(segment, nic, now)

    def _follow(self, s: Segment, nic: Nic, now: float) -> None:
        if s.target[0] == self._vip and s.flags & (SYN | ACK) == SYN:
            self._opens(s, nic)
        elif s.flags & SYN:
            self._answers(s, nic, now)
        elif flow := self._established.get((s.source, s.target)):
            self._continues(flow, s, "origin", now)
        elif flow := self._by_server.get((s.source, s.target)):
            self._continues(flow, s, "server", now)
        elif s.flags & RST:
            return
        elif flow := self._lost.get((s.source, s.target)):
            self._send(flow.origin_nic, flow.frontend, flow.origin, s.ack)
        elif (flow := self._lost_by_server.get((s.source, s.target))) and flow.server_nic and flow.server:
            self._send(flow.server_nic, flow.origin, flow.server, s.ack)

    def _opens(self, s: Segment, nic: Nic) -> None:
        self._forget(self._lost.get((s.source, s.target)))  # the same ports again are a new flow
        self._opening[s.source, (s.seq + 1) % 2**32] = Flow(s.source, s.target, nic)
        while len(self._opening) > MAX_REMEMBERED_FLOWS:
            self._opening.popitem(last=False)

    def _answers(self, s: Segment, nic: Nic, now: float) -> None:
        """The acknowledgement of the SYN tells whose answer this is, whatever address and port the balancer chose."""
        flow = self._opening.pop((s.target, s.ack), None)
        if flow is None:
            return
        self._forget(self._established.get((flow.origin, flow.frontend)))
        flow.server, flow.server_nic, flow.last = s.source, nic, now
        flow.expects = {"server": s.ack}
        self._established[flow.origin, flow.frontend] = flow
        self._by_server[flow.server, flow.origin] = flow

    def _continues(self, flow: Flow, s: Segment, end: str, now: float) -> None:
        if self._idle_s is not None and now - flow.last >= self._idle_s:
            self._give_up(flow, "it was idle for too long")  # the packet came too late, if only just
        elif s.flags & (FIN | RST):
            self._forget(flow)  # only ESTABLISHED flows are reset (IDLE-04)
        else:
            flow.expects[end] = s.ack
            flow.last = now
            self._established.move_to_end((flow.origin, flow.frontend))

    def _expire(self, now: float) -> float | None:
        """Give up what has been idle for too long; seconds until the next one would be, None with nothing to wait for."""
        if self._idle_s is None:
            return None
        while self._established:
            flow = next(iter(self._established.values()))
            remaining_s = flow.last + self._idle_s - now
            if remaining_s > 0:
                return remaining_s
            self._give_up(flow, "it was idle for too long")
        return None

    def _give_up(self, flow: Flow, reason: str) -> None:
        self._forget(flow)
        if flow.server is None or flow.server_nic is None or "origin" not in flow.expects:
            return  # its handshake was never finished
        self._lost[flow.origin, flow.frontend] = flow
        self._lost_by_server[flow.server, flow.origin] = flow
        while len(self._lost) > MAX_REMEMBERED_FLOWS:
            self._forget(next(iter(self._lost.values())))
        self._send(flow.origin_nic, flow.frontend, flow.origin, flow.expects["origin"])
        self._send(flow.server_nic, flow.origin, flow.server, flow.expects["server"])
        ends = f"{flow.origin[0]}:{flow.origin[1]} to {flow.frontend[0]}:{flow.frontend[1]}"
        self._note("balancer", "reset", f"flow {ends} reset: {reason}", node=flow.server_nic.host, origin_port=flow.origin[1])

    def _forget(self, flow: Flow | None) -> None:
        if flow is None:
            return
        for flows in (self._established, self._lost):
            if flows.get((flow.origin, flow.frontend)) is flow:
                del flows[flow.origin, flow.frontend]
        for by_server in (self._by_server, self._lost_by_server):
            if flow.server and by_server.get((flow.server, flow.origin)) is flow:
                del by_server[flow.server, flow.origin]

    def _send(self, nic: Nic, source: End, target: End, seq: int) -> None:
        """A reset down a leg. It bypasses NSGs and connection tracking, being the platform's own packet."""
        if self._powered(nic.host):
            hardware = bytes.fromhex(nic.mac.replace(":", ""))
            self._wire.sendto(_reset(source, target, seq), (nic.leg, ETH_P_IP, 0, 0, hardware))


def _dissect(packet: bytes) -> Segment | None:
    start = (packet[0] & 15) * 4
    if packet[9] != socket.IPPROTO_TCP or len(packet) < start + 20:  # from before the filter was there
        return None
    source, target = IPv4Address(packet[12:16]), IPv4Address(packet[16:20])
    sport, dport, seq, ack, flags = struct.unpack_from("!HHIIxB", packet, start)
    return Segment((source, sport), (target, dport), seq, ack, flags)


def _reset(source: End, target: End, seq: int) -> bytes:
    addresses = source[0].packed + target[0].packed
    tcp = struct.pack("!HHIIBBHHH", source[1], target[1], seq, 0, 5 << 4, RST, 0, 0, 0)
    tcp = tcp[:16] + _checksum(addresses + struct.pack("!HH", socket.IPPROTO_TCP, len(tcp)) + tcp) + tcp[18:]
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, socket.IPPROTO_TCP, 0) + addresses
    return ip[:10] + _checksum(ip) + ip[12:] + tcp


def _checksum(data: bytes) -> bytes:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)


def _attach_filter(wire: socket.socket, vip: IPv4Address, members: list[IPv4Address]) -> None:
    """Let the kernel hand over only TCP to the frontend, and from it or a member: the first packet of each, no fragments."""
    load_byte, load_half, load_word, equal, any_bit, give = 0x30, 0x28, 0x20, 0x15, 0x45, 0x06
    sources = [int(a) for a in (vip, *members)]
    last_index = 7 + len(sources)  # index of "give nothing"; the next one gives the packet
    program = [
        (load_byte, 0, 0, 9),
        (equal, 0, last_index - 2, socket.IPPROTO_TCP),
        (load_half, 0, 0, 6),
        (any_bit, last_index - 4, 0, 0x1FFF),
        (load_word, 0, 0, 16),
        (equal, last_index - 5, 0, int(vip)),
        (load_word, 0, 0, 12),
        *((equal, last_index - 7 - i, 0, a) for i, a in enumerate(sources)),
        (give, 0, 0, 0),
        (give, 0, 0, SNAP_LENGTH),
    ]
    code = b"".join(struct.pack("HBBI", *step) for step in program)
    code_buffer = ctypes.create_string_buffer(code)
    wire.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(program), ctypes.addressof(code_buffer)))
