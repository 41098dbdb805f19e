"""A capture file that somebody sent (pcap-ng or pcap), read within limits: what of it tells how connections to a cluster travelled.

scapy knows the containers; its dissectors are not used, and nothing but headers is kept. No byte of the file makes it raise anything but
BadUse.
"""

from __future__ import annotations

import logging
import stat
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from harness.core.errors import BadUse
from harness.remote.recording.packets import Packet, decode

SUFFIXES = (".pcapng", ".pcap", ".cap")
MAX_FILE_BYTES = 2 * 1024**3  # bytes that are read of a file
MAX_BLOCK_BYTES = 4 * 1024 * 1024  # bytes of one block: a packet has 64 KiB, the rest are a capture's own notes
MAX_PACKETS_READ = 5_000_000  # packets
MAX_PACKETS_KEPT = 200_000  # packets with SYN or RST from or to the cluster's ports
GZIP, XZ, PCAPNG = b"\x1f\x8b", b"\xfd7zX", b"\x0a\x0d\x0d\x0a"
ETHERNET, NULL, RAW, LINUX, LINUX_2, IPV4 = 1, 0, {12, 14, 101}, 113, 276, 228
IP, VLAN = 0x0800, (0x8100, 0x88A8, 0x9100)
KINDS = {0: "host", 1: "broadcast", 2: "multicast", 3: "otherhost", 4: "outgoing"}
DIRECTIONS = {1: "host", 2: "outgoing"}
UNKNOWN = ""  # the kind of a packet of which the file does not say whether it came or went


@dataclass(frozen=True)
class Captured:
    """`packets` in order, without what they carry; `looked` were in the file; `notes` say what of it was not looked at."""

    packets: tuple[Packet, ...]
    looked: int
    notes: tuple[str, ...] = ()
    first: float = 0.0
    last: float = 0.0


