"""What clients send: PRELOGIN, LOGIN7, batches, procedure calls, transaction requests, read into plain data. Pure."""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Callable
from typing import NamedTuple

EXECUTESQL, PREPARE, EXECUTE, PREPEXEC, UNPREPARE = 10, 11, 12, 13, 15  # procedures by number (facts SQL-35)
NAMES = {"sp_executesql": EXECUTESQL, "sp_prepare": PREPARE, "sp_execute": EXECUTE, "sp_prepexec": PREPEXEC, "sp_unprepare": UNPREPARE}
SESSION_FEATURES = {0x0A: b"\x01"}  # UTF-8; session recovery (0x01) is not acknowledged (facts SQL-30)


class Bad(Exception):
    """It is cut short, or of a kind that is not known here."""


class Login(NamedTuple):
    """A LOGIN7, with its password in clear text."""

    user: str
    password: str
    database: str
    app: str
    features: tuple[int, ...]
    packet_bytes: int


class Parameter(NamedTuple):
    """A parameter of a procedure call, its value as PostgreSQL's text, and the OID of its type there (0: let it be inferred)."""

    name: str
    value: str | None
    oid: int


class Call(NamedTuple):
    """A procedure by its number, with its parameters."""

    number: int
    name: str
    parameters: list[Parameter]


def login7(body: bytes) -> Login:
    """Facts SQL-22 to SQL-24. Raises Bad."""
    if len(body) < 94 or struct.unpack_from("<I", body)[0] > len(body):
        raise Bad("a LOGIN7 that is cut short")

    def field(n: int) -> bytes:
        offset, length = struct.unpack_from("<HH", body, 36 + 4 * n)
        return body[offset : offset + 2 * length]

    def text(n: int) -> str:
        return field(n).decode("utf-16-le", "replace")

    secret = bytes(((b ^ 0xA5) << 4 | (b ^ 0xA5) >> 4) & 0xFF for b in field(2))
    features: list[int] = []
    if body[27] & 0x10:
        offset = struct.unpack_from("<H", body, 56)[0]
        offset = struct.unpack_from("<I", body, offset)[0]
        while offset < len(body) and body[offset] != 0xFF:
            features.append(body[offset])
            offset += 5 + struct.unpack_from("<I", body, offset + 1)[0]
    size = struct.unpack_from("<I", body, 8)[0]
    return Login(text(1), secret.decode("utf-16-le", "replace"), text(8), text(3), tuple(features), size)


def after_headers(body: bytes) -> bytes:
    """Without the headers that a batch, a call and a transaction request begin with (facts SQL-34)."""
    if len(body) < 4 or struct.unpack_from("<I", body)[0] > len(body):
        raise Bad("headers that are cut short")
    return body[struct.unpack_from("<I", body)[0] :]


def batch(body: bytes) -> str:
    """The text of a batch."""
    return after_headers(body).decode("utf-16-le", "replace")


def call(body: bytes) -> Call:
    """A procedure call. Raises Bad."""
    reader = _Reader(after_headers(body))
    length = reader.number("<H")
    if length == 0xFFFF:
        number, name = reader.number("<H"), ""
    else:
        name = reader.take(2 * length).decode("utf-16-le", "replace")
        number = NAMES.get(name.lower().rpartition(".")[2], 0)
    reader.number("<H")  # flags
    parameters = []
    while reader.left:
        if reader.data[reader.at] in (0x80, 0xFE, 0xFF):
            break  # a second call in the same message, which nobody here makes
        parameter_name = reader.take(2 * reader.number("<B")).decode("utf-16-le", "replace")
        reader.number("<B")
        parameters.append(Parameter(parameter_name, *_typed_value(reader)))
    return Call(number, name, parameters)


