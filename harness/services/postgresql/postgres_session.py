"""A session with a PostgreSQL server in which every wait has a deadline.

libpq's own time-out covers the connect only and knows no fractions, so the conversation is driven step by step here.
"""

from __future__ import annotations

import ctypes
import re
import selectors
import struct
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from harness.config import service_settings
from harness.core.deadline import Deadline
from harness.core.errors import BadUse, DeadlineExceeded, Unusable
from harness.core.files import expand_user, file_exists
from harness.core.text.host_text import cut_at_word
from harness.services.deadline_socket import dial, quoted
from harness.services.service_kind import NotServing, NotTheService, TurnedAway, WordsUntold

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn

PROTOCOL_3 = 196_608
MAX_ERROR_BYTES = 4096
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# How a server may ask for a password unless the settings say otherwise: by SCRAM neither side tells it to the other. Without a password
# of ours it may also ask for none; libpq might find one on this machine by itself (PGPASSWORD, ~/.pgpass).
WITH_PASSWORD, WITHOUT = "scram-sha-256", "scram-sha-256,none"
KNOWS_REQUIRE_AUTH = 160_000  # libpq 16
VERBOSE = 2  # PQERRORS_VERBOSE: the SQLSTATE is in the message
STATE = re.compile(r":\s+(?=[A-Z]*\d)([0-9A-Z]{5}): ")
PEER = re.compile(r'\bconnection to server at "[^"]*"(?: \([^)]*\))?, port \d+ failed: ')  # of a relay, which says nothing to anybody
WHERE = re.compile(r"\s+LOCATION:  \S.*", re.DOTALL)  # which line of the server's source it was
# SQLSTATEs by which the account or the database of the settings is refused; any other is the server's own trouble (facts PGS-04).
REFUSED = ("28", "3D", "42501")
NO_TLS_ANSWER = "server sent an error response during SSL exchange"  # libpq's word, which leaves the server's own out
FOREIGN = ("invalid response to", "expected authentication request", "unsupported frontend protocol", "received invalid")


class Session:
    """Logs in within the deadline; a context manager that hangs up.

    Raises BadUse when the server turns the account away, ConnectionError when it answers but does not serve (yet), OSError when the
    connection breaks, NotTheService for a foreign protocol, DeadlineExceeded in time.
    """

    def __init__(self, host: str, port: int, settings: dict[str, str], deadline: Deadline) -> None:
        from psycopg import pq

        self._host, self._port = host, port
        # Name and password in one expression, so that no variable holds them for a traceback to show.
        self._connection = pq.PGconn.connect_start(_conninfo(host, port, settings))
        if library := _libpq():
            library.PQsetErrorVerbosity(ctypes.c_void_p(self._connection.pgconn_ptr), VERBOSE)  # type: ignore[attr-defined]  # not in its protocol
        try:
            _connect(self._connection, host, port, deadline)
        except BaseException:
            self._connection.finish()
            raise

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.finish()

    def query(self, question: bytes, deadline: Deadline, *, of: str = "a query") -> list[list[str]]:
        """The rows of the answer, none for a statement that returns none. Raises as the login does; `of` is the query in words."""
        return _query(self._connection, question, f"{self._host}:{self._port}", of, deadline)


def startup_packet(user: str, database: str) -> bytes:
    """What every session begins with, in PostgreSQL's protocol 3.0. Raises BadUse for names that cannot be in it."""
    if not user or "\0" in user + database:
        raise BadUse(f"settings user = {user!r} and dbname = {database!r} must not be empty, and cannot hold a zero byte")
    words = ["user", user, "database", database or user, "application_name", "lkharness"]
    body = struct.pack(">I", PROTOCOL_3) + b"".join(word.encode() + b"\0" for word in words) + b"\0"
    return struct.pack(">I", 4 + len(body)) + body


