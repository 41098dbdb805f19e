"""The loopback port that leads to a customer's service is this user's alone."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest
from hostile_user import SPEAK
from loopback import PYTHON, echo_server

from harness.core.deadline import Deadline
from harness.hosts.local_host import LocalHost
from harness.remote.connections.single_use_port import admit, open_listener
from harness.remote.connections.tcp_tunnel import relay
from harness.remote.connections.worker_session import ConnectionWorker


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
def test_another_user_who_comes_first_is_hung_up_on_and_the_client_is_served() -> None:
    host = LocalHost("here")
    resident = ConnectionWorker(host, PYTHON)
    try:
        with echo_server(b"hello\n") as (port, _), relay(resident, "127.0.0.1", port) as link:
            words = ["/usr/bin/python3", "-c", SPEAK, str(link.port)]
            stranger = subprocess.run(words, user=65534, group=65534, capture_output=True, timeout=30)
            assert b"hello" not in stranger.stdout
            with socket.create_connection((link.host, link.port), timeout=10) as sock, sock.makefile("rb") as heard:
                assert heard.readline() == b"hello\n"
                sock.sendall(b"ours\n")
                assert heard.readline() == b"ours\n", "not a byte of the stranger's was carried"
    finally:
        resident.close()
        host.close()


def test_a_door_to_which_nobody_comes_closes() -> None:
    with open_listener() as listener:
        assert admit(listener, Deadline(0.05)) is None
        with socket.create_connection(listener.getsockname()):
            client = admit(listener, Deadline(120))
            assert client is not None
            client.close()
