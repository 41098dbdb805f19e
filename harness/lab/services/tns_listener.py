"""A stand-in for an Oracle TNS listener in the lab; not Oracle software, and there is no database behind it.

It does what the harness asks of a real, locked-down listener:

- a TNS ping (what `tnsping` sends) is answered with a REFUSE packet that carries ERR=0, the version and the listener's alias;
- a connect to any service or SID is refused with ORA-12514 or ORA-12505, which python-oracledb reads as DPY-6001 or DPY-6003;
- a connect to the service that `--service` names is refused as an instance that starts behind it would have it (facts ORA-11, ORA-12):
  ORA-12514, or ORA-12505 by SID, until it has registered, ORA-12528 until it is open, and then ORA-12516, because there is no database to
  hand over to; the ping stays good throughout;
- status, version, services, stop and other commands from afar are refused with TNS-01189;
- connect data that is no name-value string is refused with TNS-01153, and whatever is not TNS is closed.

Example: python -m harness.lab.services.tns_listener --port 1521 --bind 0.0.0.0 --node lknode01 --alias LISTENER_lknode01
"""

from __future__ import annotations

import asyncio
import re
import struct
import time
from dataclasses import dataclass

from harness.lab.services import async_server, service_base

CONNECT, REFUSE, DATA = 1, 4, 6  # packet types
HEADER = struct.Struct(">HHBBH")  # length, checksum, type, flags, header checksum
CONNECT_HEAD = 26  # a CONNECT packet's fixed part up to and with the length and offset of its connect data
MAX_CONNECT_DATA = 32_767
INBOUND_CONNECT_TIMEOUT_S = 60.0  # a real listener's INBOUND_CONNECT_TIMEOUT: how long a peer may take to say what it wants
VERSION_19 = 0x13000000  # VSNNUM of a 19c listener
EMFI = 4  # the facility of all the listener's own errors

NO_HANDLER, BLOCKED = 12516, 12528
NO_SERVICE, NO_SUCH_SID, NO_SUCH_SERVICE = 12504, 12505, 12514
CANNOT_PARSE, NOT_AUTHENTICATED = 1153, 1189


@dataclass(frozen=True)
class Instance:
    """An instance that starts with the listener: its service (and SID), and the seconds until it has registered, and until it is open."""

    service: str
    registers_s: float = 0.0
    opens_s: float = 0.0

    def refusal(self, name: str, age_s: float, unknown: int) -> int:
        """The error for a connect to `name`, `age_s` seconds after the start; `unknown` where no instance has registered that."""
        if name.lower() != self.service.lower() or age_s < self.registers_s:
            return unknown
        return BLOCKED if age_s < self.opens_s else NO_HANDLER


NOBODY = Instance("")


class NotTns(Exception):
    """What came in is no TNS connect request."""


async def converse(
    service: service_base.Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, alias: str, instance: Instance, began: float
) -> None:
    """Read one connect request, answer it, close: a listener never does more unless it hands over to a database."""
    peer = "{}:{}".format(*writer.get_extra_info("peername"))
    try:
        async with asyncio.timeout(INBOUND_CONNECT_TIMEOUT_S):
            request = await read_connect_data(reader)
    except NotTns as fault:
        async_server.note(service, f"{peer} * TNS-12569: {fault}")
        return
    if request is None:
        return
    log_line, answer = answer_to(request, alias, instance, time.monotonic() - began)
    writer.write(refuse(answer))
    async_server.note(service, f"{peer} * {log_line}")
    await _let_the_answer_arrive(reader, writer)


async def read_connect_data(reader: asyncio.StreamReader) -> str | None:
    """The connect data of a CONNECT packet, wherever it is; None when the peer leaves without a word.

    Data that does not fit in the packet (python-oracledb: over 230 bytes) follows in DATA packets of its own.
    """
    packet = await _read_packet(reader)
    if packet is None:
        return None
    kind, body = packet
    if kind != CONNECT:
        raise NotTns(f"packet type {kind}, not CONNECT")
    if len(body) < CONNECT_HEAD - HEADER.size + 2:
        raise NotTns(f"CONNECT packet of only {len(body) + HEADER.size} bytes")
    length, offset = struct.unpack_from(">HH", body, CONNECT_HEAD - HEADER.size - 2)
    if length > MAX_CONNECT_DATA:
        raise NotTns(f"connect data of {length} bytes")
    start = offset - HEADER.size
    data = body[start : start + length] if start >= 0 else b""
    while len(data) < length:
        packet = await _read_packet(reader)
        if packet is None or packet[0] != DATA or len(packet[1]) <= 2:
            raise NotTns(f"{len(data)} of {length} bytes of connect data")
        data += packet[1][2:]  # without the two bytes of data flags
    return data[:length].decode("latin-1")


