"""A loopback port that is offered for one connection: only to this user, because it leads to a customer's service."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from harness.core.deadline import Deadline
from harness.core.files import own_uid

LOOPBACK = "127.0.0.1"
DIAG_TIMEOUT_S = 1.0  # the kernel answers within microseconds
_SOCK_DIAG, _BY_FAMILY, _REQUEST, _ANY_COOKIE = 4, 20, 1, (0xFFFFFFFF, 0xFFFFFFFF)
_HEADER, _ENDS = struct.Struct("=IHHII"), struct.Struct("!HH4s12x4s12x")  # nlmsghdr; the ends in inet_diag_sockid
_DIAG_REQUEST = struct.Struct("=BBBxI36sI2I")  # inet_diag_req_v2
_DIAG_REPLY = struct.Struct("=4B36s12x5I")  # inet_diag_msg
MAX_WAITING_CONNECTIONS = 16  # others who come first must not keep our own client out
TABLE = Path("/proc/net/tcp")


def open_listener() -> socket.socket:
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
    """The uid of the process at one end of a connection on this machine; None when it has gone meanwhile.

    The kernel is asked for this one connection, where it can be (`sock_diag`): for its whole table it walks through all that there are room
    for, which takes milliseconds.
    """
    try:
        uid = _owner_by_diag(local, remote)
    except (OSError, AttributeError, struct.error):  # no such kernel, or it does not let us ask
        uid = None
    return uid if uid is not None else _owner_by_table(local, remote)


def _owner_by_diag(local: tuple[str, int], remote: tuple[str, int]) -> int | None:
    """None where no process holds such a connection open, or the kernel cannot tell so."""
    ends = _ENDS.pack(local[1], remote[1], socket.inet_aton(local[0]), socket.inet_aton(remote[0]))
    request = _DIAG_REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0xFFFFFFFF, ends, 0, *_ANY_COOKIE)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _SOCK_DIAG) as kernel:
        kernel.settimeout(DIAG_TIMEOUT_S)
        kernel.send(_HEADER.pack(_HEADER.size + len(request), _BY_FAMILY, _REQUEST, 1, 0) + request)
        answer = kernel.recv(8192)
    if _HEADER.unpack_from(answer)[1] != _BY_FAMILY:
        return None  # an error: there is none, or nobody who knows
    *_, found_ends, _, _, _, uid, inode = _DIAG_REPLY.unpack_from(answer, _HEADER.size)
    # Where there is no such connection the kernel tells of a listener at that port. What was closed has no inode, and root as its owner.
    return uid if found_ends == ends and inode else None


def _owner_by_table(local: tuple[str, int], remote: tuple[str, int]) -> int | None:
    ends = f"{_kernel_address(local)} {_kernel_address(remote)}"
    with TABLE.open(encoding="ascii") as rows:
        for row in rows:
            if ends in row:  # a machine may have thousands of rows: only ours is taken apart
                fields = row.split()
                return int(fields[7]) if int(fields[9]) else None  # as above
    return None


def _kernel_address(end: tuple[str, int]) -> str:
    """An address as /proc/net/tcp has it: the four bytes as a word of the machine's byte order."""
    return f"{struct.unpack('=I', socket.inet_aton(end[0]))[0]:08X}:{end[1]:04X}"
