"""Connections that are kept, against servers that end them in order, answer at length, or die."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest
from agent_fixtures import LIMIT, measuring, series, service
from test_answered_means_served import peer

from harness.core.deadline import Deadline
from harness.hosts.local_host import LocalHost
from harness.services import service_registry

HELLO = service_registry.kind("http").hello({})
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LAST = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1e\r\n"
    + b"HTTP/1.1 200 OK\r\n\r\n0\r\n\r\n123456"
    + b"\r\n0\r\n\r\n"
)
LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000
OLD = b"HTTP/1.0 200 OK\r\n\r\nuntil the end"
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"


def kept(port: int, **more: object):
    words = {"say": HELLO.say, "expect": HELLO.expect, "http": True, "limit_s": 20.0, **more}
    return series("p", port, kind="pinned", **words)


def babble(port: int):
    return series("bad", port, say=b"", expect=rb"^here")


def allows(requests: int, answer: bytes = PLAIN, last: bytes = PLAIN, pieces: int = 1) -> Callable[[socket.socket], None]:
    """Answers so many requests on a connection, then ends it in order."""

    def behave(sock: socket.socket) -> None:
        for number in range(requests):
            if not sock.recv(4096):
                return
            said = last if number == requests - 1 else answer
            size = -(-len(said) // pieces)
            for at in range(0, len(said), size):
                sock.sendall(said[at : at + size])
                threading.Event().wait(0.002 if pieces > 1 else 0)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(4096):
            pass

    return behave


@pytest.mark.parametrize(
    ("behave", "reconnects"),
    [
        (allows(10), "reconnected after the server ended it"),
        (allows(10, last=LAST), "reconnected after the server ended it"),
        (allows(10, CHUNKED, CHUNKED, pieces=9), "reconnected after the server ended it"),
        (allows(10_000, LONG), "reconnected because its answer is too long"),
        (allows(1, last=OLD), "reconnected after the server ended it"),
    ],
    ids=["unannounced", "announced", "chunked", "long", "until its end"],
)
def test_an_orderly_end_is_no_failed_path(behave, reconnects: str, tmp_path) -> None:
    with peer(behave) as port, measuring(LocalHost("here"), tmp_path, kept(port)) as (_, seen):
        seen.wait_rows("p", 60, "answered")
    rows = seen.rows["p"]
    assert {row.outcome for row in rows} == {"answered"}, [row for row in rows if row.outcome != "answered"]
    assert {row.detail for row in rows} - {""} == {"connected", reconnects}


def test_a_body_is_not_taken_for_the_next_answer(tmp_path) -> None:
    """Whole answers only: with a body that looks like an answer, each beat is still one request and one answer."""
    asked: list[bytes] = []

    def behave(sock: socket.socket) -> None:
        while said := sock.recv(4096):
            asked.append(said)
            for piece in (CHUNKED[:50], CHUNKED[50:80], CHUNKED[80:]):
                sock.sendall(piece)
                threading.Event().wait(0.001)

    with peer(behave) as port, measuring(LocalHost("here"), tmp_path, kept(port)) as (_, seen):
        seen.wait_rows("p", 20, "answered")
    ports = [row.port for row in seen.rows["p"]]
    line = next(row.port for row in seen.rows["p"] if row.detail == "connected")
    assert len(ports) <= len(asked) and all(ports.count(port) == 1 for port in ports if port != line), "but for those that were overtaken"


@pytest.mark.parametrize("answer", [PLAIN, EMPTY], ids=["plain", "empty"])
def test_a_server_that_dies_is_a_failed_path(answer: bytes, tmp_path) -> None:
    hello = service_registry.kind("http").hello({"status": "204"}) if answer is EMPTY else HELLO
    with peer(allows(10**6, answer)) as port, measuring(LocalHost("here"), tmp_path, kept(port, expect=hello.expect)) as (_, seen):
        seen.wait_rows("p", 5, "answered")
    with service() as it, measuring(LocalHost("here"), tmp_path, series("p", it.port, kind="pinned")) as (_, seen):
        seen.wait_rows("p", 5, "answered")
        it.deaf()
        it.cut()
        seen.wait_rows("p", 5, "refused")
    assert {"refused"} <= seen.outcomes("p")


def test_kept_connections_are_made_anew_when_that_is_asked_for(tmp_path) -> None:
    """So that the witnesses of a recording see who answers them, from their first packet."""
    with service() as it:
        all_series = (series("p", it.port, kind="pinned"), series("n", it.port))
        with measuring(LocalHost("here"), tmp_path, *all_series) as (agent, seen):
            seen.wait_rows("p", 5, "answered")
            agent.renew()
            began = "reconnected because a recording began"
            Deadline(LIMIT).wait_for(lambda: any(r.detail == began for r in list(seen.rows["p"])), what="another connection", every=0.02)
            seen.wait_rows("p", 5, "answered")
    rows = seen.rows["p"]
    assert seen.outcomes("p") == {"answered"} == seen.outcomes("n")
    assert len({row.port for row in rows if row.detail}) == 2
    assert [row.detail for row in rows if row.detail] == ["connected", "reconnected because a recording began"]


def test_a_peer_that_says_anything_without_end_is_no_answer_and_keeps_nobody_busy(tmp_path) -> None:
    def babbles(sock: socket.socket) -> None:
        while True:
            sock.sendall(b"x" * 65536)

    here = LocalHost("here")
    with peer(babbles) as port, service() as it, measuring(here, tmp_path, babble(port), series("good", it.port)) as (_, seen):
        seen.wait_rows("bad", 5)
        seen.wait_rows("good", 20, "answered")
    assert seen.outcomes("bad") == {"silent"} and "more than 16384 bytes" in seen.rows["bad"][0].detail


def test_a_connection_that_was_overtaken_is_no_failed_path(tmp_path) -> None:
    """Two are on their way at once, and the server takes the later one first; the earlier one is answered all the same."""
    first, second = threading.Event(), threading.Event()

    def behave(sock: socket.socket) -> None:
        if not first.is_set():
            first.set()
            second.wait(LIMIT)
        said = sock.recv(4096)
        while said:
            sock.sendall(PLAIN)
            second.set()
            said = sock.recv(4096)

    with peer(behave) as port, measuring(LocalHost("here"), tmp_path, kept(port)) as (_, seen):
        seen.wait_rows("p", 20, "answered")
    assert first.is_set() and seen.outcomes("p") == {"answered"}, seen.rows["p"][:5]


def test_an_end_that_crosses_the_next_question_is_no_failed_path(tmp_path) -> None:
    """The server has decided to end it when it is asked once more."""

    def behave(sock: socket.socket) -> None:
        for _ in range(3):
            sock.recv(4096)
            sock.sendall(PLAIN)
        sock.recv(4096)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(4096):
            pass

    with peer(behave) as port, measuring(LocalHost("here"), tmp_path, kept(port)) as (_, seen):
        seen.wait_rows("p", 20, "answered")
    assert seen.outcomes("p") == {"answered"}, [row for row in seen.rows["p"] if row.outcome != "answered"]