@cache
def _libpq() -> ctypes.CDLL | None:
    """The libpq that psycopg has loaded: the only fixed part of a server's error is its SQLSTATE, which psycopg does not show of a
    failed log-in (facts PGS-05). None where it cannot be found; then the words decide."""
    try:
        mapped = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    paths = {Path(words[5]) for line in mapped if "libpq" in line and len(words := line.split(maxsplit=5)) == 6}
    return next((ctypes.CDLL(str(path)) for path in sorted(paths) if path.name.startswith("libpq")), None)


def _conninfo(host: str, port: int, settings: dict[str, str]) -> bytes:
    from psycopg import pq
    from psycopg.conninfo import make_conninfo

    user = settings.get("user", "harness")
    secret = service_settings.password(settings)
    if settings.get("sslmode", "prefer") not in SSL_MODES:
        raise BadUse(f"setting sslmode = {settings['sslmode']!r}; known: {', '.join(SSL_MODES)}")
    if pq.version() < KNOWS_REQUIRE_AUTH:
        raise Unusable(f"libpq {pq.version() // 10_000} would tell a password to any server that asks; install psycopg[binary] or libpq 16")
    options: dict[str, str | int] = {
        "host": host,
        "port": port,
        "user": user,
        "dbname": settings.get("dbname", user),
        "sslmode": settings.get("sslmode", "prefer"),
        "gssencmode": "disable",
        "require_auth": settings.get("require_auth", WITH_PASSWORD if secret else WITHOUT),
        "application_name": "lkharness",
    }
    if root_certificate := settings.get("sslrootcert"):
        if root_certificate != "system" and not file_exists(expand_user(root_certificate)):
            raise BadUse(f"sslrootcert {root_certificate} is not a file; give one with the certificates that vouch for this server")
        options["sslrootcert"] = root_certificate if root_certificate == "system" else str(expand_user(root_certificate))
    return make_conninfo("", **options, **({"password": secret.reveal()} if secret else {})).encode()


def _connect(connection: PGconn, host: str, port: int, deadline: Deadline) -> None:
    from psycopg.pq import ConnStatus, PollingStatus

    waiting_for = f"{host}:{port} did not complete PostgreSQL's login"
    if connection.status == ConnStatus.BAD:
        _explain(connection, host, port, deadline)
    polled: int = PollingStatus.WRITING
    while polled != PollingStatus.OK:
        if polled == PollingStatus.FAILED:
            _explain(connection, host, port, deadline)
        _wait(connection, deadline, waiting_for, selectors.EVENT_WRITE if polled == PollingStatus.WRITING else selectors.EVENT_READ)
        polled = connection.connect_poll()


def _query(connection: PGconn, question: bytes, server: str, of: str, deadline: Deadline) -> list[list[str]]:
    from psycopg.pq import ExecStatus

    connection.nonblocking = 1
    connection.send_query(question)
    answer = None
    while True:
        has_unsent = connection.flush()
        if not connection.is_busy():
            result = connection.get_result()
            if result is None:
                break
            answer = result
            continue
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if has_unsent else 0)
        _wait(connection, deadline, f"{server} let us in, but did not answer {of}", events)
        try:
            connection.consume_input()
        except Exception as error:
            raise ConnectionResetError(f"{server} broke the connection during {of}: {_text(connection.error_message)}") from error
    if answer is None or answer.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        error_message = answer.error_message if answer else connection.error_message
        raise NotServing(f"{server} did not answer {of}: {_text(error_message)}")
    return [[(answer.get_value(row, column) or b"").decode() for column in range(answer.nfields)] for row in range(answer.ntuples)]


def _wait(connection: PGconn, deadline: Deadline, description: str, events: int) -> None:
    remaining_s = deadline.remaining()
    with selectors.DefaultSelector() as selector:
        selector.register(connection.socket, events)
        if not remaining_s or not selector.select(remaining_s):
            raise DeadlineExceeded(f"{description} within {deadline.seconds:g} s")


