"""What an agent says to each kind of service, told to the lab's services, and what it must not take for an answer."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from harness.core.deadline import Deadline
from harness.core.errors import BadUse
from harness.remote.agents.agent_launch import bearable
from harness.services import service_registry, tns
from harness.services.service_kind import Hello
from tests.free_port import free_port

GREETING = r"^lab-echo (?P<node>\S+) (?P<started>[\d.]+)$"


def fatal(code: bytes) -> bytes:
    """An error as PostgreSQL sends it, in another language than English."""
    body = b"S\xd0\x92\xd0\x90\xd0\x96\xd0\x9d\xd0\x9e\0VFATAL\0C" + code + b"\0MC57P03 and 28000 are not in the text\0Fpostmaster.c\0\0"
    return b"E" + (4 + len(body)).to_bytes(4, "big") + body


def hello(kind: str, **settings: str) -> Hello:
    return service_registry.kind(kind).hello(settings)


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[int, subprocess.Popen]]]:
    """Start one of the lab's services on loopback; returns its port and process."""
    started: list[subprocess.Popen] = []

    def start(module: str, *more: str) -> tuple[int, subprocess.Popen]:
        port = free_port()
        words = [sys.executable, "-m", f"harness.lab.services.{module}", "--port", str(port), "--bind", "127.0.0.1", "--node", "lknode01"]
        process = subprocess.Popen([*words, *more], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        started.append(process)
        Deadline(20).wait_for(lambda: accepts(port), what=f"{module} listens", every=0.02)
        return port, process

    yield start
    for process in started:
        process.kill()
        process.wait()


def accepts(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def said_back(sock: socket.socket, to: Hello) -> bytes:
    """What came, read until it is what was expected or the peer ends."""
    sock.sendall(to.say)
    heard = b""
    while not re.search(to.expect, heard) and (more := sock.recv(4096)):
        heard += more
    return heard


@pytest.mark.parametrize(
    ("module", "kind", "settings"),
    [("tns_listener", "oracle", {}), ("http_server", "http", {}), ("echo", "tcp", {"greeting": GREETING})],
)
def test_the_labs_services_answer_their_hello(serve, module: str, kind: str, settings: dict[str, str]) -> None:
    port, _ = serve(module)
    words = hello(kind, **settings)
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        assert re.search(words.expect, said_back(sock, words))


def test_a_web_servers_hello_is_answered_again_and_again_on_one_connection(serve) -> None:
    port, _ = serve("http_server")
    words = hello("http")
    assert words.keeps
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        answers = [said_back(sock, words) for _ in range(3)]
    assert all(answer.count(b"HTTP/1.1 200") == 1 for answer in answers)


def test_a_frozen_service_accepts_and_does_not_answer(serve) -> None:
    port, process = serve("tns_listener")
    os.kill(process.pid, signal.SIGSTOP)
    with socket.create_connection(("127.0.0.1", port), 0.3) as sock, pytest.raises(TimeoutError):
        said_back(sock, hello("oracle"))


@pytest.mark.parametrize(
    ("kind", "heard", "fits"),
    [
        ("postgres", b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0", True),
        ("postgres", b"R\0\0\0\x08\0\0\0\0", True),
        ("postgres", b"S", False),
        ("postgres", b"N", False),
        *(("postgres", fatal(code), False) for code in (b"57P01", b"57P02", b"57P03", b"53300")),
        *(("postgres", fatal(code), True) for code in (b"28000", b"28P01", b"3D000")),
        ("postgres", b"Ecould not fork new process for connection: Cannot allocate memory\n\0", False),
        ("postgres", b"HTTP/1.1 400 Bad Request", False),
        ("postgres", b"E....SFATAL", False),
        ("postgres", b"SSH-2.0-OpenSSH_9.2\r\n", False),
        ("http", b"HTTP/1.1 200 OK\r\nServer: a\r\n\r\n", True),
        ("http", b"HTTP/1.1 200\r\n\r\n", True),
        ("http", b"HTTP/1.1 200 OK\r\nServer: a\r\n", False),
        ("http", b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False),
        ("http", b"HTTP/1.1 2000 OK\r\n\r\n", False),
        ("oracle", b"\0\x20\0\0\x02" + bytes(24), True),
        ("oracle", b"\0\x20\0\0\x04\0\0\0\0\0\0\x10(DESCRIPTION=(TMP=)(VSNNUM=0)(ERR=0)(ALIAS=LISTENER))", True),
        ("oracle", b"\0\x08\0\0\x0b\0\0\0", True),
        ("oracle", b"\0\x20\0\0\x04\0\0\0", False),
        ("oracle", b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
    ],
)
def test_only_the_services_own_words_fit(kind: str, heard: bytes, fits: bool) -> None:
    assert bool(re.search(hello(kind).expect, heard)) is fits


def test_settings_shape_the_hello() -> None:
    assert hello("http", path="/healthz", host_header="db.example", status="204").say.startswith(
        b"GET /healthz HTTP/1.1\r\nHost: db.example\r\n"
    )
    assert re.search(hello("http", status="204").expect, b"HTTP/1.1 204 No Content\r\n\r\n")
    assert hello("tcp") == Hello(b"", b"", keeps=False, least_period_s=0.1)
    assert hello("oracle").say == tns.connect_packet(tns.PING)
    assert bearable(0.001, hello("oracle")) == bearable(0.01, hello("oracle")) == 0.01, "its manager's own check is served as well"


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("http", {"pth": "/"}),
        ("http", {"path": "/a b"}),
        ("http", {"host_header": "a\r\nX: y"}),
        ("http", {"status": "ok"}),
        ("tcp", {"greeting": "("}),
        ("postgres", {"username": "x"}),
        ("oracle", {"sid": "x"}),
    ],
)
def test_wrong_settings_are_told(kind: str, settings: dict[str, str]) -> None:
    with pytest.raises(BadUse):
        hello(kind, **settings)
