"""A loopback port that is offered for one connection: only to this user, because it leads to a customer's service."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from harness.core.deadline import Deadline
from harness.core.files import own_uid

LOOPBACK = "127.0.0.1"
MAX_WAITING_CONNECTIONS = 16  # others who come first must not keep our own client out
TABLE = Path("/proc/net/tcp")


def door() -> socket.socket:
    """The listener; `admit` takes one connection of it."""
    return socket.create_server((LOOPBACK, 0), backlog=MAX_WAITING_CONNECTIONS)


def admit(listener: socket.socket, deadline: Deadline) -> socket.socket | None:
    """The first connection that a process of this user made; None when none came before the deadline, or the door was closed.

    Whoever else comes is hung up on: not a byte of his is carried. Where the kernel tells no owners (no /proc), everybody is admitted.
    """
    while not deadline.expired:
        listener.settimeout(max(0.01, deadline.remaining()))
        try:
            client, peer = listener.accept()
        except OSError:
            return None
        if not TABLE.exists() or owner(peer, client.getsockname()) == own_uid():
            return client
        client.close()
    return None


def owner(local: tuple[str, int], remote: tuple[str, int]) -> int | None:
    """The uid of the process at one end of a connection on this machine; None when it has gone meanwhile."""
    ends = f"{_as_kernel(local)} {_as_kernel(remote)}"
    with TABLE.open(encoding="ascii") as rows:
        for row in rows:
            if ends in row:  # a machine may have thousands of rows: only ours is taken apart
                return int(row.split()[7])
    return None


def _as_kernel(end: tuple[str, int]) -> str:
    """An address as /proc/net/tcp has it: the four bytes as a word of the machine's byte order."""
    return f"{struct.unpack('=I', socket.inet_aton(end[0]))[0]:08X}:{end[1]:04X}"
