"""One connection of the stand-in, from PRELOGIN to the end: log-in, batches, calls, transactions, attention."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from harness.lab.services.tds import tds_request, tds_response, tsql_translation
from harness.lab.services.tds.postgres_backend import Backend, Refused, Rows
from harness.lab.services.tds.tds_channel import ATTENTION, Channel, NotTds
from harness.services.sqlserver import tds_protocol

BATCH, RPC, TRANSACTION, LOGIN7 = 0x01, 0x03, 0x0E, 0x10
PROGRAM = "Stand-in of a lab, not SQL Server"
SAYS = "This is a stand-in of a test lab, not SQL Server; a PostgreSQL lies beneath."
PACKET_BYTES = 4096
IGNORES = 0x02  # a status: the request is to be forgotten (facts SQL-46)
# What the database says, as SQL Server says it: number and severity (facts SQL-68).
NUMBERS = {"42P01": (208, 16), "42703": (207, 16), "42601": (102, 15), "22012": (8134, 16), "23505": (2627, 14), "42501": (229, 14)}
TURNS_AWAY = {"57P03": 17187, "57P01": 17188, "57P02": 17188, "53300": 17809}
TEXTS = {
    17187: "SQL Server is not ready to accept new client connections.",
    17142: "SQL Server has been paused. No new connections will be allowed.",
    17188: "SQL Server cannot accept new connections, because it is shutting down.",
    17809: "Could not connect because the maximum number of user connections has already been reached.",
    18401: "Login failed. Server is in script upgrade mode. Only administrator can connect at this time.",
    18461: "Login failed. Reason: Server is in single user mode. Only one administrator can connect at this time.",
    18486: "Login failed because the account is currently locked out.",
    18487: "Login failed. Reason: The password of the account has expired.",
    18488: "Login failed. Reason: The password of the account must be changed.",
}
CHECKER = "lkharness-check"  # of the node itself: let in without a password and only to be told whether the database answers


class Server(NamedTuple):
    """What all connections share. `encryption`: forced, offered, or none. `sick`: a file with the number of an error that every log-in
    gets while it is there."""

    name: str
    instance: str
    socket: Path
    context: ssl.SSLContext | None
    strict: ssl.SSLContext | None
    encryption: str
    sick: Path | None


class Conversation:
    """`run` until the client leaves. Raises NotTds, ConnectionError, ssl.SSLError."""

    def __init__(self, server: Server, sock: socket.socket, spid: int) -> None:
        self._server, self._sock = server, sock
        self._channel = Channel(sock, spid)
        self._backend: Backend | None = None
        self._database = ""
        self._transaction = 0  # the descriptor of the one that is open; 0: none
        self._transactions_begun = 0
        self._prepared: dict[int, tuple[str, list[str]]] = {}

    def run(self) -> None:
        """From the first byte to the last."""
        try:
            if self._log_in():
                self._sock.settimeout(None)
                while True:
                    self._request()
        finally:
            if self._backend:
                self._backend.close()

    # --- the log-in

    def _log_in(self) -> bool:
        strict = self._channel.begins_with_tls()
        if strict:
            if not self._server.strict:
                raise NotTds("TLS at once, and there is no certificate")
            self._channel.shake_hands(self._server.strict, in_packets=False)
        kind, _, body = self._channel.read()
        if kind != tds_protocol.PRELOGIN:
            raise NotTds(f"type {kind:#x} instead of PRELOGIN")
        try:
            client_options = tds_protocol.prelogin_options(body)
        except ValueError as error:
            raise NotTds(str(error)) from None
        client_encryption = (client_options.get(tds_protocol.ENCRYPTION) or bytes([tds_protocol.NOT_SUPPORTED]))[0]
        server_encryption = tds_protocol.NOT_SUPPORTED if strict else negotiate_encryption(client_encryption, self._server.encryption)
        options = {
            tds_protocol.VERSION: b"\x10\x00\x00\x00\x00\x00",
            tds_protocol.ENCRYPTION: bytes([server_encryption]),
            tds_protocol.INSTANCE: b"\0",
            tds_protocol.THREAD: b"",
            tds_protocol.MARS: b"\0",
        }
        self._channel.write(tds_protocol.prelogin(options))
        if server_encryption != tds_protocol.NOT_SUPPORTED and client_encryption != tds_protocol.NOT_SUPPORTED:
            assert self._server.context is not None
            self._channel.shake_hands(self._server.context, in_packets=True)
        kind, _, body = self._channel.read(only_first_encrypted=server_encryption == tds_protocol.LOGIN_ONLY)
        if kind != LOGIN7:
            raise NotTds(f"type {kind:#x} instead of LOGIN7")
        login = tds_request.login7(body)
        errors = self._errors_of(login)
        if errors:
            error_tokens = b"".join(tds_response.error(n, s, text, self._server.name) for n, s, text in errors)
            self._channel.write(error_tokens + tds_response.done(tds_response.FAILED))
            return False
        self._channel.write(self._welcome(login))
        return True

    def _errors_of(self, login: tds_request.Login) -> list[tuple[int, int, str]]:
        """Why that log-in is refused; none: it is in."""
        if login.user == CHECKER and self._sock.getpeername()[0].startswith("127."):
            user, password, database = "postgres", "", "template1"
        elif sick := self._sick_error():
            return [(sick, 16 if 17000 <= sick < 18000 else 14, TEXTS.get(sick, "The server is not able to serve."))]
        else:
            user, password = login.user, login.password
            database = "harness" if login.database.lower() in ("", "master", "tempdb") else login.database
        refused = (18456, 14, f"Login failed for user '{login.user}'.")
        if not user or "\0" in user + password + database:
            return [refused]
        try:
            self._backend = Backend(self._server.socket, user, password, database)
        except Refused as error:
            if error.state == "3D000":
                return [(4060, 11, f'Cannot open database "{login.database}" requested by the login. The login failed.'), refused]
            if number := TURNS_AWAY.get(error.state):
                return [(number, 16, TEXTS[number])]
            return [refused]
        except OSError:  # the listener lives, and its database does not yet or no more
            return [(17187, 16, TEXTS[17187])]
        self._database = login.database or "master"
        if user != "postgres":
            self._tell_the_backend()
        return []

    def _sick_error(self) -> int:
        try:
            content = self._server.sick.read_text(encoding="ascii").strip() if self._server.sick else ""
        except FileNotFoundError:
            return 0
        return int(content) if content.isdigit() else 0

    def _tell_the_backend(self) -> None:
        local, peer = self._sock.getsockname(), self._sock.getpeername()
        settings = {
            "server": self._server.name,
            "instance": self._server.instance,
            "database": self._database,
            "local_address": local[0],
            "local_port": str(local[1]),
            "client_address": peer[0],
            "open": "0",
        }
        assert self._backend is not None
        sets = ", ".join(f"set_config('tsql.{key}', ${n}, false)" for n, key in enumerate(settings, 1))
        self._backend.run(f"select {sets}, set_config('search_path', 'public', false)", [(value, 25) for value in settings.values()])

    def _welcome(self, login: tds_request.Login) -> bytes:
        """In the order that SQL Server has (facts SQL-26)."""
        name, database = self._server.name, self._database
        self._channel.packet_bytes = PACKET_BYTES
        acknowledged = {f: data for f, data in tds_request.SESSION_FEATURES.items() if f in login.features}
        return b"".join(
            [
                tds_response.env_text(1, database, "master"),
                tds_response.info(5701, f"Changed database context to '{database}'. {SAYS}", name, state=2),
                tds_response.env_bytes(7, tds_response.COLLATION),
                tds_response.env_text(2, "us_english"),
                tds_response.info(5703, "Changed language setting to us_english.", name),
                tds_response.env_text(4, str(PACKET_BYTES), str(PACKET_BYTES)),
                tds_response.login_ack(PROGRAM),
                tds_response.feature_ack(acknowledged) if acknowledged else b"",
                tds_response.done(),
            ]
        )

    # --- requests

    def _request(self) -> None:
        kind, status, body = self._channel.read()
        if kind == ATTENTION:
            self._channel.write(tds_response.done(tds_response.ATTENDED))  # also when nothing runs any more (facts SQL-44)
        elif status & IGNORES:
            self._channel.write(tds_response.done())
        elif kind == BATCH:
            self._reply(lambda: self._batch(tds_request.batch(body)))
        elif kind == RPC:
            self._reply(lambda: self._call(tds_request.call(body)), tds_response.DONEPROC)
        elif kind == TRANSACTION:
            self._reply(lambda: self._transact(tds_request.after_headers(body)))
        else:
            raise NotTds(f"type {kind:#x} after the log-in")

    def _reply(self, work, done_token: int = tds_response.DONE) -> None:
        try:
            response = work()
        except Refused as error:
            if error.state == "57014":  # by an attention: two messages (facts SQL-45)
                self._channel.write(tds_response.done(token=done_token))
                self._channel.write(tds_response.done(tds_response.ATTENDED))
                return
            number, severity = NUMBERS.get(error.state, (50000, 16))
            response = tds_response.error(number, severity, error.text, self._server.name) + tds_response.done(
                tds_response.FAILED, token=done_token
            )
        except tds_request.Bad as error:
            response = tds_response.error(8009, 16, str(error), self._server.name) + tds_response.done(
                tds_response.FAILED, token=done_token
            )
        self._channel.write(response)

    def _batch(self, text: str) -> bytes:
        answers = [self._statement(statement, []) for statement in tsql_translation.statements(text)] or [(b"", 0)]
        return b"".join(
            body
            + tds_response.done(tds_response.COUNTED | (tds_response.MORE if n < len(answers) else 0), count, command=tds_response.SELECT)
            for n, (body, count) in enumerate(answers, 1)
        )

    def _statement(self, statement: tsql_translation.Statement, parameters: Sequence[tuple[str | None, int]]) -> tuple[bytes, int]:
        """What one statement answers, without its DONE, and the number of rows."""
        if statement.kind == "ignored":
            return b"", 0
        if statement.kind == "use":
            if statement.sql.lower() not in (self._database.lower(), "master", "harness"):
                text = f"Database '{statement.sql}' does not exist. Make sure that the name is entered correctly."
                return tds_response.error(911, 16, text, self._server.name), 0
            return tds_response.env_text(1, statement.sql, self._database) + tds_response.info(
                5701, f"Changed database context to '{statement.sql}'.", self._server.name
            ), 0
        if statement.kind == "begin":
            return self._begin(), 0
        if statement.kind in ("commit", "rollback"):
            return self._end(statement.kind), 0
        rows = self._run(statement.sql, parameters)
        return (b"" if rows.columns is None else tds_response.table(rows.columns, rows.rows)), rows.touched

    def _call(self, call: tds_request.Call) -> bytes:
        parameters = call.parameters
        if call.number == tds_request.EXECUTESQL:
            statement, names, values = (
                _text_parameter(parameters, 0),
                tsql_translation.declared_names(_text_parameter(parameters, 1)),
                parameters[2:],
            )
            return self._execute(statement, names, values)
        if call.number in (tds_request.PREPEXEC, tds_request.PREPARE):
            names, statement = tsql_translation.declared_names(_text_parameter(parameters, 1)), _text_parameter(parameters, 2)
            handle = len(self._prepared) + 1
            self._prepared[handle] = (statement, names)
            trailer = tds_response.return_status() + tds_response.return_handle(handle) + tds_response.done(token=tds_response.DONEPROC)
            if call.number == tds_request.PREPARE:
                return trailer
            return self._execute(statement, names, parameters[3:], trailer)
        if call.number == tds_request.EXECUTE:
            statement, names = self._prepared.get(int(parameters[0].value or 0), ("", []))
            return self._execute(statement, names, parameters[1:])
        if call.number == tds_request.UNPREPARE or call.name.lower() == "sp_reset_connection":
            return tds_response.return_status() + tds_response.done(token=tds_response.DONEPROC)
        text = f"Could not find stored procedure '{call.name or call.number}'."
        return tds_response.error(2812, 16, text, self._server.name) + tds_response.done(tds_response.FAILED, token=tds_response.DONEPROC)

    def _execute(self, statement: str, names: list[str], parameters: Sequence[tds_request.Parameter], trailer: bytes = b"") -> bytes:
        by_name = {p.name.lower(): p for p in parameters if p.name}
        values = [
            by_name.get(name.lower(), parameters[n] if n < len(parameters) else tds_request.Parameter("", None, 0))
            for n, name in enumerate(names)
        ]
        response = b""
        for single_statement in tsql_translation.statements(tsql_translation.with_parameters(statement, names)):
            body, count = self._statement(single_statement, [(p.value, p.oid) for p in values])
            response += body + tds_response.done(
                tds_response.MORE | tds_response.COUNTED, count, tds_response.DONEINPROC, tds_response.SELECT
            )
        return response + (trailer or tds_response.return_status() + tds_response.done(token=tds_response.DONEPROC))

    def _run(self, sql: str, parameters: Sequence[tuple[str | None, int]]) -> Rows:
        assert self._backend is not None
        return self._backend.run(sql, parameters, self._wait_for_answer)

    def _wait_for_answer(self) -> None:
        """The client may break off meanwhile, or leave."""
        backend, channel = self._backend, self._channel
        assert backend is not None
        while True:
            ready = select.select([backend.fileno(), self._sock.fileno()], [], [])[0]
            if backend.fileno() in ready:
                return
            if channel.read()[0] == ATTENTION:
                backend.cancel()
                return
            raise NotTds("a request before the answer to the last one")

    # --- transactions

    def _transact(self, body: bytes) -> bytes:
        kind = int.from_bytes(body[:2], "little")
        if kind == 5:
            return self._begin() + tds_response.done()
        if kind in (7, 8):
            begins_again = bool(body[3 + body[2]] & 1) if len(body) > 3 + body[2] else False
            response = self._end("commit" if kind == 7 else "rollback")
            return response + (self._begin() if begins_again else b"") + tds_response.done()
        raise tds_request.Bad(f"a transaction request of kind {kind}")

    def _begin(self) -> bytes:
        if self._transaction:
            return b""
        assert self._backend is not None
        self._backend.run("begin")
        self._backend.run("set local tsql.open = 1")
        self._transactions_begun += 1
        self._transaction = self._transactions_begun
        return tds_response.env_bytes(8, self._transaction.to_bytes(8, "little"))

    def _end(self, command: str) -> bytes:
        if not self._transaction:
            number, text = (3902, "COMMIT") if command == "commit" else (3903, "ROLLBACK")
            return tds_response.error(
                number, 16, f"The {text} TRANSACTION request has no corresponding BEGIN TRANSACTION.", self._server.name
            )
        assert self._backend is not None
        old_transaction, self._transaction = self._transaction.to_bytes(8, "little"), 0
        self._backend.run(command)
        return tds_response.env_bytes(9 if command == "commit" else 10, b"", old_transaction)


def negotiate_encryption(client_encryption: int, policy: str) -> int:
    """The server's answer to a client's wish to encrypt (facts SQL-06)."""
    if policy == "none":
        return tds_protocol.NOT_SUPPORTED
    if policy == "forced":
        return tds_protocol.ON if client_encryption in (tds_protocol.ON, tds_protocol.REQUIRED) else tds_protocol.REQUIRED
    return {tds_protocol.LOGIN_ONLY: tds_protocol.LOGIN_ONLY, tds_protocol.NOT_SUPPORTED: tds_protocol.NOT_SUPPORTED}.get(
        client_encryption, tds_protocol.ON
    )


def _text_parameter(parameters: Sequence[tds_request.Parameter], n: int) -> str:
    return (parameters[n].value or "") if n < len(parameters) else ""
