"""One question to a PostgreSQL server in its own protocol, by hand: starting psql would cost more than the whole check."""

from __future__ import annotations

import socket
import struct

from harness.core.deadline import Deadline
from harness.core.errors import HarnessError

PROTOCOL_3 = 196608


class Faulty(HarnessError):
    """The server is not in the state that was asked for; the message says how."""


def ask(peer: socket.socket, deadline: Deadline) -> None:
    """Log in as the owner and have `SELECT 1` answered: the frontend protocol by hand, which spares starting psql."""
    login = struct.pack(">I", PROTOCOL_3) + b"user\0postgres\0database\0template1\0application_name\0quickCheck\0\0"
    peer.sendall(struct.pack(">I", len(login) + 4) + login)
    for request in (b"Q" + struct.pack(">I", 13) + b"SELECT 1\0", b"X" + struct.pack(">I", 4)):
        while (message := _message(peer, deadline))[0] != b"Z":  # ready for a query
            if message[0] == b"E":
                fields = {field[:1]: field[1:].decode(errors="replace") for field in message[1].split(b"\0") if field}
                raise Faulty(f"PostgreSQL answers, but does not serve: {fields.get(b'M', 'no reason given')}")
        peer.sendall(request)


def _message(peer: socket.socket, deadline: Deadline) -> tuple[bytes, bytes]:
    header = _read_exactly(peer, 5, deadline)
    return header[:1], _read_exactly(peer, struct.unpack(">I", header[1:])[0] - 4, deadline)


def _read_exactly(peer: socket.socket, size: int, deadline: Deadline) -> bytes:
    data = b""
    while len(data) < size:
        peer.settimeout(max(deadline.remaining(), 0.001))
        chunk = peer.recv(size - len(data))
        if not chunk:
            raise ConnectionResetError("the server closed the connection")
        data += chunk
    return data