async def _read_packet(reader: asyncio.StreamReader) -> tuple[int, bytes] | None:
    header = await _read(reader, HEADER.size)
    if not header:
        return None
    if len(header) < HEADER.size:
        raise NotTns(f"the peer left after {header!r}")
    length, _, kind, _, _ = HEADER.unpack(header)
    # Until a connection is accepted the length has two bytes; some clients already write four, with the upper two zero.
    length = length or struct.unpack_from(">I", header)[0]
    if not HEADER.size <= length <= MAX_CONNECT_DATA + HEADER.size + 2 or not 1 <= kind <= 19:
        raise NotTns(f"not a TNS packet: {header!r}")
    body = await _read(reader, length - HEADER.size)
    if len(body) < length - HEADER.size:
        raise NotTns(f"{len(body) + HEADER.size} of {length} bytes of a packet")
    return kind, body


async def _read(reader: asyncio.StreamReader, size: int) -> bytes:
    """`size` bytes, fewer only when the peer ended the stream."""
    try:
        return await reader.readexactly(size)
    except asyncio.IncompleteReadError as ended:
        return ended.partial


def answer_to(request: str, alias: str, instance: Instance = NOBODY, age_s: float = 0.0) -> tuple[str, str]:
    """What is logged of a request, and the text that it is refused with, `age_s` seconds after the start. Pure."""
    if not re.fullmatch(r"\s*\(.*\)\s*", request, re.DOTALL) or request.count("(") != request.count(")"):
        return f"TNS-01153: failed to process string {request[:80]!r}", _error(CANNOT_PARSE)
    if command := value_of("COMMAND", request):
        if command.lower() == "ping":
            return "ping * 0", f"(DESCRIPTION=(TMP=)(VSNNUM={VERSION_19})(ERR=0)(ALIAS={alias}))"
        return f"{command[:40]!r} * {NOT_AUTHENTICATED}", _error(NOT_AUTHENTICATED)
    if name := value_of("SERVICE_NAME", request):
        code = instance.refusal(name, age_s, NO_SUCH_SERVICE)
        return f"establish * {name[:80]!r} * {code}", _error(code)
    if sid := value_of("SID", request):
        code = instance.refusal(sid, age_s, NO_SUCH_SID)
        return f"establish * sid {sid[:80]!r} * {code}", _error(code)
    return f"establish * {NO_SERVICE}", _error(NO_SERVICE)


def value_of(key: str, request: str) -> str | None:
    """The value of a key of connect data, which is written like (A=(B=value))."""
    match = re.search(rf"\(\s*{key}\s*=\s*([^()]*?)\s*\)", request, re.IGNORECASE)
    return match[1] if match and match[1] else None


def _error(code: int) -> str:
    return f"(DESCRIPTION=(TMP=)(VSNNUM={VERSION_19})(ERR={code})(ERROR_STACK=(ERROR=(CODE={code})(EMFI={EMFI}))))"


def refuse(text: str) -> bytes:
    """A REFUSE packet: user reason 34, system reason 0, then the text with its length."""
    body = struct.pack(">BBH", 34, 0, len(text)) + text.encode("ascii", "replace")
    return HEADER.pack(HEADER.size + len(body), 0, REFUSE, 0, 0) + body


async def _let_the_answer_arrive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close in order: unread input would turn the close into a reset, which can overtake the answer."""
    writer.write_eof()
    async with asyncio.timeout(1.0):
        while await reader.read(4096):
            pass


def main(arguments: list[str] | None = None) -> None:
    """Serves until it is ended by a signal."""
    assert __doc__
    parser = service_base.options("tns_listener", __doc__, port=1521)
    parser.add_argument("--alias", help="the listener's name in its answers (default LISTENER_<node>)")
    parser.add_argument("--service", default="", help="the service of an instance that starts with the listener (default: none)")
    parser.add_argument("--registers-after", type=float, default=0.0, metavar="SECONDS", help="when it has registered")
    parser.add_argument("--opens-after", type=float, default=0.0, metavar="SECONDS", help="when it is open")
    options = parser.parse_args(arguments)
    service_base.send_log_to(options.log)
    service_base.raise_priority()
    service = service_base.Service("tns_listener", options.node)
    alias = options.alias or f"LISTENER_{options.node}"
    service.log("a stand-in for an Oracle TNS listener in a lab, not Oracle software")
    service_base.exit_on_sigterm(service)
    listener = service_base.listen(service, options.bind, options.port)
    service.log("listening on {}:{} as {}".format(*listener.getsockname(), alias))
    instance, began = Instance(options.service, options.registers_after, options.opens_after), time.monotonic()
    service_base.say_ready()
    async_server.serve(service, listener, lambda reader, writer: converse(service, reader, writer, alias, instance, began))


if __name__ == "__main__":
    main()
