"""The lab's services as real processes on loopback, asked by the real drivers and by the harness's own dialogues."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import oracledb
import psycopg
import pytest

from harness.deadline import Deadline
from harness.errors import BadUse
from harness.lab.services import postgres, postgres_template, process
from harness.services import registry, tns
from harness.services.base import Identity, NotTheService

PASSWORD = "s3cret of the lab's database"
LIMIT = 30.0
GREETING = r"^lab-echo (?P<node>\S+) (?P<started>[\d.]+)$"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Unit:
    """One stand-in service, driven through `unit` as the cluster manager drives it."""

    def __init__(self, folder: Path, service: str, protocol: str, *extra: str) -> None:
        self.folder, self.port = folder, free_port()
        self.pid_file, self.log = folder / f"{service}.pid", folder / f"{service}.log"
        self.words = ["--name", service, "--pid-file", str(self.pid_file), "--protocol", protocol, "--port", str(self.port)]
        self.words += ["--log", str(self.log), "--limit", "3"]
        self.service = ["--", service, "--port", str(self.port), "--bind", "127.0.0.1", "--node", "lknode01", *extra]

    def do(self, action: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "harness.lab.services.unit", action, *self.words]
        return subprocess.run([*words, *(self.service if "start" in action else [])], capture_output=True, text=True, timeout=LIMIT)

    @property
    def process(self) -> process.Process:
        found = process.written_in(self.pid_file)
        assert found is not None, self.log.read_text()
        return found

    def ask(self, kind: str, **settings: str) -> Identity:
        return registry.kind(kind).who_are_you("127.0.0.1", self.port, settings=settings, deadline=Deadline(LIMIT))

    def raw(self, *pieces: bytes) -> bytes:
        """Say something, end our side, and return all that comes back."""
        with socket.create_connection(("127.0.0.1", self.port), LIMIT) as sock:
            for piece in pieces:
                sock.sendall(piece)
            with contextlib.suppress(OSError):  # it has heard enough and closed already
                sock.shutdown(socket.SHUT_WR)
            heard = b""
            with contextlib.suppress(ConnectionResetError):
                while more := sock.recv(4096):
                    heard += more
            return heard


@contextlib.contextmanager
def started(unit: Unit) -> Iterator[Unit]:
    done = unit.do("start")
    try:
        assert done.returncode == 0, done.stderr
        yield unit
    finally:
        unit.do("stop")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Short and open to the postgres account, which pytest's own folders are not."""
    with tempfile.TemporaryDirectory(prefix="lks-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def listener(folder: Path) -> Iterator[Unit]:
    with started(Unit(folder, "tns_listener", "tns", "--alias", "LISTENER_lknode01")) as unit:
        yield unit


@pytest.fixture(scope="module")
def web(folder: Path) -> Iterator[Unit]:
    with started(Unit(folder, "http_server", "http", "--status-file", str(folder / "healthz"))) as unit:
        yield unit


@pytest.fixture(scope="module")
def echo(folder: Path) -> Iterator[Unit]:
    with started(Unit(folder, "echo", "echo", "--udp")) as unit:
        yield unit


# --- the listener


def oracle_refusal(port: int, **target: str) -> str:
    with pytest.raises(oracledb.Error) as raised:
        oracledb.connect(user="scott", password="tiger", host="127.0.0.1", port=port, tcp_connect_timeout=LIMIT, **target)
    return str(raised.value)


@pytest.mark.parametrize("length", [8, 600, 6000])
def test_oracledb_reads_an_unknown_service(listener: Unit, length: int) -> None:
    """Over 230 bytes of connect data python-oracledb sends them in a packet of their own."""
    assert "DPY-6001" in oracle_refusal(listener.port, service_name="x" * length)


def test_oracledb_reads_an_unknown_sid(listener: Unit) -> None:
    assert "DPY-6003" in oracle_refusal(listener.port, sid="ORCL")


def test_the_oracle_dialogue_tells_the_node_by_the_alias(listener: Unit) -> None:
    identity = listener.ask("oracle", alias_pattern="LISTENER_(?P<node>.+)")
    assert identity.node == "lknode01"
    assert identity.facts == {"alias": "LISTENER_lknode01", "version": "19.0.0.0.0", "ping_error": "0"}
    assert listener.ask("oracle").node is None


@pytest.mark.parametrize("command", ["status", "version", "services", "stop"])
def test_commands_from_afar_are_refused_like_a_locked_listener(listener: Unit, command: str) -> None:
    answer = listener.raw(tns.connect_packet(f"(CONNECT_DATA=(COMMAND={command}))"))
    assert answer[4] == 4 and b"(ERR=1189)" in answer
    assert listener.do("check").returncode == 0


MALFORMED = {
    "nothing": b"",
    "text": b"GET / HTTP/1.1\r\n\r\n",
    "half a header": b"\x00\x3a\x00",
    "length 0": bytes(8),
    "longer than sent": b"\x7f\x00\x00\x00\x01\x00\x00\x00",
    "data first": b"\x00\x0b\x00\x00\x06\x00\x00\x00\x00\x00x",
    "short connect": b"\x00\x0a\x00\x00\x01\x00\x00\x00\x01\x36",
    "data before its packet": tns.connect_packet("()")[:26] + b"\x00\x01" + tns.connect_packet("()")[28:],
    "endless connect data": tns.connect_packet("()")[:24] + b"\xff\xff" + tns.connect_packet("()")[26:],
    "no name-value string": tns.connect_packet("hello"),
    "unbalanced": tns.connect_packet("((((COMMAND=ping)"),
    "empty name": tns.connect_packet("(CONNECT_DATA=(SERVICE_NAME=))"),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_input_does_not_kill_the_listener(listener: Unit, data: bytes) -> None:
    before = listener.process
    answer = listener.raw(data)
    assert b"(ERR=0)" not in answer
    assert listener.process == before
    assert listener.ask("oracle").facts["ping_error"] == "0"
    assert "Traceback" not in listener.log.read_text()


def test_a_connect_that_comes_byte_by_byte_is_answered(listener: Unit) -> None:
    pieces = [bytes([byte]) for byte in tns.connect_packet(tns.PING)]
    assert b"(ERR=0)(ALIAS=LISTENER_lknode01)" in listener.raw(*pieces)


def test_the_listener_says_that_it_is_a_stand_in(listener: Unit) -> None:
    assert "stand-in for an Oracle TNS listener" in listener.log.read_text().splitlines()[0]
    words = [sys.executable, "-m", "harness.lab.services.tns_listener", "--version"]
    assert "not Oracle software" in subprocess.run(words, capture_output=True, text=True, check=True).stdout


# --- the web server


def test_the_web_server_tells_its_node_and_start(web: Unit) -> None:
    identity = web.ask("http")
    assert identity.node == "lknode01"
    assert identity.started is not None and abs(identity.started - time.time()) < 600


def test_healthz_has_the_status_of_the_file(web: Unit, folder: Path) -> None:
    status = folder / "healthz"
    assert web.ask("http", path="/healthz").facts["status"] == "200"
    status.write_text("503\n")
    assert web.ask("http", path="/healthz", status="503").said == "503 Service Unavailable"
    with pytest.raises(NotTheService, match="GET /healthz with 503 Service Unavailable, not 200"):
        web.ask("http", path="/healthz")
    status.write_text("fine")
    with pytest.raises(NotTheService, match="must hold a status code"):
        web.ask("http", path="/healthz")
    status.unlink()


def test_connections_are_kept_alive_for_get_and_head(web: Unit) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=LIMIT)
    with contextlib.closing(connection):
        used = set()
        for method, length in (("GET", True), ("HEAD", False), ("GET", True)):
            connection.request(method, "/")
            answer = connection.getresponse()
            assert answer.status == 200
            assert bool(answer.read()) is length
            used.add(connection.sock.getsockname())
    assert len(used) == 1


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", b"400"),
        (b"GET\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.0\r\n\r\n", b"200"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", b"405"),
        (b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n", b"404"),
        (b"GET /" + b"a" * 9000, b"400"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200, b"400"),
    ],
)
def test_requests_that_are_wrong_get_their_status(web: Unit, request_bytes: bytes, status: bytes) -> None:
    assert web.raw(request_bytes).startswith(b"HTTP/1.1 " + status)


# --- echo


def test_echo_greets_and_echoes(echo: Unit) -> None:
    identity = echo.ask("tcp", greeting=GREETING)
    assert identity.node == "lknode01" and identity.started is not None
    assert echo.raw(b"one", b"two").endswith(b"\nonetwo")


def test_a_datagram_comes_back_from_where_it_was_sent_to_with_the_nodes_name(echo: Unit, folder: Path) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(LIMIT)
        sock.sendto(b"ping", ("127.0.0.1", echo.port))
        assert sock.recvfrom(100) == (b"lknode01 ping", ("127.0.0.1", echo.port))
    unit = Unit(folder, "echo", "echo", "--udp", "--bind", "0.0.0.0")  # bound to any address: routing would pick 127.0.0.1
    unit.pid_file = folder / "any.pid"
    unit.words[3] = str(unit.pid_file)
    with started(unit), socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(LIMIT)
        sock.sendto(b"ping", ("127.0.0.2", unit.port))
        assert sock.recvfrom(100) == (b"lknode01 ping", ("127.0.0.2", unit.port))


# --- unit


def test_a_unit_starts_checks_restarts_and_stops(folder: Path) -> None:
    unit = Unit(folder / "cycle", "echo", "echo")
    unit.folder.mkdir()
    with started(unit):
        first = unit.process
        assert "already runs" in unit.do("start").stdout
        assert unit.process == first
        assert unit.do("check").returncode == 0
        assert unit.do("restart").returncode == 0
        assert unit.process != first and not first.alive
    assert not unit.pid_file.exists()
    assert unit.do("stop").returncode == 0
    assert "does not run" in (checked := unit.do("check")).stderr and checked.returncode == 1


def test_a_frozen_service_fails_its_check_and_is_stopped_by_force(folder: Path) -> None:
    unit = Unit(folder / "frozen", "tns_listener", "tns")
    unit.folder.mkdir()
    unit.words[-1] = "0.5"
    with started(unit):
        os.kill(unit.process.pid, signal.SIGSTOP)
        checked = unit.do("check")
        assert checked.returncode == 1 and "did not answer within 0.5 s" in checked.stderr
        assert "SIGKILL" in unit.do("stop").stdout


def test_a_pid_file_of_before_a_crash_is_not_believed(folder: Path) -> None:
    """A pid that lives on under another process is the rule in a small pid namespace."""
    unit = Unit(folder / "stale", "echo", "echo")
    unit.folder.mkdir()
    with subprocess.Popen(["sleep", "60"]) as somebody:
        try:
            unit.pid_file.write_text(f"{somebody.pid} 1\n")
            with started(unit):
                assert unit.process.pid != somebody.pid
            assert somebody.poll() is None
        finally:
            somebody.kill()


def test_a_taken_port_is_said(folder: Path, web: Unit) -> None:
    unit = Unit(folder / "taken", "echo", "echo")
    unit.folder.mkdir()
    unit.port = web.port
    unit.service[unit.service.index("--port") + 1] = str(web.port)
    done = unit.do("start")
    assert done.returncode == 1 and "Address already in use; end the process that holds the port" in done.stderr
    assert not unit.pid_file.exists()


# --- PostgreSQL


class Database:
    def __init__(self, folder: Path, template: Path) -> None:
        self.data, self.log, self.sockets = folder / "data", folder / "log", folder / "run"
        self.port = free_port()
        postgres_template.copy_template(template, self.data)
        (folder / "pw").write_text(PASSWORD + "\nnot this\n")
        self.settings = {"user": "harness", "password_file": str(folder / "pw")}

    def start(self, node: str = "lknode01") -> process.Process:
        return postgres.start(self.data, node, port=self.port, bind="127.0.0.1", log=self.log, socket_dir=self.sockets, limit=LIMIT)

    def check(self, limit: float = LIMIT) -> str:
        return postgres.check(self.data, port=self.port, socket_dir=self.sockets, limit=limit)

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(host="127.0.0.1", port=self.port, user="harness", password=PASSWORD, connect_timeout=10)

    def ask(self, **more: str) -> Identity:
        return registry.kind("postgres").who_are_you("127.0.0.1", self.port, settings={**self.settings, **more}, deadline=Deadline(LIMIT))


@pytest.fixture(scope="module")
def template(folder: Path) -> Path:
    return postgres_template.ensure_template(folder / "cache", PASSWORD)


@pytest.fixture
def database(template: Path) -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix="lkd-") as name:
        Path(name).chmod(0o755)
        database = Database(Path(name), template)
        try:
            yield database
        finally:
            postgres.stop(database.data, limit=5)