class _Reader:
    """Bytes that are taken from the front."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise Bad("a call that is cut short")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, layout: str) -> int:
        value: int = struct.unpack(layout, self.take(struct.calcsize(layout)))[0]
        return value


def _typed_value(reader: _Reader) -> tuple[str | None, int]:
    kind = reader.number("<B")
    if kind == 0x1F:  # null without a type
        return None, 0
    if kind in FIXED:
        size, oid, layout = FIXED[kind]
        return _text_of(struct.unpack(layout, reader.take(size))[0], oid), oid
    if kind in (0xE7, 0xA7, 0xEF, 0xAF, 0xA5, 0xAD):
        return _characters(reader, kind)
    if kind in (0x28, 0x29, 0x2A, 0x2B):
        scale = 0 if kind == 0x28 else reader.number("<B")
        data = reader.take(reader.number("<B"))
        return (_moment(kind, scale, data) if data else None), 0
    size = reader.number("<B")
    if kind in (0x6A, 0x6C):
        _, scale = reader.number("<B"), reader.number("<B")
        data = reader.take(reader.number("<B"))
        return (_decimal(data, scale) if data else None), 1700
    data = reader.take(reader.number("<B"))
    if kind not in NULLABLE:
        raise Bad(f"a parameter of type {kind:#x}, which is not known here")
    convert, oids = NULLABLE[kind]
    return (convert(data) if data else None), oids.get(size, 0)


def _characters(reader: _Reader, kind: int) -> tuple[str | None, int]:
    size = reader.number("<H")
    if kind not in (0xA5, 0xAD):
        reader.take(5)
    if size == 0xFFFF:
        length, data = reader.number("<Q"), b""
        if length == 0xFFFFFFFFFFFFFFFF:
            return None, 0
        while chunk := reader.number("<I"):
            data += reader.take(chunk)
    else:
        length = reader.number("<H")
        if length == 0xFFFF:
            return None, 0
        data = reader.take(length)
    if kind in (0xA5, 0xAD):
        return "\\x" + data.hex(), 17
    return data.decode("utf-16-le" if kind in (0xE7, 0xEF) else "cp1252", "replace"), 25


def _text_of(value: float, oid: int) -> str:
    return ("t" if value else "f") if oid == 16 else repr(value)


def _moment(kind: int, scale: int, data: bytes) -> str:
    time_bytes = 0 if kind == 0x28 else len(data) - (0 if kind == 0x29 else 3) - (2 if kind == 0x2B else 0)
    ticks = int.from_bytes(data[:time_bytes], "little") * 10 ** (7 - scale)
    clock = dt.timedelta(microseconds=ticks // 10)
    if kind == 0x29:
        return str((dt.datetime.min + clock).time())
    day = dt.datetime.min + dt.timedelta(days=int.from_bytes(data[time_bytes : time_bytes + 3], "little"))
    return (day + clock).isoformat(" ") + ("+00" if kind == 0x2B else "")


def _decimal(data: bytes, scale: int) -> str:
    digits = str(int.from_bytes(data[1:], "little")).rjust(scale + 1, "0")
    return ("" if data[0] else "-") + (f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits)


def _of_datetime(data: bytes) -> str:
    days, ticks = struct.unpack("<iI" if len(data) == 8 else "<HH", data)
    clock = dt.timedelta(seconds=ticks / 300) if len(data) == 8 else dt.timedelta(minutes=ticks)
    return (dt.datetime(1900, 1, 1) + dt.timedelta(days=days) + clock).isoformat(" ")


def _of_guid(data: bytes) -> str:
    import uuid

    return str(uuid.UUID(bytes_le=data))


FIXED = {0x30: (1, 21, "<B"), 0x32: (1, 16, "<B"), 0x34: (2, 21, "<h"), 0x38: (4, 23, "<i"), 0x7F: (8, 20, "<q"), 0x3E: (8, 701, "<d")}
NULLABLE: dict[int, tuple[Callable[[bytes], str], dict[int, int]]] = {
    0x26: (lambda data: str(int.from_bytes(data, "little", signed=len(data) > 1)), {1: 21, 2: 21, 4: 23, 8: 20}),
    0x68: (lambda data: "t" if data[0] else "f", {1: 16}),
    0x6D: (lambda data: repr(struct.unpack("<f" if len(data) == 4 else "<d", data)[0]), {4: 700, 8: 701}),
    0x6F: (_of_datetime, {}),
    0x24: (_of_guid, {16: 2950}),
}
