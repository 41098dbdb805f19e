"""As much of SQL Server's TDS protocol as is needed beside a driver: packets, PRELOGIN, and what an answer to a log-in holds. Pure.

The driver shows one error of a refused log-in, and the server sends two where a database cannot be opened (facts SQL-32); and it dials
another server by itself when it is told to (facts SQL-51). So the answer is read here first.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

PRELOGIN, LOGIN7, REPLY = 0x12, 0x10, 0x04
HEADER = struct.Struct(">BBHHBB")  # type, status, length with the header, session, packet number, window (facts SQL-01)
LAST = 0x01  # the status of a message's last packet
VERSION, ENCRYPTION, INSTANCE, THREAD, MARS, END = 0, 1, 2, 3, 4, 0xFF  # options of PRELOGIN (facts SQL-05)
LOGIN_ONLY, ON, NOT_SUPPORTED, REQUIRED = 0, 1, 2, 3  # values of ENCRYPTION (facts SQL-06)
ERROR, INFO, LOGINACK, ENVCHANGE, FEATUREEXTACK, DONE = 0xAA, 0xAB, 0xAD, 0xE3, 0xAE, 0xFD
ROUTING = 20  # the kind of an ENVCHANGE
OWN_VERSION = b"\x01\x00\x00\x00\x00\x00"


class ServerError(NamedTuple):
    """An ERROR token. Only the number is fixed: its text is in the server's language."""

    number: int
    state: int
    severity: int
    text: str
    server: str

    def __str__(self) -> str:
        return f"error {self.number} ({self.text})"


class Routing(NamedTuple):
    """Where a server sends its client to."""

    host: str
    port: int


def packet(kind: int, body: bytes, number: int = 1) -> bytes:
    """One message of one packet."""
    return HEADER.pack(kind, LAST, HEADER.size + len(body), 0, number & 0xFF, 0) + body


def prelogin(options: dict[int, bytes]) -> bytes:
    """The body of a PRELOGIN message."""
    offset = 5 * len(options) + 1
    index = data = b""
    for token, value in options.items():
        index += struct.pack(">BHH", token, offset + len(data), len(value))
        data += value
    return index + bytes([END]) + data


def prelogin_options(body: bytes) -> dict[int, bytes]:
    """The options of a PRELOGIN message. Raises ValueError for what is none."""
    options, position = {}, 0
    while position < len(body) and body[position] != END:
        if position + 5 > len(body):
            raise ValueError("an option of PRELOGIN is cut short")
        token, start, length = struct.unpack_from(">BHH", body, position)
        if start + length > len(body):
            raise ValueError("an option of PRELOGIN lies outside it")
        options[token] = body[start : start + length]
        position += 5
    if position >= len(body):
        raise ValueError("PRELOGIN has no end of its options")
    return options


def first_packet(encryption: int) -> bytes:
    """What a client begins with."""
    options = {VERSION: OWN_VERSION, ENCRYPTION: bytes([encryption]), INSTANCE: b"\0", THREAD: bytes(4), MARS: b"\0"}
    return packet(PRELOGIN, prelogin(options))


def login_errors(reply: bytes) -> list[ServerError]:
    """The errors in the answer to a log-in."""
    return [_error(body) for token, body in _tokens(reply) if token == ERROR]


def parse_routing(reply: bytes) -> Routing | None:
    """Where the answer to a log-in sends the client, None where it does not."""
    for token, body in _tokens(reply):
        if token == ENVCHANGE and body[:1] == bytes([ROUTING]) and len(body) >= 8:
            port, length = struct.unpack_from("<HH", body, 4)
            return Routing(body[8 : 8 + 2 * length].decode("utf-16-le", "replace"), port)
    return None


def _tokens(reply: bytes) -> Iterator[tuple[int, bytes]]:
    """Each token with its body, as far as they are those of a log-in's answer."""
    position = 0
    while position < len(reply):
        token = reply[position]
        if token in (ERROR, INFO, LOGINACK, ENVCHANGE):
            if position + 3 > len(reply):
                return
            length = struct.unpack_from("<H", reply, position + 1)[0]
            yield token, reply[position + 3 : position + 3 + length]
            position += 3 + length
        elif token == DONE:
            position += 13
        elif token == FEATUREEXTACK:
            position += 1
            while position < len(reply) and reply[position] != 0xFF:
                if position + 5 > len(reply):
                    return
                position += 5 + struct.unpack_from("<I", reply, position + 1)[0]
            position += 1
        else:
            return


def _error(body: bytes) -> ServerError:
    if len(body) < 9:
        return ServerError(0, 0, 0, "an error that is cut short", "")
    number, state, severity, length = struct.unpack_from("<iBBH", body)
    text = body[8 : 8 + 2 * length].decode("utf-16-le", "replace")
    position = 8 + 2 * length
    server = body[position + 1 : position + 1 + 2 * body[position]].decode("utf-16-le", "replace") if position < len(body) else ""
    return ServerError(number, state, severity, text, server)