def test_postgres_tells_its_node_address_and_start(database: Database) -> None:
    before = time.time()
    database.start()
    identity = database.ask()
    assert (identity.node, identity.address) == ("lknode01", "127.0.0.1")
    assert identity.started is not None and before - 2 <= identity.started <= time.time() + 2
    assert identity.facts["in_recovery"] == "no"
    assert "answers" in database.check()


def test_committed_data_survives_the_postmasters_death_and_a_move(database: Database) -> None:
    running = database.start("lknode01")
    with database.connect() as connection:
        connection.execute("create table kept (n int)")
        connection.execute("insert into kept select generate_series(1, 1000)")
        connection.commit()
        connection.execute("insert into kept values (-1)")  # never committed
        os.kill(running.pid, signal.SIGKILL)
        assert process.gone_within(running, Deadline(LIMIT))
        with pytest.raises(postgres.Faulty, match="does not run"):
            database.check()
        with contextlib.suppress(psycopg.OperationalError):  # leaving this connection now finds it broken
            connection.rollback()
    # What the other node finds on the shared disk: a pid that means another process there.
    pid_file = database.data / "postmaster.pid"
    pid_file.write_text(re.sub(r"^\d+", str(os.getpid()), pid_file.read_text()))
    database.start("lknode02")
    with database.connect() as connection:
        assert connection.execute("select count(*), min(n) from kept").fetchone() == (1000, 1)
    assert database.ask().node == "lknode02"
    assert "not properly shut down; automatic recovery in progress" in database.log.read_text()


