"""Relays on real sockets, on loopback: a client here speaks over the origin's connection."""

from __future__ import annotations

import os
import socket
import threading

import pytest
from loopback import PYTHON, echo_server

from harness.hosts.local_host import LocalHost
from harness.remote.connections.attempt import attempt
from harness.remote.connections.attempt_outcome import AttemptOutcome
from harness.remote.connections.tcp_tunnel import relay
from harness.remote.connections.worker_session import ConnectionWorker
from tests.free_port import free_port


@pytest.fixture(scope="module")
def here():
    host = LocalHost("here")
    resident = ConnectionWorker(host, PYTHON)
    yield resident
    resident.close()
    host.close()


def test_a_relay_speaks_over_exactly_the_origin_s_connection(here):
    attempt(here, "127.0.0.1", free_port())  # so that the resident's reader is there already
    before = set(threading.enumerate())
    with echo_server(b"hello\n") as (port, peers), relay(here, "127.0.0.1", port) as link:
        assert link.attempt.answered
        with socket.create_connection((link.host, link.port), timeout=60) as sock, sock.makefile("rb") as words:
            assert words.readline() == b"hello\n"
            sock.sendall(b"ping\n")
            assert words.readline() == b"ping\n"
        assert peers == [("127.0.0.1", link.attempt.local_port)]
    assert not set(threading.enumerate()) - before


def test_a_relay_carries_much_both_ways(here):
    data = os.urandom(3_000_000)
    with (
        echo_server() as (port, _),
        relay(here, "127.0.0.1", port) as link,
        socket.create_connection((link.host, link.port), timeout=60) as sock,
    ):
        sender = threading.Thread(target=sock.sendall, args=(data,))
        sender.start()
        got = b""
        while len(got) < len(data) and (more := sock.recv(65536)):
            got += more
        sender.join()
    assert got == data


def test_the_far_end_s_close_is_the_end_of_the_stream(here):
    with socket.create_server(("127.0.0.1", 0)) as door, relay(here, "127.0.0.1", door.getsockname()[1]) as link:
        far, _ = door.accept()
        with socket.create_connection((link.host, link.port), timeout=60) as sock:
            far.sendall(b"bye")
            far.close()
            assert sock.recv(10) == b"bye"
            assert sock.recv(10) == b""


def test_the_client_s_close_closes_the_far_end(here):
    with socket.create_server(("127.0.0.1", 0)) as door, relay(here, "127.0.0.1", door.getsockname()[1]) as link:
        far, _ = door.accept()
        far.settimeout(120)
        with socket.create_connection((link.host, link.port), timeout=60) as client:
            client.sendall(b"bye")
            assert far.recv(10) == b"bye"  # by now the relay has seen whose connection it is; of one that is closed already nobody can tell
        assert far.recv(10) == b""
        far.close()


def test_a_relay_whose_client_never_comes_ends_with_its_block(here):
    with echo_server() as (port, _):
        with relay(here, "127.0.0.1", port) as link:
            pass
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((link.host, link.port), timeout=60)


def test_a_refused_relay_says_so(here):
    with relay(here, "127.0.0.1", free_port()) as link:
        assert link.attempt.outcome is AttemptOutcome.REFUSED and link.attempt.local_port
        assert link.port is None


def test_a_relay_ends_by_itself_after_its_lifetime(here):
    with echo_server() as (port, _), relay(here, "127.0.0.1", port, lifetime=0.3) as link:
        sock = socket.create_connection((link.host, link.port), timeout=60)
        assert sock.recv(10) == b""
        sock.close()
