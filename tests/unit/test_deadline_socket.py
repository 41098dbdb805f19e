"""The harness's service dialogues against peers that misbehave: every one of them is bounded, and says what it heard."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded
from harness.services import service_registry, tns
from harness.services.kinds import tcp
from harness.services.service_kind import NotTheService, Proof, WrongAnswer

KINDS = ["http", "oracle", "postgres", "tcp"]
SETTINGS = {"tcp": {"greeting": "hello"}}
SHORT = 0.4
NOT_FOR_EVER = 10.0  # far above the deadline, far below any driver's own patience
Behaviour = Callable[[socket.socket], None]


@contextlib.contextmanager
def peer(behave: Behaviour) -> Iterator[int]:
    """A real listener on loopback that treats every connection as `behave` does. Yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connections: list[socket.socket] = []

        def accept() -> None:
            with contextlib.suppress(OSError):  # the listener is shut down at the end
                while True:
                    connection, _ = listener.accept()
                    connections.append(connection)
                    threading.Thread(target=_quietly, args=(behave, connection), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            for connection in connections:
                connection.close()


def _quietly(behave: Behaviour, connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        behave(connection)


def ask(kind: str, port: int, seconds: float = SHORT) -> None:
    service_registry.kind(kind).who_are_you("127.0.0.1", port, settings=SETTINGS.get(kind, {}), deadline=Deadline(seconds))


def says_nothing(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def drips(connection: socket.socket) -> None:
    """A byte at a time: beats every time-out that is counted for one read."""
    gone = threading.Event()
    while not gone.wait(0.05):
        connection.sendall(b"x")


def says(data: bytes) -> Behaviour:
    def behave(connection: socket.socket) -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass

    return behave


def leaves(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("kind", KINDS)
def test_a_peer_that_accepts_and_says_nothing_is_bounded(kind: str) -> None:
    clock = Deadline(NOT_FOR_EVER)
    with peer(says_nothing) as port, pytest.raises(DeadlineExceeded, match=f"127.0.0.1:{port} .* within 0.4 s"):
        ask(kind, port)
    assert not clock.expired


@pytest.mark.parametrize("kind", KINDS)
def test_a_peer_that_drips_is_bounded(kind: str) -> None:
    clock = Deadline(NOT_FOR_EVER)
    with peer(drips) as port, pytest.raises((DeadlineExceeded, NotTheService)):
        ask(kind, port)
    assert not clock.expired


def test_a_web_server_that_drips_is_told_from_one_that_says_nothing() -> None:
    with (
        peer(drips) as port,
        pytest.raises(DeadlineExceeded, match=r"accepted the connection, and only \d+ bytes? of its answer came within"),
    ):
        ask("http", port)


@pytest.mark.parametrize(
    ("location", "words"), [("Location: http://10.9.9.9/app\r\n", "10.9.9.9/app', which was not followed"), ("", "302 Found")]
)
def test_a_redirection_is_told_and_not_followed(location: str, words: str) -> None:
    answer = f"HTTP/1.1 302 Found\r\n{location}Content-Length: 0\r\n\r\n".encode()
    with peer(says(answer)) as port, pytest.raises(WrongAnswer, match=words) as told:
        ask("http", port, NOT_FOR_EVER)
    assert ("redirects" in str(told.value)) is bool(location)


def test_an_oracle_listener_that_leaves_a_client_waiting_is_bounded() -> None:
    """python-oracledb by itself would wait for ever here (facts: libraries)."""
    oracle = service_registry.kind("oracle")
    assert isinstance(oracle, Proof)
    with (
        peer(says_nothing) as port,
        pytest.raises(DeadlineExceeded, match=r"did not answer a connect to lkharness-no-such-service within 0.4 s"),
    ):
        oracle.is_it_really_you("127.0.0.1", port, settings={}, deadline=Deadline(0.4))


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_port_is_refused(kind: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            ask(kind, taken.getsockname()[1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_peer_that_leaves_without_a_word_is_a_broken_connection(kind: str) -> None:
    with peer(leaves) as port, pytest.raises(OSError):
        ask(kind, port, NOT_FOR_EVER)


@pytest.mark.parametrize("kind", KINDS)
def test_a_foreign_protocol_is_quoted(kind: str) -> None:
    with peer(says(b"220 mail.example ESMTP\r\n")) as port, pytest.raises(NotTheService, match=re.escape("220 mail.example ESMTP")):
        service_registry.kind(kind).who_are_you(
            "127.0.0.1", port, settings={"greeting": "^hello"} if kind == "tcp" else {}, deadline=Deadline(5)
        )


def test_binary_talk_is_quoted_escaped() -> None:
    with peer(says(b"\x00\x01\xff\x1b[31m")) as port, pytest.raises(NotTheService) as raised:
        ask("oracle", port)
    assert "\\x00\\x01\\xff\\x1b" in str(raised.value)
    assert "\x1b" not in str(raised.value)


def test_an_accepted_connection_without_a_greeting_claims_no_more_than_that() -> None:
    with peer(says_nothing) as port:
        identity = service_registry.kind("tcp").who_are_you("127.0.0.1", port, settings={}, deadline=Deadline(5))
    assert identity.node is None
    assert identity.said == "the connection was accepted and it stayed open for 0.2 s; that tells no node"


def test_accepted_and_closed_at_once_is_a_broken_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "STAYS_OPEN_S", 60.0)  # a busy machine's server is not at once
    with (
        peer(lambda connection: connection.shutdown(socket.SHUT_RDWR)) as port,
        pytest.raises(ConnectionResetError, match="closed it at once"),
    ):
        service_registry.kind("tcp").who_are_you("127.0.0.1", port, settings={}, deadline=Deadline(60))


@pytest.mark.parametrize(("number", "version"), [("318767104", "19.0.0.0.0"), ("186647296", "11.2.0.3.0"), ("", "")])
def test_a_listener_version_is_read(number: str, version: str) -> None:
    assert tns.version_of(number) == version