class _Bounded:
    """The file for scapy: no read is larger than a block may be. Counts, and knows whether the file ends within something."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file, self.name = file, str(path)
        self.at = 0
        self.cut = False

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_BLOCK_BYTES:
            raise ValueError(f"a block of {size} bytes at byte {self.at}")
        if self.at > MAX_FILE_BYTES:
            return b""
        data = self._file.read(size)
        self.at += len(data)
        self.cut = self.cut or 0 < len(data) < size
        return data

    def close(self) -> None:
        self._file.close()


def read(path: Path, ports: Collection[int]) -> Captured:
    """The packets that begin, answer or refuse connections to or from these ports. Raises BadUse for what is no capture."""
    try:
        file_stat = path.stat()
        if not stat.S_ISREG(file_stat.st_mode):
            raise BadUse(f"{path}: is no plain file; give a capture (.pcapng or .pcap)")
        with path.open("rb") as file:
            return _read(_Bounded(file, path), path, file_stat.st_size, set(ports))
    except OSError as error:
        raise BadUse(f"{path}: cannot be read ({error.strerror or error}); give a capture (.pcapng or .pcap)") from error


def _read(file: _Bounded, path: Path, size: int, ports: set[int]) -> Captured:
    logging.getLogger("scapy").setLevel(logging.CRITICAL)  # what it says of a damaged file is said here, once
    from scapy.error import Scapy_Exception  # slow to load, and needed by nothing else
    from scapy.utils import RawPcapNgReader, RawPcapReader

    magic = file.read(4)
    if magic[:2] == GZIP:
        raise BadUse(f"{path}: is compressed; unpack it first (gunzip)")
    if magic == XZ:
        raise BadUse(f"{path}: is compressed; unpack it first (xz -d)")
    kind = RawPcapNgReader if magic == PCAPNG else RawPcapReader
    reader: Any = kind.__new__(kind)  # its class would open the file once more, and without limits
    begin: Any = kind.__init__
    try:
        begin(reader, str(path), file, magic)
    except (Scapy_Exception, EOFError, ValueError, struct.error) as error:
        raise BadUse(f"{path}: is no capture that can be read; give a .pcapng or .pcap file") from error
    return _gather_packets(reader, file, path, size, ports)


def _gather_packets(reader: Any, file: _Bounded, path: Path, size: int, ports: set[int]) -> Captured:
    packets: list[Packet] = []
    packet_count, unread, first, last = 0, 0, 0.0, 0.0
    notes = []
    try:
        for raw, metadata in _blocks(reader):
            packet_count += 1
            link = getattr(metadata, "linktype", None)
            packet = _packet(raw, _moment(reader, metadata), metadata, reader.linktype if link is None else link)
            if packet is None:
                unread += 1
                continue
            first, last = first or packet.time, max(last, packet.time)
            if not {packet.sport, packet.dport} & ports or not (packet.is_syn or packet.is_syn_ack or packet.is_rst):
                continue
            if len(packets) == MAX_PACKETS_KEPT or packet_count == MAX_PACKETS_READ:
                notes.append(f"{path.name}: it holds more than is looked at: what comes after packet {packet_count} was left out")
                break
            packets.append(replace(packet, raw=b""))
    except (ValueError, struct.error, TypeError, KeyError, IndexError, AttributeError, MemoryError) as error:
        notes.append(f"{path.name}: it is damaged at byte {file.at} ({type(error).__name__}): what comes behind was left out")
    else:
        if not notes and (file.cut or file.at < size):
            notes.append(f"{path.name}: it is cut off or damaged at byte {file.at}: what comes behind is not there")
    if unread == packet_count and packet_count:
        notes.append(f"{path.name}: none of its {packet_count} packets is TCP or UDP over IPv4")
    return Captured(tuple(packets), packet_count, tuple(notes), first, last)


def _blocks(reader: Any) -> Iterator[tuple[bytes, Any]]:
    while True:
        try:
            yield reader._read_packet()
        except EOFError:
            return


def _moment(reader: Any, metadata: Any) -> float:
    """Seconds since the epoch, as the file's own clock had them; 0 where it does not say."""
    high = getattr(metadata, "tshigh", None)
    if high is not None:
        return float(((high << 32) + metadata.tslow) / metadata.tsresol) if metadata.tsresol else 0.0
    if (sec := getattr(metadata, "sec", None)) is not None:
        return float(sec) + metadata.usec / (1e9 if reader.nano else 1e6)
    return 0.0


def _packet(raw: bytes, time: float, metadata: Any, link: int) -> Packet | None:
    """None for what is no TCP or UDP over IPv4."""
    kind, ip = _unwrap(raw, link)
    kind = DIRECTIONS.get(getattr(metadata, "direction", None) or 0, kind)
    name = getattr(metadata, "ifname", None)
    try:
        return decode(time, name.decode("utf-8", "replace") if isinstance(name, bytes) else "", kind, ip) if ip else None
    except (ValueError, IndexError, struct.error):
        return None


def _unwrap(raw: bytes, link: int) -> tuple[str, bytes]:
    """Whether it came or went, as far as the link's header says so, and what begins with the IPv4 header; nothing of other packets."""
    kind, ether, at = UNKNOWN, IP, 0
    if link == ETHERNET:
        ether, at = int.from_bytes(raw[12:14], "big"), 14
        while ether in VLAN and at < 26:
            ether, at = int.from_bytes(raw[at + 2 : at + 4], "big"), at + 4
    elif link == LINUX:
        kind, ether, at = KINDS.get(int.from_bytes(raw[0:2], "big"), UNKNOWN), int.from_bytes(raw[14:16], "big"), 16
    elif link == LINUX_2:
        kind, ether, at = KINDS.get(raw[10] if len(raw) > 10 else 9, UNKNOWN), int.from_bytes(raw[0:2], "big"), 20
    elif link == NULL:
        at = 4
    elif link not in RAW and link != IPV4:
        return kind, b""
    ip = raw[at:]
    return kind, ip if ether == IP and ip[:1] and ip[0] >> 4 == 4 else b""
