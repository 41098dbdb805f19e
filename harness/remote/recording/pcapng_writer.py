"""Packets as a pcap-ng file that Wireshark and tcpdump read, with the interface and direction of each kept."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

from harness.remote.recording.packets import Packet

SECTION, INTERFACE, ENHANCED = 0x0A0D0D0A, 1, 6
MAGIC, LINKTYPE_RAW, SNAP = 0x1A2B3C4D, 101, 0
IF_NAME, IF_TSRESOL, EPB_FLAGS, SHB_HARDWARE_HOST = 2, 9, 2, 2
NANOSECONDS = b"\x09"
INBOUND, OUTBOUND = 1, 2


def write(path: Path, packets: Iterable[Packet], *, host: str) -> None:
    """Write them in the given order; `host` is noted as the machine that saw them."""
    path.write_bytes(encode(packets, host=host))


def encode(packets: Iterable[Packet], *, host: str) -> bytes:
    """The file's bytes, with an interface block for each interface of the packets."""
    packets = list(packets)
    interfaces = list(dict.fromkeys(p.interface for p in packets))
    blocks = [_block(SECTION, struct.pack("<IHHq", MAGIC, 1, 0, -1), [(SHB_HARDWARE_HOST, host.encode())])]
    for name in interfaces:
        blocks.append(_block(INTERFACE, struct.pack("<HHI", LINKTYPE_RAW, 0, SNAP), [(IF_NAME, name.encode()), (IF_TSRESOL, NANOSECONDS)]))
    for packet in packets:
        blocks.append(_packet_block(interfaces.index(packet.interface), packet))
    return b"".join(blocks)


def _packet_block(interface: int, packet: Packet) -> bytes:
    moment = round(packet.time * 1_000_000_000)
    (full_length,) = struct.unpack_from("!H", packet.raw, 2)
    head = struct.pack("<IIIII", interface, moment >> 32, moment & 0xFFFFFFFF, len(packet.raw), max(full_length, len(packet.raw)))
    direction = struct.pack("<I", OUTBOUND if packet.outgoing else INBOUND)
    return _block(ENHANCED, head + _pad(packet.raw), [(EPB_FLAGS, direction)])


def _block(kind: int, body: bytes, options: list[tuple[int, bytes]]) -> bytes:
    body += b"".join(struct.pack("<HH", code, len(value)) + _pad(value) for code, value in options) + struct.pack("<HH", 0, 0)
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