def _explain(connection: PGconn, host: str, port: int, deadline: Deadline) -> None:
    """Raise what a failed login means: the network, a foreign protocol, our settings, or a server that is not ready."""
    error_text = _text(connection.error_message)
    if state := STATE.search(error_text):
        if state[1].startswith(REFUSED):
            raise TurnedAway(f"{host}:{port}: PostgreSQL turned us away: {error_text}; check user, dbname and password of this service")
        raise NotServing(f"{host}:{port}: PostgreSQL answers, but does not serve: {error_text}")
    if "FATAL:" in error_text:  # libpq could not be asked for the SQLSTATE
        if any(hint in error_text for hint in ("authentication", "does not exist", "pg_hba.conf", "no password supplied", "not permitted")):
            raise TurnedAway(f"{host}:{port}: PostgreSQL turned us away: {error_text}; check user, dbname and password of this service")
        raise NotServing(f"{host}:{port}: PostgreSQL answers, but does not serve: {error_text}")
    if connection.needs_password:
        raise BadUse(f"{host}:{port}: PostgreSQL wants a password; give password_file, password_env or password_command for this service")
    if "require_auth" in error_text and "invalid" in error_text:
        raise BadUse(f"setting require_auth: {error_text}")
    if "authentication method requirement" in error_text:
        raise NotTheService(
            f"{host}:{port} wants the log-in in a way that shows the password or proves nothing, and was told nothing: {error_text}; if "
            f"this is "
            "your server, let it ask by scram-sha-256, or say with the setting require_auth what it may do"
        )
    if NO_TLS_ANSWER in error_text:
        raise WordsUntold(f"{host}:{port}: {error_text}")
    if "Connection refused" in error_text:
        raise ConnectionRefusedError(f"{host}:{port} refused the connection")
    if any(hint in error_text for hint in FOREIGN):
        raise NotTheService(
            f"{host}:{port} does not speak PostgreSQL's protocol; it said {_what_it_says(host, port, deadline) or error_text}"
        )
    raise ConnectionResetError(f"{host}:{port}: {error_text}")


def _what_it_says(host: str, port: int, deadline: Deadline) -> str:
    """libpq tells only one letter of a foreign answer: ask again, by hand, what the service says to a PostgreSQL client.

    Empty when it cannot be had a second time; then libpq's letter has to do.
    """
    try:
        with dial(host, port, deadline) as sock:
            sock.sendall(startup_packet("lkharness", "lkharness"))
            return quoted(sock.recv(200))
    except (OSError, DeadlineExceeded):
        return ""


def read_own_words(host: str, port: int, user: str, database: str, deadline: Deadline) -> str:
    """What a server says to a startup packet, where it is an error: it comes before any log-in, and no password is sent. Empty where it
    says anything else. Raises OSError and DeadlineExceeded."""
    with dial(host, port, deadline) as sock:
        sock.sendall(startup_packet(user, database))
        reply = sock.recv(MAX_ERROR_BYTES)
        while reply[:1] == b"E" and not reply.endswith(b"\0") and len(reply) < MAX_ERROR_BYTES and (part := sock.recv(MAX_ERROR_BYTES)):
            reply += part
    error_text = parse_error(reply)
    return f"PostgreSQL answers, but does not serve: {error_text}" if error_text else ""


def parse_error(reply: bytes) -> str:
    """The server's own sentence in an ErrorResponse, or in the error of protocol 2.0, which a server sends that cannot fork (its letter E,
    a text, and a zero byte). Empty for anything else."""
    if reply[:1] != b"E":
        return ""
    fields = reply[5:].split(b"\0")
    if reply[1:2] == b"\0":  # a length below 16 MiB begins with it; a text does not
        text_by_field = {field[:1]: field[1:] for field in fields if field}
        error_text = b": ".join(text_by_field[key] for key in (b"S", b"C", b"M") if key in text_by_field)
    else:
        error_text = reply[1:].partition(b"\0")[0]
    return cut_at_word("".join(c if c.isprintable() else "?" for c in _text(error_text)), 300)


def _text(message: bytes | str) -> str:
    text = message.decode("utf-8", "replace") if isinstance(message, bytes) else message
    return PEER.sub("", " ".join(WHERE.sub("", text).split()))
