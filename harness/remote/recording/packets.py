"""A packet as a packet capture saw it. Pure: decoded from the raw IP bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

LOOPBACK = "lo"
FLAGS = ((0x02, "S"), (0x10, "A"), (0x04, "R"), (0x01, "F"), (0x08, "P"))
PROTOCOLS = {6: "tcp", 17: "udp"}


@dataclass(frozen=True)
class Packet:
    """One sighting of a packet on one interface.

    `time` is the capture's wall clock (epoch seconds). `kind` is how the kernel saw it: outgoing, host (to this machine),
    otherhost, broadcast, multicast. On lo every packet is sighted twice, outgoing and host. `flags` are letters of SARFP;
    seq and ack are 0 for UDP. `raw` is the start of the packet, from its IP header on.
    """

    time: float
    interface: str
    kind: str
    protocol: str
    src: str
    sport: int
    dst: str
    dport: int
    flags: str
    seq: int
    ack: int
    raw: bytes = b""

    @property
    def headers(self) -> Packet:
        """The packet without what it carries, which is nobody's business, and may hold secrets."""
        if not self.raw:
            return self
        start = (self.raw[0] & 0xF) * 4
        length = (self.raw[start + 12] >> 4) * 4 if self.protocol == "tcp" and len(self.raw) > start + 12 else 8
        return replace(self, raw=self.raw[: start + length])

    @property
    def outgoing(self) -> bool:
        """Whether the host sent it."""
        return self.kind == "outgoing"

    @property
    def came_in(self) -> bool:
        """Came in by a NIC, for this machine: `otherhost` is a stranger's, seen by a bridge or a promiscuous NIC."""
        return self.kind == "host" and not self.local

    @property
    def local(self) -> bool:
        """Seen on the loopback interface, hence never on a NIC."""
        return self.interface == LOOPBACK

    @property
    def is_syn(self) -> bool:
        """The first packet of a connection, not its answer."""
        return "S" in self.flags and "A" not in self.flags

    @property
    def is_syn_ack(self) -> bool:
        """Whether it answers an opening."""
        return "S" in self.flags and "A" in self.flags

    @property
    def is_rst(self) -> bool:
        """Whether it refuses or resets."""
        return "R" in self.flags

    def __str__(self) -> str:
        return f"{self.interface} {self.kind} {self.src}:{self.sport} → {self.dst}:{self.dport} [{self.flags}] seq {self.seq}"


def decode(time: float, interface: str, kind: str, raw: bytes) -> Packet:
    """A Packet of the bytes from the IPv4 header on. Raises ValueError when they are too few or no TCP or UDP."""
    header = (raw[0] & 0xF) * 4 if raw else 0
    protocol = PROTOCOLS.get(raw[9]) if len(raw) > 9 else None
    if protocol is None or header < 20 or len(raw) < header + (14 if protocol == "tcp" else 4):
        raise ValueError(f"not the start of an IPv4 packet with TCP or UDP: {raw[:24].hex()}")
    sport, dport = struct.unpack_from("!HH", raw, header)
    seq, ack, flags = 0, 0, ""
    if protocol == "tcp":
        seq, ack, _, bits = struct.unpack_from("!IIBB", raw, header + 4)
        flags = "".join(letter for bit, letter in FLAGS if bits & bit)
    source, destination = f"{raw[12]}.{raw[13]}.{raw[14]}.{raw[15]}", f"{raw[16]}.{raw[17]}.{raw[18]}.{raw[19]}"
    return Packet(time, interface, kind, protocol, source, sport, destination, dport, flags, seq, ack, raw)
