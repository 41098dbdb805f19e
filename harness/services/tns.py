"""As much of Oracle's TNS protocol as a ping needs: one CONNECT packet out, one answer in.

Made by hand because python-oracledb waits for ever on a listener that accepts and says nothing (facts: libraries).
"""

from __future__ import annotations

import re
import struct

from harness.core.deadline import Deadline
from harness.core.errors import BadUse
from harness.services.deadline_socket import BoundedSocket, dial, quoted
from harness.services.service_kind import NotTheService

CONNECT, ACCEPT, REFUSE, REDIRECT, RESEND = 1, 2, 4, 5, 11
HEADER = struct.Struct(">HHBBH")  # length, checksum, type, flags, header checksum
CONNECT_FIELDS = struct.Struct(">HHHHHHHHHHIBB")
DATA_AT = 58  # where connect data begins in the packet
PING = "(DESCRIPTION=(CONNECT_DATA=(COMMAND=ping)))"
MAX_PACKET_BYTES = 32_767
ACCEPTED, ASKED_AGAIN = rb"(?s)\A.{4}\x02", rb"(?s)\A.{4}\x0b"
"""What a listener says to a connect that an instance takes up, and when it wants the same CONNECT once more (facts ORA-05)."""
SERVICE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.$#-]{0,127}")
PING_ANSWER = rb"(?s)\A.{4}(?:[\x02\x0b]|\x04.*\(ERR=[^()])"
"""What `ping` takes for an answer, as one regular expression: an ACCEPT, a RESEND (only a listener asks for it), a REFUSE with a reason."""


def connect_packet(connect_data: str) -> bytes:
    """A CONNECT packet as a client of protocol version 310 sends it; `connect_data` is at most 230 bytes of ASCII."""
    data = connect_data.encode("ascii")
    # version, oldest version, options, session and transport data units, characteristics, turnaround, byte order,
    # length and place of the connect data, most connect data to receive, two flags
    fields = CONNECT_FIELDS.pack(310, 300, 0, 8192, 32767, 0x7F08, 0, 1, len(data), DATA_AT, 2048, 0, 0)
    body = fields.ljust(DATA_AT - HEADER.size, b"\0") + data
    return HEADER.pack(HEADER.size + len(body), 0, CONNECT, 0, 0) + body


def connect_to(service: str) -> str:
    """Connect data for a service name. Raises BadUse for what is none."""
    if not SERVICE_NAME.fullmatch(service):
        raise BadUse(f"service_name = {service!r} is not the name of an Oracle service")
    return f"(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME={service})(CID=(PROGRAM=lkharness)(HOST=lkharness)(USER=lkharness))))"


def connect(host: str, port: int, service: str, deadline: Deadline) -> tuple[int, str]:
    """Connect to a service, no further: ACCEPT, REFUSE or REDIRECT, and the text that came with it. Nothing is followed.

    Raises NotTheService when no TNS comes back, OSError when the connection breaks, DeadlineExceeded in time.
    """
    with dial(host, port, deadline) as sock:
        sock.what = f"{host}:{port} answered a TNS ping, but did not answer a connect to {service}"
        kind = RESEND
        for _ in range(2):
            sock.sendall(connect_packet(connect_to(service)))
            kind, text = _read_answer(sock, host, port)
            if kind != RESEND:
                break
        if kind == REDIRECT and len(text) <= 2:  # the address comes in a DATA packet of its own
            text += sock.already_there(200)
    return kind, "".join(c for c in text.decode("latin-1") if c.isprintable())


def ping(host: str, port: int, deadline: Deadline) -> dict[str, str]:
    """What a listener tells about itself: ALIAS, VSNNUM and ERR, as far as it does; "" for what it leaves out.

    Raises NotTheService when no TNS comes back, OSError when the connection breaks, DeadlineExceeded in time.
    """
    with dial(host, port, deadline) as sock:
        sock.what = f"{host}:{port} accepted the connection, but did not answer a TNS ping"
        sock.sendall(connect_packet(PING))
        kind, text = _read_answer(sock, host, port)
        if kind == RESEND:  # a listener may ask for the same once more
            sock.sendall(connect_packet(PING))
            kind, text = _read_answer(sock, host, port)
    if kind not in (ACCEPT, REFUSE):
        raise NotTheService(f"{host}:{port} answered a TNS ping with packet type {kind}: {quoted(text)}")
    reply_text = text.decode("latin-1")
    listener = {
        key: match[1].strip() if (match := re.search(rf"\({key}=([^()]*)\)", reply_text)) else "" for key in ("ALIAS", "VSNNUM", "ERR")
    }
    if kind == REFUSE and not listener["ERR"]:
        raise NotTheService(f"{host}:{port} refused a TNS ping without a reason: {quoted(text)}")
    return listener


def _read_answer(sock: BoundedSocket, host: str, port: int) -> tuple[int, bytes]:
    head = _read(sock, HEADER.size)
    if not head:
        raise ConnectionResetError(f"{host}:{port} closed the connection on a TNS ping without a word")
    length, kind = (HEADER.unpack(head)[0], head[4]) if len(head) == HEADER.size else (0, 0)
    if not HEADER.size <= length <= MAX_PACKET_BYTES or kind not in (ACCEPT, REFUSE, REDIRECT, RESEND):
        raise NotTheService(f"{host}:{port} does not speak TNS; it said {quoted(head + sock.already_there(200))}")
    return kind, _read(sock, length - HEADER.size)


def _read(sock: BoundedSocket, size: int) -> bytes:
    received = b""
    while len(received) < size and (chunk := sock.recv(size - len(received))):
        received += chunk
    return received


def version_of(vsnnum: str) -> str:
    """The listener's version of its VSNNUM: five numbers; from 18 on the middle ones have a byte and a half byte swapped."""
    if not vsnnum.isdigit():
        return ""
    n = int(vsnnum)
    if n >> 24 >= 18:
        return f"{n >> 24}.{n >> 16 & 0xFF}.{n >> 12 & 0xF}.{n >> 4 & 0xFF}.{n & 0xF}"
    return f"{n >> 24}.{n >> 20 & 0xF}.{n >> 12 & 0xFF}.{n >> 8 & 0xF}.{n & 0xFF}"
