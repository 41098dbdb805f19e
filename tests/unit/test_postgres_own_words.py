"""A PostgreSQL server that refuses says so in its own words, which are read even where it cannot fork."""

from __future__ import annotations

import socket
import threading

import pytest

from harness.core.deadline import Deadline
from harness.services.postgresql.postgres_session import Session, parse_error, read_own_words
from harness.services.service_kind import WordsUntold


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"Ecould not fork new process for connection: Resource temporarily unavailable\n\0", "could not fork new process"),
        (b"E\0\0\0\x2bSFATAL\0VFATAL\0C53300\0Mtoo many clients\0\0", "FATAL: 53300: too many clients"),
        (b"R\0\0\0\x08\0\0\0\0", ""),
        (b"", ""),
        (b"E\x1b[2J\0", "?[2J"),
    ],
)
def test_the_servers_own_sentence(said: bytes, words: str) -> None:
    assert parse_error(said).startswith(words) and bool(parse_error(said)) is bool(words)


def test_a_server_that_answers_the_request_for_tls_with_an_error_is_asked_again_without_a_password() -> None:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(2):
                with server.accept()[0] as link:
                    heard.append(link.recv(1000))
                    link.sendall(b"Ecould not fork new process for connection: no memory\n\0")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = server.getsockname()[1]
        with pytest.raises(WordsUntold):
            Session("127.0.0.1", port, {"sslmode": "require"}, Deadline(5.0))
        told = read_own_words("127.0.0.1", port, "harness", "app", Deadline(5.0))
        thread.join(5.0)
    assert "could not fork new process for connection: no memory" in told and "127.0.0.1" not in told
    assert b"harness" in heard[-1] and b"password" not in heard[-1]
