"""The stand-in's sockets in the lab's mount namespace, by which machines in the fabric reach it: see `network.platform_endpoints`."""

from __future__ import annotations

import socket

from harness.lab.network.platform_endpoints import FOLDER

MAX_CALLER_BYTES = 64


def listen(lab_pid: int, name: str) -> socket.socket:
    """A socket of that name where the lab's first process connects to it; it ends with the lab's mounts. Raises OSError."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"/proc/{lab_pid}/root{FOLDER}/{name}")
    listener.listen(64)
    return listener


def read_caller(connection: socket.socket) -> str:
    """The address of the machine whose connection it is: the relay's first line, of which nothing more is taken. Raises OSError."""
    line = b""
    while not line.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte or len(line) > MAX_CALLER_BYTES:
            raise ConnectionAbortedError("the relay did not say whose connection it is")
        line += byte
    return line.decode("ascii").strip()
