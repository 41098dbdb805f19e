"""A session with the PostgreSQL beneath, in its own protocol by hand: log-in by SCRAM or trust, queries with and without parameters."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import select
import socket
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.lab.services.tds.tds_response import Column

PROTOCOL_3, CANCEL = 196_608, 80_877_102
TYPES = {20: "bigint", 21: "int", 23: "int", 26: "bigint", 16: "bit", 700: "float", 701: "float", 1700: "float", 1114: "time"}


class Refused(Exception):
    """An error of the database: its SQLSTATE and its words."""

    def __init__(self, state: str, text: str) -> None:
        super().__init__(f"{state}: {text}")
        self.state, self.text = state, text


class Rows(NamedTuple):
    """The answer to one statement. `columns` None: it returns no rows; `touched`: rows changed or returned."""

    columns: list[Column] | None
    rows: list[list[str | None]]
    touched: int


class Backend:
    """Logged in. Raises Refused, OSError."""

    def __init__(self, path: Path, user: str, password: str, database: str) -> None:
        self._path = str(path)
        self._sock = socket.socket(socket.AF_UNIX)
        self._key = b""
        try:
            self._sock.connect(self._path)
            startup_fields = ["user", user, "database", database, "application_name", "tds stand-in", "client_encoding", "UTF8"]
            body = struct.pack(">I", PROTOCOL_3) + b"".join(field.encode() + b"\0" for field in startup_fields) + b"\0"
            self._sock.sendall(struct.pack(">I", len(body) + 4) + body)
            self._log_in(password)
        except BaseException:
            self._sock.close()
            raise

    def close(self) -> None:
        """Hang up; what is open is rolled back."""
        self._sock.close()

    def fileno(self) -> int:
        """For waiting."""
        return self._sock.fileno()

    def cancel(self) -> None:
        """Ask for the end of what runs; the answer then is SQLSTATE 57014, unless it was quicker."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self._path)
            connection.sendall(struct.pack(">II", 16, CANCEL) + self._key)
            connection.recv(1)

    def _log_in(self, password: str) -> None:
        nonce, server_first = base64.b64encode(secrets.token_bytes(18)), b""
        client_first = b"n=,r=" + nonce
        while True:
            kind, body = self._message()
            if kind == b"R":
                method = struct.unpack_from(">I", body)[0]
                if method == 10:
                    first_message = b"n,," + client_first
                    self._send_message(b"p", b"SCRAM-SHA-256\0" + struct.pack(">I", len(first_message)) + first_message)
                elif method == 11:
                    server_first = body[4:]
                    self._send_message(b"p", _proof(password, client_first, server_first))
            elif kind == b"K":
                self._key = body
            elif kind == b"E":
                raise _refusal(body)
            elif kind == b"Z":
                return

    def run(self, sql: str, parameters: Sequence[tuple[str | None, int]] = (), waiting: Callable[[], None] | None = None) -> Rows:
        """One statement. `waiting` is called again and again until the answer begins; it may call `cancel`."""
        oids = b"".join(struct.pack(">I", oid) for _, oid in parameters)
        self._send_message(b"P", b"\0" + sql.encode() + b"\0" + struct.pack(">H", len(parameters)) + oids)
        values = b"".join(
            struct.pack(">i", -1) if value is None else struct.pack(">i", len(value.encode())) + value.encode() for value, _ in parameters
        )
        self._send_message(b"B", b"\0\0" + struct.pack(">HH", 0, len(parameters)) + values + struct.pack(">H", 0))
        for kind, body in ((b"D", b"P\0"), (b"E", b"\0" + struct.pack(">I", 0)), (b"S", b"")):
            self._send_message(kind, body)
        if waiting:
            waiting()
        return self._answer()

    def script(self, sql: str) -> None:
        """Many statements at once, without an answer."""
        self._send_message(b"Q", sql.encode() + b"\0")
        self._answer()

    def answered(self, seconds: float) -> bool:
        """Has the answer begun?"""
        return bool(select.select([self._sock], [], [], seconds)[0])

    def _answer(self) -> Rows:
        columns: list[Column] | None = None
        rows: list[list[str | None]] = []
        count, refusal = 0, None
        while True:
            kind, body = self._message()
            if kind == b"T":
                columns = _columns(body)
            elif kind == b"D":
                rows.append(_row(body))
            elif kind == b"C":
                last_word = body[:-1].split()[-1]
                count = int(last_word) if last_word.isdigit() else 0
            elif kind == b"E":
                refusal = refusal or _refusal(body)
            elif kind == b"Z":
                if refusal:
                    raise refusal
                return Rows(columns, rows, count)

    def _send_message(self, kind: bytes, body: bytes) -> None:
        self._sock.sendall(kind + struct.pack(">I", len(body) + 4) + body)

    def _message(self) -> tuple[bytes, bytes]:
        header = self._read_exactly(5)
        return header[:1], self._read_exactly(struct.unpack(">I", header[1:])[0] - 4)

    def _read_exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = self._sock.recv(size - len(data))
            if not chunk:
                raise ConnectionResetError("the database ended the session")
            data += chunk
        return data


def _proof(password: str, client_first: bytes, server_first: bytes) -> bytes:
    """The client's last word of SCRAM-SHA-256 (RFC 5802)."""
    attributes = dict(part.split(b"=", 1) for part in server_first.split(b","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(attributes[b"s"]), int(attributes[b"i"]))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    final_without_proof = b"c=biws,r=" + attributes[b"r"]
    auth_message = b",".join((client_first, server_first, final_without_proof))
    signature = hmac.digest(hashlib.sha256(client_key).digest(), auth_message, "sha256")
    return final_without_proof + b",p=" + base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature, strict=True)))


def _refusal(body: bytes) -> Refused:
    fields = {field[:1]: field[1:].decode(errors="replace") for field in body.split(b"\0") if field}
    return Refused(fields.get(b"C", "XX000"), fields.get(b"M", "no reason given"))


def _columns(body: bytes) -> list[Column]:
    columns, offset = [], 2
    for _ in range(struct.unpack_from(">H", body)[0]):
        end = body.index(b"\0", offset)
        name, oid = body[offset:end].decode(), struct.unpack_from(">I", body, end + 7)[0]
        columns.append(Column("" if name == "?column?" else name, TYPES.get(oid, "text")))
        offset = end + 19
    return columns


def _row(body: bytes) -> list[str | None]:
    values: list[str | None] = []
    offset = 2
    for _ in range(struct.unpack_from(">H", body)[0]):
        length = struct.unpack_from(">i", body, offset)[0]
        offset += 4
        if length < 0:
            values.append(None)
        else:
            values.append(body[offset : offset + length].decode(errors="replace"))
            offset += length
    return values
