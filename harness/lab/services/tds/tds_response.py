"""The tokens of a server's answers, and values as they stand in rows. Pure."""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Sequence
from typing import NamedTuple

from harness.services.sqlserver.tds_protocol import DONE, ENVCHANGE, ERROR, FEATUREEXTACK, INFO, LOGINACK

COLMETADATA, ROW, NBCROW, RETURNSTATUS, RETURNVALUE, DONEPROC, DONEINPROC = 0x81, 0xD1, 0xD2, 0x79, 0xAC, 0xFE, 0xFF
MORE, FAILED, COUNTED, ATTENDED = 0x01, 0x02, 0x10, 0x20  # bits of DONE (facts SQL-43)
SELECT = 0xC1
COLLATION = bytes.fromhex("0904D00034")  # facts SQL-42
INT, BIT, FLOAT, NVARCHAR, DATETIME2 = 0x26, 0x68, 0x6D, 0xE7, 0x2A
MAX_PLAIN_CHARACTERS = 4000  # characters: what is longer is nvarchar(max)
TICKS = 10_000_000  # of 100 ns


class Column(NamedTuple):
    """A column of an answer: its name, and what it is: int, bigint, bit, float, text or time."""

    name: str
    type: str


def short_text(text: str) -> bytes:
    """A string with a length of one byte, in characters."""
    encoded = text[:255].encode("utf-16-le")
    return bytes([len(encoded) // 2]) + encoded


def _message(token: int, number: int, state: int, severity: int, text: str, server: str) -> bytes:
    encoded = text.encode("utf-16-le")
    body = (
        struct.pack("<iBBH", number, state, severity, len(encoded) // 2)
        + encoded
        + short_text(server)
        + short_text("")
        + struct.pack("<i", 1)
    )
    return struct.pack("<BH", token, len(body)) + body


def error(number: int, severity: int, text: str, server: str, state: int = 1) -> bytes:
    """An ERROR token."""
    return _message(ERROR, number, state, severity, text, server)


def info(number: int, text: str, server: str, state: int = 1) -> bytes:
    """An INFO token."""
    return _message(INFO, number, state, 0, text, server)


def env_text(kind: int, new: str, old: str = "") -> bytes:
    """An ENVCHANGE of a text: 1 database, 2 language, 4 packet size."""
    body = bytes([kind]) + short_text(new) + short_text(old)
    return struct.pack("<BH", ENVCHANGE, len(body)) + body


def env_bytes(kind: int, new: bytes, old: bytes = b"") -> bytes:
    """An ENVCHANGE of bytes: 7 collation, 8 begun, 9 committed, 10 rolled back."""
    body = bytes([kind, len(new)]) + new + bytes([len(old)]) + old
    return struct.pack("<BH", ENVCHANGE, len(body)) + body


def login_ack(program: str) -> bytes:
    """TDS 7.4, and the program's name (facts SQL-27)."""
    name = program.encode("utf-16-le")
    body = b"\x01\x74\x00\x00\x04" + bytes([len(name) // 2]) + name + b"\x10\x00\x00\x00"
    return struct.pack("<BH", LOGINACK, len(body)) + body


def feature_ack(features: dict[int, bytes]) -> bytes:
    """What was asked for and is given (facts SQL-29)."""
    return bytes([FEATUREEXTACK]) + b"".join(struct.pack("<BI", k, len(v)) + v for k, v in features.items()) + b"\xff"


def done(status: int = 0, count: int = 0, token: int = DONE, command: int = 0) -> bytes:
    """A DONE, DONEPROC or DONEINPROC."""
    return struct.pack("<BHHQ", token, status, command, count)


def return_status(value: int = 0) -> bytes:
    """What a procedure returned."""
    return struct.pack("<Bi", RETURNSTATUS, value)


def return_handle(handle: int) -> bytes:
    """The output parameter of sp_prepexec: the statement's handle."""
    return struct.pack("<BH", RETURNVALUE, 0) + short_text("") + struct.pack("<BIHBBBi", 1, 0, 1, INT, 4, 4, handle)


def table(columns: Sequence[Column], rows: Sequence[Sequence[str | None]]) -> bytes:
    """COLMETADATA and the rows, whose values are PostgreSQL's texts; rows with nulls as NBCROW."""
    wide = [any(len(row[n] or "") > MAX_PLAIN_CHARACTERS for row in rows) for n in range(len(columns))]
    tokens = struct.pack("<BH", COLMETADATA, len(columns))
    for column, is_wide in zip(columns, wide, strict=True):
        tokens += struct.pack("<IH", 0, 9) + _type_info(column.type, is_wide) + short_text(column.name)
    for row in rows:
        values = b"".join(_value(c.type, v, w) for c, v, w in zip(columns, row, wide, strict=True) if v is not None)
        if None in row:
            null_bits = sum(1 << n for n, v in enumerate(row) if v is None)
            tokens += bytes([NBCROW]) + null_bits.to_bytes((len(row) + 7) // 8, "little") + values
        else:
            tokens += bytes([ROW]) + values
    return tokens


def _type_info(kind: str, wide: bool) -> bytes:
    if kind == "text":
        return struct.pack("<BH", NVARCHAR, 0xFFFF if wide else 2 * MAX_PLAIN_CHARACTERS) + COLLATION
    return {
        "int": bytes([INT, 4]),
        "bigint": bytes([INT, 8]),
        "bit": bytes([BIT, 1]),
        "float": bytes([FLOAT, 8]),
        "time": bytes([DATETIME2, 7]),
    }[kind]


def _value(kind: str, value: str, wide: bool) -> bytes:
    if kind == "int":
        return struct.pack("<Bi", 4, int(value))
    if kind == "bigint":
        return struct.pack("<Bq", 8, int(value))
    if kind == "bit":
        return bytes([1, int(value in ("t", "true", "1"))])
    if kind == "float":
        return struct.pack("<Bd", 8, float(value))
    if kind == "time":
        return datetime2(dt.datetime.fromisoformat(value))
    encoded = value.encode("utf-16-le")
    if wide:
        return struct.pack("<QI", len(encoded), len(encoded)) + encoded + bytes(4)
    return struct.pack("<H", len(encoded)) + encoded


def datetime2(moment: dt.datetime) -> bytes:
    """datetime2(7): eight bytes (facts SQL-40)."""
    since_midnight = moment - moment.replace(hour=0, minute=0, second=0, microsecond=0)
    ticks = since_midnight.seconds * TICKS + since_midnight.microseconds * 10
    return bytes([8]) + ticks.to_bytes(5, "little") + (moment.toordinal() - 1).to_bytes(3, "little")
