"""The lab's stand-in services as real processes on loopback, asked by the real drivers and by the harness's own dialogues."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import oracledb
import pytest
from lab_services import LIMIT, Unit, open_folder, started

from harness.core.deadline import Deadline
from harness.lab.services import tns_listener
from harness.services import tns
from harness.services.service_kind import NotTheService

GREETING = r"^lab-echo (?P<node>\S+) (?P<started>[\d.]+)$"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_folder() as path:
        yield path


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


def test_an_instance_that_starts_behind_the_listener_is_told_as_it_is(tmp_path: Path) -> None:
    """Not registered, blocking, open: as clients read it, while the listener itself is good throughout (ORA-11, ORA-12)."""
    said = []
    for name, registers, opens in (("late", "3600", "3600"), ("mounted", "0", "3600"), ("open", "0", "0")):
        (tmp_path / name).mkdir()
        options = ("--service", "ORCLPDB1", "--registers-after", registers, "--opens-after", opens)
        with started(Unit(tmp_path / name, "tns_listener", "tns", "--alias", "L", *options)) as unit:
            said.append((oracle_refusal(unit.port, service_name="orclpdb1"), oracle_refusal(unit.port, sid="ORCLPDB1")))
            assert "DPY-6001" in oracle_refusal(unit.port, service_name="another")
            assert unit.ask("oracle").facts["ping_error"] == "0"
    assert "DPY-6001" in said[0][0] and "DPY-6003" in said[0][1]
    assert all("12528" in one for one in said[1]) and all("12516" in one for one in said[2])


@pytest.mark.parametrize(
    ("name", "age_s", "code"),
    [("db", 0.9, 12514), ("DB", 1.0, 12528), ("db", 4.9, 12528), ("db", 5.0, 12516), ("another", 9.0, 12514)],
)
def test_an_instance_registers_and_then_opens(name: str, age_s: float, code: int) -> None:
    assert tns_listener.Instance("db", 1.0, 5.0).refusal(name, age_s, 12514) == code


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


def test_the_listener_answers_while_its_log_cannot_be_written(tmp_path: Path) -> None:
    """As on a disk that is busy for others: a pipe that nobody reads, of which its lines fill the first page."""
    unit = Unit(tmp_path, "tns_listener", "tns")
    os.mkfifo(unit.log)
    pipe = os.open(unit.log, os.O_RDWR | os.O_NONBLOCK)
    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)
    try:
        with started(unit):
            for _ in range(200):
                assert b"(ERR=0)" in unit.raw(tns.connect_packet(tns.PING))
            written = b""
            while (written := written + os.read(pipe, 4096)).count(b"ping * 0") < 200:  # nothing was lost
                select.select([pipe], [], [], LIMIT)
    finally:
        os.close(pipe)


def test_the_listener_outlives_a_log_that_is_full(tmp_path: Path) -> None:
    """No byte more fits into it for a while; what is asked afterwards is logged again."""
    unit = Unit(tmp_path, "tns_listener", "tns")

    def asked(command: str) -> bytes:
        return unit.raw(tns.connect_packet(f"(CONNECT_DATA=(COMMAND={command}))"))

    def writes() -> int:
        """How many were tried: answers are sent, not written."""
        return int(Path(f"/proc/{pid}/io").read_text().split("syscw: ")[1].split()[0])

    with started(unit):
        pid, hard = unit.process.pid, resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (unit.log.stat().st_size, hard))
        for _ in range(2):
            tried = writes()
            assert b"1189" in asked("stop")
            Deadline(LIMIT).wait_for(writes, until=tried.__lt__, what="a write that fails", every=0.02)
        assert "'stop'" not in unit.log.read_text()
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        asked("version")
        Deadline(LIMIT).wait_for(lambda: "'version'" in unit.log.read_text(), what="its line", every=0.05)


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
    with started(unit):
        unit.words[-1] = "0.5"  # from now on: it cannot answer however long one waits
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
