"""A session with a SQL Server in which every wait has a deadline: python-tds over `tds_transport`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from harness.config import service_settings
from harness.core.deadline import Deadline
from harness.core.errors import BadUse, Unusable
from harness.services import certificates
from harness.services.deadline_socket import dial
from harness.services.service_kind import NotServing, TurnedAway, WrongAnswer
from harness.services.sqlserver.tds_protocol import ServerError
from harness.services.sqlserver.tds_transport import Encryption, Stop, TdsTransport

logging.getLogger("pytds").addHandler(logging.NullHandler())  # what it would print of time-outs is in the errors that it raises
ENCRYPT = ("yes", "no", "login", "strict")
NO_DATABASE = {
    4060: "it cannot be opened: it is not there, this account may not use it, or it is not recovered yet",
    911: "it is not there",
}
REFUSED = {
    18456: "name or password is wrong, or the account may not log in",
    18452: "a Windows account of a domain that is not trusted",
    18470: "the account is disabled",
    18486: "the account is locked",
    18487: "the password has expired",
    18488: "the password has to be changed first",
    17892: "a logon trigger refused it",
}
# Of a server that is there and serves nobody, or not this database, just now (facts SQL-68).
NOT_SERVING = {
    17187: "it is still starting",
    17142: "it is paused and takes no new connections",
    17188: "it is shutting down",
    18401: "it runs its upgrade scripts, and lets only administrators in",
    18451: "it lets only administrators in",
    18461: "it is in single-user mode",
    17809: "it has too many connections",
    10928: "its limit of sessions or of requests at once is reached",
    17197: "the log-in took it too long",
    921: "the database is not recovered yet",
    922: "the database is being recovered",
    941: "the database is not started",
    923: "the database is restricted to its owners",
    924: "the database is in single-user mode",
    926: "the database is suspect",
    927: "the database is being restored",
    942: "the database is offline",
    945: "files, memory or disk space of the database are missing",
    952: "the database is in transition",
    954: "the database is a mirror",
    976: "the database is an availability group's secondary, and not readable",
    978: "the database takes only connections with read intent",
    979: "the database takes no connections with read intent",
    983: "the replica is neither primary nor secondary",
    988: "the availability group has no quorum",
}


class Session:
    """Logs in within the deadline; a context manager that hangs up.

    Raises TurnedAway for the account, the database or encryption that the settings say, WrongAnswer for a certificate or a redirection,
    ConnectionError when the server answers but does not serve (yet), OSError when the connection breaks, NotTheService for a foreign
    protocol, DeadlineExceeded in time, Unusable without python-tds.
    """

    def __init__(self, host: str, port: int, settings: Mapping[str, str], deadline: Deadline) -> None:
        try:
            import pytds
        except ImportError:
            raise Unusable("python-tds is not installed; install it with: pip install 'lkharness[mssql]'") from None
        self._server = f"{host}:{port}"
        user, database = settings.get("user", "harness"), settings.get("database", "")
        if not service_settings.password(settings):
            raise BadUse("services of kind mssql need password_file, password_env or password_command; SQL Server lets nobody in without")
        encryption = encryption_of(settings)
        self._transport = TdsTransport(
            dial(host, port, deadline), self._server, encryption, lambda errors: explain_errors(errors, self._server, user, database)
        )
        self._transport.sock.what = f"{self._server} accepted the connection, but did not complete SQL Server's log-in"
        try:
            self._connection = pytds.connect(
                dsn=host,
                port=port,
                user=user,
                password=_reveal_password(settings),
                database=database,
                appname="lkharness",
                autocommit=True,
                sock=self._transport,
                login_timeout=max(deadline.remaining(), 0.1),
                disable_connect_retry=True,
            )
        except Stop as stop:
            self._transport.close()
            raise stop.error from None
        except BaseException as error:
            self._transport.close()
            if isinstance(error, pytds.Error | ValueError | AssertionError):
                raise WrongAnswer(f"{self._server}: its answer to the log-in was not understood: {error}") from error
            raise

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._transport.close()

    @property
    def certificate(self) -> bytes | None:
        """The server's certificate (DER), None where nothing is encrypted."""
        return self._transport.certificate

    def query(self, question: str, deadline: Deadline, *, of: str = "a query") -> list[tuple[Any, ...]]:
        """The rows of the answer, none for a statement that returns none. Raises as the login does; `of` is the query in words."""
        import pytds

        self._transport.sock.deadline = deadline
        self._transport.sock.what = f"{self._server} let us in, but did not answer {of}"
        cursor = self._connection.cursor()
        try:
            cursor.execute(question)
            return list(cursor.fetchall()) if cursor.description else []
        except Stop as stop:
            raise stop.error from None
        except pytds.Error as error:
            number = getattr(error, "number", 0)
            error_text = f"error {number}: {error}" if number else str(error)
            raise NotServing(f"{self._server} did not answer {of}: {' '.join(error_text.split())}") from error


def _reveal_password(settings: Mapping[str, str]) -> str:
    """Read once more where it is used, so that no variable holds it for a traceback to show."""
    secret = service_settings.password(settings)
    return secret.reveal() if secret else ""


def encryption_of(settings: Mapping[str, str]) -> Encryption:
    """As the settings say. Raises BadUse."""
    mode = service_settings.one_of(settings, "encrypt", ENCRYPT) or "yes"
    return Encryption(mode, certificates.context_of(settings), settings.get("certificate_name", ""))


def explain_errors(errors: list[ServerError], server: str, user: str, database: str) -> Exception:
    """What a refused log-in means. Two errors come where a database cannot be opened, and the second one looks like a wrong password
    (facts SQL-32): so each is looked for in turn."""
    errors_text = "; ".join(str(error) for error in errors)
    numbers = [error.number for error in errors]
    for number in numbers:
        if number in NOT_SERVING:
            return NotServing(f"{server}: SQL Server answers, but does not serve: {NOT_SERVING[number]}: {errors_text}")
    for number in numbers:
        if number in NO_DATABASE:
            return TurnedAway(f"{server}: SQL Server turned us away from the database {database!r}: {NO_DATABASE[number]}: {errors_text}")
    for number in numbers:
        if number in REFUSED:
            return TurnedAway(
                f"{server}: SQL Server turned {user!r} away: {REFUSED[number]}: {errors_text}; check user and password of this service"
            )
    return NotServing(f"{server}: SQL Server answers, but does not let us in: {errors_text}")