def test_starting_twice_is_starting_once(database: Database) -> None:
    assert database.start() == database.start()


def test_stop_is_fast_with_clients_and_by_force_when_frozen(database: Database) -> None:
    database.start()
    with database.connect():
        assert postgres.stop(database.data) == "stopped fast"
    running = database.start()
    os.kill(running.pid, signal.SIGSTOP)
    with pytest.raises(postgres.Faulty, match="did not answer"):
        database.check(limit=0.3)
    assert postgres.end(database.data, Deadline(LIMIT)) == "killed"
    assert postgres.stop(database.data).startswith("did not run")


def test_a_start_that_fails_says_what_the_log_says(database: Database, web: Unit) -> None:
    database.port = web.port
    with pytest.raises(postgres.Faulty, match=r"lknode01: PostgreSQL did not start; its log says: .*could not create any TCP/IP sockets"):
        database.start()
    shutil.rmtree(database.data)
    with pytest.raises(postgres.Faulty, match="holds no database: is the shared disk mounted on lknode01"):
        database.start()


def test_the_password_is_needed_and_never_shown(database: Database, tmp_path: Path) -> None:
    database.start()
    wrong, secret = tmp_path / "wrong", "-".join(["wr0ng", "secret"])
    wrong.write_text(secret)
    with pytest.raises(BadUse, match=r"turned us away: .*password authentication failed") as raised:
        database.ask(password_file=str(wrong))
    assert secret not in repr(raised.value) + str(raised.getrepr(style="long"))
    with pytest.raises(BadUse, match="password"):
        registry.kind("postgres").who_are_you("127.0.0.1", database.port, settings={}, deadline=Deadline(LIMIT))
    with pytest.raises(BadUse, match="does not exist"):
        database.ask(dbname="nowhere")
    assert PASSWORD not in database.log.read_text()
    assert not any(PASSWORD in path.name for path in database.data.parent.rglob("*"))


