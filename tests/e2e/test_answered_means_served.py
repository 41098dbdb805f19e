"""What the meter takes for an answer, given by services that listen and do not serve."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from agent_fixtures import measuring, series
from lab_services import LIMIT, PASSWORD, open_folder, template

from harness.core.deadline import Deadline
from harness.core.errors import BadUse, DeadlineExceeded
from harness.hosts.local_host import LocalHost
from harness.lab.services import node_process, postgres, postgres_template
from harness.services import service_registry
from harness.services.service_kind import Hello, NotTheService
from tests.free_port import free_port


@contextlib.contextmanager
def peer(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """A listener on loopback that treats every connection as `behave` does. Yields its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as door:

        def talk(sock: socket.socket) -> None:
            with contextlib.suppress(OSError), sock:
                behave(sock)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=talk, args=(door.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield door.getsockname()[1]
        door.shutdown(socket.SHUT_RDWR)


def heard_by(port: int, hello: Hello) -> bytes:
    with socket.create_connection(("127.0.0.1", port), LIMIT) as sock:
        sock.sendall(hello.say)
        heard = b""
        while not re.search(hello.expect, heard) and (more := sock.recv(4096)):
            heard += more
    return heard


# --- PostgreSQL


class Server:
    """A real server on loopback whose every session is turned away with 57P03, until it serves."""

    def __init__(self, folder: Path) -> None:
        self.data, self.sockets, self.port = folder / "data", folder / "run", free_port()
        self.log = folder / "log"
        postgres_template.copy_template(template(), self.data)

    def start(self) -> node_process.Process:
        return postgres.start(self.data, "lknode01", port=self.port, bind="127.0.0.1", log=self.log, socket_dir=self.sockets, limit=LIMIT)

    def start_in_vain(self) -> None:
        """It runs, and says itself that it accepts nobody."""
        with contextlib.suppress(postgres.Faulty, DeadlineExceeded):
            self.start()


@contextlib.contextmanager
def a_server() -> Iterator[Server]:
    with open_folder() as folder:
        made = Server(folder)
        (folder / "pw").write_text(PASSWORD + "\n")
        try:
            yield made
        finally:
            postgres.stop(made.data, limit=5)


@pytest.fixture
def server() -> Iterator[Server]:
    with a_server() as made:
        yield made


@pytest.fixture(scope="module")
def serving() -> Iterator[Server]:
    """One that runs, for tests that only ask it."""
    with a_server() as made:
        made.start()
        yield made


def test_a_database_that_recovers_does_not_answer_until_a_session_is_taken_up(server: Server) -> None:
    hello = service_registry.kind("postgres").hello({"user": "harness"})
    standby = server.data / "standby.signal"
    with (server.data / "postgresql.auto.conf").open("a") as more:
        more.write("hot_standby = off\nwal_level = replica\n")
    server.start()  # once, so that its WAL is one that a standby takes
    postgres.stop(server.data, limit=LIMIT)
    standby.touch()
    threading.Thread(target=server.start_in_vain, daemon=True).start()
    Deadline(LIMIT).wait_for(lambda: listens(server.port), what="the port being open", every=0.02)
    turned_away = heard_by(server.port, hello)
    assert b"57P03" in turned_away and not re.search(hello.expect, turned_away)
    with pytest.raises(ConnectionAbortedError, match="57P03"):
        ask(server, {"user": "harness", "password_file": str(server.data.parent / "pw")})
    postgres.stop(server.data, limit=LIMIT)
    standby.unlink()
    server.start()
    assert heard_by(server.port, hello).startswith(b"R")
    refused = heard_by(server.port, service_registry.kind("postgres").hello({"user": "postgres", "dbname": "nowhere"}))
    assert re.search(hello.expect, refused), "asked for a password, or told that there is no such database: it serves"


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def ask(server: Server, settings: dict[str, str]) -> str:
    return service_registry.kind("postgres").who_are_you("127.0.0.1", server.port, settings=settings, deadline=Deadline(LIMIT)).said


@pytest.mark.parametrize(
    ("settings", "state"), [({"user": "nobody-of-ours"}, "28P01"), ({"dbname": "nowhere"}, "3D000"), ({"password": "wrong"}, "28P01")]
)
def test_what_is_refused_is_told_by_its_code_in_any_language(serving: Server, settings: dict[str, str], state: str, tmp_path: Path) -> None:
    wrong = tmp_path / "pw"
    wrong.write_text(settings.pop("password", PASSWORD) + "\n")
    with pytest.raises(BadUse, match=rf"turned us away: .*{state}"):
        ask(serving, {"user": "harness", "password_file": str(wrong), **settings})


@pytest.mark.parametrize(
    ("wants", "named"),
    [(b"\0\0\0\x08\0\0\0\x03", "cleartext"), (b"\0\0\0\x0c\0\0\0\x05salt", "md5|hashed"), (b"\0\0\0\x08\0\0\0\0", "authentication")],
)
def test_a_password_is_told_to_nobody_who_asks_for_it_in_the_clear(wants: bytes, named: str, tmp_path: Path) -> None:
    told: list[bytes] = []

    def asks(sock: socket.socket) -> None:
        while len(sock.recv(4096)) == 8:  # an SSLRequest
            sock.sendall(b"N")
        sock.sendall(b"R" + wants)
        while more := sock.recv(4096):
            told.append(more)

    (tmp_path / "pw").write_text("Customer-DB-pa55\n")
    with peer(asks) as port, pytest.raises(NotTheService, match=named) as raised:
        settings = {"user": "app", "password_file": str(tmp_path / "pw")}
        service_registry.kind("postgres").who_are_you("127.0.0.1", port, settings=settings, deadline=Deadline(LIMIT))
    assert b"pa55" not in b"".join(told) and "require_auth" in str(raised.value)
    with peer(asks) as port, pytest.raises((OSError, DeadlineExceeded, NotTheService)):
        service_registry.kind("postgres").who_are_you(
            "127.0.0.1", port, settings={**settings, "require_auth": "password"}, deadline=Deadline(0.5)
        )
    assert (b"pa55" in b"".join(told)) is (named == "cleartext"), "only where the file says so"


@pytest.mark.parametrize("settings", [{"require_auth": "plain"}, {"sslmode": "verify-ca", "sslrootcert": "/nowhere/ca.pem"}])
def test_wrong_ways_to_prove_who_one_is_are_told(settings: dict[str, str]) -> None:
    with peer(lambda sock: sock.sendall(b"S") if sock.recv(100) else None) as port, pytest.raises(BadUse):
        service_registry.kind("postgres").who_are_you("127.0.0.1", port, settings=settings, deadline=Deadline(LIMIT))


# --- HTTP


def http(answer: bytes, requests: list[bytes]) -> Callable[[socket.socket], None]:
    def behave(sock: socket.socket) -> None:
        while said := sock.recv(4096):
            requests.append(said)
            sock.sendall(answer)

    return behave


def test_a_web_server_that_allows_no_head_is_asked_as_its_clients_ask_it(tmp_path: Path) -> None:
    requests: list[bytes] = []
    hello = service_registry.kind("http").hello({"host_header": "10.20.1.200"})
    words = {"say": hello.say, "expect": hello.expect}
    serves = http(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", requests)
    with peer(serves) as port, measuring(LocalHost("here"), tmp_path, series("t", port, **words)) as (_, seen):
        seen.wait_rows("t", 5, "answered")
    assert {one.partition(b"\r\n")[0] for one in requests} == {b"GET / HTTP/1.1"}


def test_a_503_says_who_sent_it(tmp_path: Path) -> None:
    pool = b"HTTP/1.1 503 Service Unavailable\r\nServer: Microsoft-HTTPAPI/2.0\r\nContent-Length: 0\r\n\r\n"
    hello = service_registry.kind("http").hello({})
    with peer(http(pool, [])) as port:
        with measuring(LocalHost("here"), tmp_path, series("t", port, say=hello.say, expect=hello.expect, limit_s=1.0)) as (_, seen):
            seen.wait_rows("t", 2)
        with pytest.raises(NotTheService, match=r"HTTP\.sys sent it, not IIS .*application pool is stopped"):
            service_registry.kind("http").who_are_you("127.0.0.1", port, settings={}, deadline=Deadline(LIMIT))
    assert "answered" not in seen.outcomes("t")
    assert "by Server: Microsoft-HTTPAPI/2.0" in seen.rows["t"][0].detail


# --- Oracle


def tns(kind: int, text: bytes = b"") -> bytes:
    body = (b"\x22\0" + len(text).to_bytes(2, "big") + text) if kind == 4 else text
    return (8 + len(body)).to_bytes(2, "big") + b"\0\0" + bytes([kind]) + b"\0\0\0" + body


PING_ANSWER = tns(4, b"(DESCRIPTION=(TMP=)(VSNNUM=318767104)(ERR=0)(ALIAS=LISTENER))")
NO_SERVICE = tns(4, b"(DESCRIPTION=(TMP=)(VSNNUM=318767104)(ERR=12514))")
REDIRECT = tns(5, b"\0\x3e(ADDRESS=(PROTOCOL=tcp)(HOST=10.99.0.7)(PORT=49152))")


def listener(answers: list[bytes]) -> Callable[[socket.socket], None]:
    """Pings are answered as ever; connects to a service by one answer after the other."""

    def behave(sock: socket.socket) -> None:
        left = list(answers)
        while said := sock.recv(4096):
            sock.sendall(PING_ANSWER if b"COMMAND=ping" in said else left.pop(0))

    return behave


@pytest.mark.parametrize(
    ("answers", "answered"),
    [
        ([tns(2, bytes(24))], True),
        ([tns(11), tns(2, bytes(24))], True),
        ([NO_SERVICE], False),
        ([REDIRECT], False),
        ([tns(11), NO_SERVICE], False),
    ],
)
def test_with_a_service_name_only_an_instance_that_takes_the_connection_up_answers(answers, answered: bool, tmp_path: Path) -> None:
    hello = service_registry.kind("oracle").hello({"service_name": "payroll.example"})
    assert hello.least_period_s == 0.25
    words = {"say": hello.say, "expect": hello.expect, "again": hello.again, "limit_s": 20.0 if answered else 1.0}
    with peer(listener(answers)) as port, measuring(LocalHost("here"), tmp_path, series("t", port, **words)) as (_, seen):
        seen.wait_rows("t", 3)
    assert ("answered" in seen.outcomes("t")) is answered
    if NO_SERVICE in answers:
        assert "ORA-12514" in seen.rows["t"][0].detail


@pytest.mark.parametrize(
    ("answer", "raised", "said"),
    [
        (
            NO_SERVICE,
            ConnectionAbortedError,
            "the listener answers, but refuses the service payroll: ORA-12514, no instance has registered",
        ),
        (REDIRECT, NotTheService, r"redirects a connect to payroll to 10\.99\.0\.7, port 49152, past the load balancer.* not followed"),
    ],
)
def test_a_listener_without_its_service_is_told(answer: bytes, raised: type[Exception], said: str) -> None:
    oracle = service_registry.kind("oracle")
    with peer(listener([answer])) as port, pytest.raises(raised, match=said):
        oracle.is_it_really_you("127.0.0.1", port, settings={"service_name": "payroll"}, deadline=Deadline(LIMIT))  # type: ignore[attr-defined]


@pytest.mark.parametrize("settings", [{"service_name": "a)(b"}, {"service_name": "a", "service_every_s": "never"}])
def test_settings_of_a_service_that_cannot_be_are_told(settings: dict[str, str]) -> None:
    with pytest.raises(BadUse):
        service_registry.kind("oracle").hello(settings)
