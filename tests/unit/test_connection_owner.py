"""Who is at the other end of a loopback connection: the kernel's own answer for that one, and its table, say the same."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from harness.remote.connections import single_use_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells owners on Linux")


@pytest.fixture(params=["both", "table"])
def owner(request, monkeypatch):
    """`owner`, also where the kernel answers no question about a single connection."""
    if request.param == "table":
        monkeypatch.setattr(socket, "AF_NETLINK", 99)
    return single_use_port.owner


def test_the_other_end_is_ours(owner):
    with single_use_port.open_listener() as listener, socket.create_connection(listener.getsockname()):
        taken, peer = listener.accept()
        with taken:
            assert owner(peer, taken.getsockname()) == os.geteuid()


def test_what_was_closed_is_nobodys_and_not_roots(owner):
    with single_use_port.open_listener() as listener:
        client = socket.create_connection(listener.getsockname())
        taken, peer = listener.accept()
        client.close()
        with taken:
            assert owner(peer, taken.getsockname()) is None


def test_a_listener_at_that_port_is_not_taken_for_the_connection(owner):
    with single_use_port.open_listener() as listener, single_use_port.open_listener() as other:
        assert owner(listener.getsockname(), other.getsockname()) is None


def test_the_table_is_read_only_where_the_kernel_cannot_be_asked(monkeypatch):
    monkeypatch.setattr(single_use_port, "TABLE", None)
    with single_use_port.open_listener() as listener, socket.create_connection(listener.getsockname()):
        taken, peer = listener.accept()
        with taken:
            assert single_use_port.owner(peer, taken.getsockname()) == os.geteuid()