def test_a_database_that_does_not_serve_is_no_foreign_protocol(database: Database) -> None:
    database.start()
    with database.connect() as one:
        one.execute("select 1")
        root = psycopg.connect(host=str(database.sockets), port=database.port, user="postgres", dbname="postgres", autocommit=True)
        with root:
            root.execute("alter database harness connection limit 0")
    with pytest.raises(ConnectionAbortedError, match=r"PostgreSQL answers, but does not serve: .*too many connections"):
        database.ask()


def test_templates_are_made_once_by_any_number_at_once(folder: Path) -> None:
    cache = folder / "many"
    found: list[Path] = []
    labs = [threading.Thread(target=lambda: found.append(postgres_template.ensure_template(cache, "pw"))) for _ in range(3)]
    for lab in labs:
        lab.start()
    for lab in labs:
        lab.join(LIMIT)
    assert len(found) == 3 and len(set(found)) == 1
    assert [path.name for path in cache.iterdir() if not path.name.endswith(".lock")] == [found[0].name]
    assert postgres_template.ensure_template(cache, "pw") == found[0]


def test_another_password_is_another_template_and_neither_name_tells_it(folder: Path) -> None:
    keys = {postgres_template._key("15", password) for password in ("pw", "pw2")}
    assert len(keys) == 2 and not any("pw" in key for key in keys)
    with pytest.raises(BadUse, match="printable ASCII"):
        postgres_template.ensure_template(folder / "cache", "")


# --- each dialogue at the wrong door


@pytest.mark.parametrize(
    ("kind", "door", "said"),
    [
        ("postgres", "echo", "lab-echo lknode01"),
        ("postgres", "web", "HTTP/1.1 400 Bad Request"),
        ("oracle", "web", "HTTP/1.1 400 Bad Request"),
        ("oracle", "echo", "lab-echo lknode01"),
        ("http", "echo", "lab-echo lknode01"),
        ("tcp", "web", None),
    ],
)
def test_the_wrong_protocol_on_a_port_is_quoted(kind: str, door: str, said: str | None, request: pytest.FixtureRequest) -> None:
    unit: Unit = request.getfixturevalue(door)
    if said is None:
        assert unit.ask("tcp").node is None
        return
    with pytest.raises(NotTheService, match=re.escape(said)):
        unit.ask(kind)


@pytest.mark.parametrize("kind", ["oracle", "http"])
def test_a_database_is_neither_a_listener_nor_a_web_server(kind: str, database: Database) -> None:
    """PostgreSQL hangs up on what it cannot read, without a word: that is a broken connection, and nobody is identified."""
    database.start()
    with pytest.raises((OSError, NotTheService)):
        registry.kind(kind).who_are_you("127.0.0.1", database.port, settings={}, deadline=Deadline(LIMIT))
