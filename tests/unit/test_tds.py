"""What SQL Server's kind makes of a server that is none, says nothing, is not ready, or sends its clients elsewhere; and what a log-in
leaves in logs. A few bytes stand for each server."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded
from harness.lab.services.tds import tds_request, tds_response, tsql_translation
from harness.services import service_registry
from harness.services.kinds.mssql import ServerAnswer, server_findings
from harness.services.service_kind import NotTheService, TurnedAway, WrongAnswer
from harness.services.sqlserver import tds_protocol
from harness.services.sqlserver.sqlserver_session import explain_errors

pytest.importorskip("pytds", reason="python-tds is not installed; `./run setup` installs it")

SECRET = "tr0ub4dor"
MSSQL = service_registry.kind("mssql")
PRELOGIN = tds_protocol.packet(
    tds_protocol.REPLY,
    tds_protocol.prelogin({tds_protocol.VERSION: b"\x10\0\0\0\0\0", tds_protocol.ENCRYPTION: bytes([tds_protocol.NOT_SUPPORTED])}),
)


def error(number: int, text: str = "…") -> bytes:
    return tds_response.error(number, 14, text, "SQL01")


def routing(host: str, port: int) -> bytes:
    name = host.encode("utf-16-le")
    body = struct.pack("<BHBHH", tds_protocol.ROUTING, 5 + len(name), 0, port, len(name) // 2) + name + b"\0\0"
    return struct.pack("<BH", tds_protocol.ENVCHANGE, len(body)) + body


ROUTED = routing("sql2", 1433)


@contextmanager
def server(*answers: bytes, hangs: bool = False) -> Iterator[int]:
    """Says one of the answers to each thing that it hears, then ends the connection, or (hangs) says no more."""
    over = threading.Event()

    def talk(door: socket.socket) -> None:
        sock, _ = door.accept()
        with sock:
            for one in answers:
                if not sock.recv(65536):
                    return
                sock.sendall(one)
            if hangs:
                over.wait(60)
            else:  # what is not read would make it a reset, whose words are the kernel's
                with contextlib.suppress(OSError):  # the client may be gone
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(65536):
                        pass

    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = threading.Thread(target=talk, args=(door,), daemon=True)
        thread.start()
        yield door.getsockname()[1]
        over.set()


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., str]:
    (tmp_path / "pw").write_text(SECRET + "\n")

    def asked(port: int, *, limit: float = 60.0, **more: str) -> str:
        settings = {"password_file": str(tmp_path / "pw"), "encrypt": "no", **more}
        return MSSQL.who_are_you("127.0.0.1", port, settings=settings, deadline=Deadline(limit)).said

    return asked


@pytest.mark.parametrize(
    ("says", "raises", "words"),
    [
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], NotTheService, "does not speak SQL Server's protocol"),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], NotTheService, "does not speak SQL Server's protocol"),
        ([tds_protocol.packet(tds_protocol.REPLY, b"\xff")], NotTheService, "does not speak SQL Server's protocol"),
        ([b"\x04\x01\x00\x02"], NotTheService, "does not speak SQL Server's protocol"),
        ([b"x"], NotTheService, "does not speak SQL Server's protocol"),
        ([b""], ConnectionResetError, "without a word"),
        ([PRELOGIN], ConnectionResetError, "closed the connection"),
        (
            [PRELOGIN, tds_protocol.packet(tds_protocol.REPLY, error(4060) + error(18456) + tds_response.done(2))],
            TurnedAway,
            "from the database",
        ),
        ([PRELOGIN, tds_protocol.packet(tds_protocol.REPLY, error(18456) + tds_response.done(2))], TurnedAway, "'harness' away"),
        (
            [PRELOGIN, tds_protocol.packet(tds_protocol.REPLY, error(17187) + tds_response.done(2))],
            ConnectionAbortedError,
            "still starting",
        ),
        (
            [PRELOGIN, tds_protocol.packet(tds_protocol.REPLY, error(99999) + tds_response.done(2))],
            ConnectionAbortedError,
            "does not let us in: error 99999",
        ),
        (
            [PRELOGIN, tds_protocol.packet(tds_protocol.REPLY, tds_response.login_ack("x") + routing("sql2", 1433) + tds_response.done())],
            WrongAnswer,
            "on to sql2, port 1433",
        ),
        ([PRELOGIN, tds_protocol.packet(tds_protocol.REPLY, b"\x99garbage")], WrongAnswer, "was not understood"),
    ],
)
def test_what_is_said_of_it(says: list[bytes], raises: type[Exception], words: str, ask: Callable[..., str]) -> None:
    with server(*says) as port, pytest.raises(raises, match=words):
        ask(port)


def test_one_that_says_nothing_is_left_in_time(ask: Callable[..., str]) -> None:
    for says in ([], [PRELOGIN]):  # a busy machine may need a while to connect
        with server(*says, hangs=True) as port, pytest.raises(DeadlineExceeded, match=r"did not complete SQL Server's log-in within 3 s"):
            ask(port, limit=3.0)


def test_encryption_that_is_not_to_be_had_is_said_before_the_password_is(ask: Callable[..., str]) -> None:
    forced = tds_protocol.packet(
        tds_protocol.REPLY,
        tds_protocol.prelogin({tds_protocol.VERSION: b"\x10\0\0\0\0\0", tds_protocol.ENCRYPTION: bytes([tds_protocol.REQUIRED])}),
    )
    for mode, says, raises, words in (
        ("yes", PRELOGIN, WrongAnswer, "nothing of the account was told"),
        ("login", PRELOGIN, WrongAnswer, "the password was not told"),
        ("no", forced, TurnedAway, "demands encryption"),
    ):
        with server(says, hangs=True) as port, pytest.raises(raises, match=words):
            ask(port, encrypt=mode)


def test_no_log_has_the_password(ask: Callable[..., str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    refusal = tds_protocol.packet(tds_protocol.REPLY, error(18456) + tds_response.done(2))
    with server(PRELOGIN, refusal) as port, pytest.raises(TurnedAway) as told:
        ask(port)
    assert SECRET not in caplog.text + str(told.value) + repr(told.value)


def test_a_database_that_recovers_is_no_wrong_password() -> None:
    errors = [
        tds_protocol.ServerError(922, 1, 14, "", ""),
        tds_protocol.ServerError(4060, 1, 11, "", ""),
        tds_protocol.ServerError(18456, 1, 14, "", ""),
    ]
    assert isinstance(explain_errors(errors, "10.20.1.200:1433", "app", "shop"), ConnectionAbortedError)


def test_findings_by_what_it_says_of_itself() -> None:
    fine = ServerAnswer("SQL01", "LKNODE01", "", "16.0", "10.20.1.11", "100", "READ_WRITE", "DISABLED", "0", "shop")
    assert server_findings(fine) == []
    found = server_findings(fine._replace(instance="PAY", durability="FORCED", in_group="1"))
    assert [one.what for one in found] == ["named instance", "durability", "MultiSubnetFailover"]
    assert "UDP 1434" in found[0].says and "SQL-87" in found[1].facts


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("set nocount on", [("ignored", "set nocount on")]),
        ("begin tran; insert into [a b] values (N'x;y'); commit", ["begin", "insert into \"a b\" values ('x;y')", "commit"]),
        ("select top 2 * from t", ["select * from t limit 2"]),
        ("select @@servername", ["select current_setting('tsql.server')"]),
        ("use master", [("use", "master")]),
        ("waitfor delay '00:00:02'", ["do $$ begin perform pg_sleep(2); end $$"]),
    ],
)
def test_the_stand_in_reads_t_sql(said: str, meant: list[str | tuple[str, str]]) -> None:
    made = tsql_translation.statements(said)
    for one, wanted in zip(made, meant, strict=True):
        if isinstance(wanted, tuple):
            assert (one.kind, one.sql) == wanted
        else:
            assert wanted in (one.kind, " ".join(one.sql.split()))


def test_parameters_of_a_call_keep_their_names_out_of_literals() -> None:
    assert tsql_translation.declared_names("@a int, @b nvarchar(10), @c decimal(10, 2)") == ["@a", "@b", "@c"]
    assert tsql_translation.with_parameters("select @b, '@a', @a, @@spid", ["@a", "@b"]) == "select $2, '@a', $1, @@spid"


def test_a_log_in_that_is_cut_short_is_bad() -> None:
    for body in (b"", struct.pack("<I", 500) + b"\0" * 90):
        with pytest.raises(tds_request.Bad):
            tds_request.login7(body)
