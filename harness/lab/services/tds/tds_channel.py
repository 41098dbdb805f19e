"""TDS packets on one connection, in clear text or in TLS, and TLS's handshake inside of PRELOGIN packets."""

from __future__ import annotations

import socket
import ssl
import struct

from harness.services.sqlserver.tds_protocol import HEADER, LAST, PRELOGIN, REPLY

ATTENTION = 0x06
TLS_RECORD = 0x16  # the first byte of a client that begins with TLS (facts SQL-20)
MAX_PACKET_BYTES = 32_768
MAX_MESSAGE_BYTES = 4_000_000  # bytes of one message


class NotTds(Exception):
    """What came is no TDS."""


class Channel:
    """Messages in and out. `spid` is written into every header (facts SQL-03); `packet_bytes` is the size that was agreed on."""

    def __init__(self, sock: socket.socket, spid: int) -> None:
        self.sock, self.spid, self.packet_bytes = sock, spid, 4096
        self._tls: ssl.SSLObject | None = None
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._plain = b""  # decrypted, and not read yet

    @property
    def encrypted(self) -> bool:
        """Is it TLS by now?"""
        return self._tls is not None

    def begins_with_tls(self) -> bool:
        """Whether the peer's first byte is TLS's. Raises ConnectionError when it left."""
        first_byte = self.sock.recv(1, socket.MSG_PEEK)
        if not first_byte:
            raise ConnectionError("the peer left")
        return first_byte[0] == TLS_RECORD

    def read(self, *, only_first_encrypted: bool = False) -> tuple[int, int, bytes]:
        """A whole message: type, status of its last packet, body. Raises NotTds, ConnectionError.

        `only_first_encrypted`: after its first packet all is clear text (facts SQL-16).
        """
        body, status, kind = b"", 0, 0
        while not status & LAST:
            kind, status, length, *_ = HEADER.unpack(self._read_exactly(HEADER.size))
            if not HEADER.size <= length <= MAX_PACKET_BYTES or kind not in (0x01, 0x03, 0x06, 0x0E, 0x10, 0x11, 0x12):
                raise NotTds(f"type {kind:#x}, length {length}")
            body += self._read_exactly(length - HEADER.size)
            if only_first_encrypted:
                self.end_tls()
            if len(body) > MAX_MESSAGE_BYTES:
                raise NotTds(f"a message of more than {MAX_MESSAGE_BYTES} bytes")
        return kind, status, body

    def write(self, body: bytes, kind: int = REPLY) -> None:
        """A whole message."""
        self._send(self._packets(body, kind))

    def _packets(self, body: bytes, kind: int) -> bytes:
        payload_size, packets = self.packet_bytes - HEADER.size, b""
        for number, offset in enumerate(range(0, max(1, len(body)), payload_size), 1):
            payload = body[offset : offset + payload_size]
            status = LAST if offset + payload_size >= len(body) else 0
            packets += HEADER.pack(kind, status, HEADER.size + len(payload), self.spid, number & 0xFF, 0) + payload
        return packets

    def shake_hands(self, context: ssl.SSLContext, *, in_packets: bool) -> None:
        """TLS as the server. Each flight is one message (facts SQL-13). Raises ssl.SSLError, ConnectionError."""
        tls = context.wrap_bio(self._in, self._out, server_side=True)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._send_flight(in_packets)
                self._in.write(self.read()[2] if in_packets else self._record())
            except ssl.SSLError:
                self._send_flight(in_packets)  # the alert that says why
                raise
        self._send_flight(in_packets)
        self._tls = tls

    def _send_flight(self, in_packets: bool) -> None:
        if flight := self._out.read():
            self.sock.sendall(self._packets(flight, PRELOGIN) if in_packets else flight)

    def end_tls(self) -> None:
        """Clear text from now on, without a word about it."""
        self._tls = None

    @property
    def waiting(self) -> bool:
        """Is something decrypted that was not read? Then the socket may be silent."""
        return bool(self._plain)

    def _send(self, data: bytes) -> None:
        if self._tls is None:
            self.sock.sendall(data)
            return
        self._tls.write(data)
        self.sock.sendall(self._out.read())

    def _read_exactly(self, size: int) -> bytes:
        if self._tls is None:
            return self._raw(size)
        while len(self._plain) < size:
            self._in.write(self._record())
            try:
                while chunk := self._tls.read(MAX_PACKET_BYTES):
                    self._plain += chunk
                raise ConnectionError("the peer ended TLS")
            except ssl.SSLWantReadError:
                continue
        plain_text, self._plain = self._plain[:size], self._plain[size:]
        return plain_text

    def _record(self) -> bytes:
        """One TLS record, and nothing that comes after it."""
        header = self._raw(5)
        return header + self._raw(struct.unpack_from(">H", header, 3)[0])

    def _raw(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = self.sock.recv(size - len(data))
            if not chunk:
                raise ConnectionError("the peer left")
            data += chunk
        return data
