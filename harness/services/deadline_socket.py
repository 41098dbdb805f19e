"""A TCP conversation in which nothing outlives its deadline: not the connect, not one read, not many small reads."""

from __future__ import annotations

import select
import socket
from typing import Any

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded

UNANSWERED = ", but did not answer"
MAX_QUOTED_BYTES = 120  # bytes of an unexpected answer that a message quotes


class BoundedSocket(socket.socket):
    """A socket whose every step gets what is left of one deadline, and DeadlineExceeded when that is nothing.

    Connection errors stay OSError. Also what `makefile` gives reads through it.
    """

    deadline: Deadline
    what: str
    heard = 0  # bytes of the answer to what was sent last

    def _step(self, step: Any, *arguments: Any) -> Any:
        remaining_s = self.deadline.remaining()
        if remaining_s > 0:
            self.settimeout(remaining_s)
            try:
                return step(*arguments)
            except TimeoutError:
                pass
        raise DeadlineExceeded(f"{self._so_far()} within {self.deadline.seconds:g} s") from None

    def _so_far(self) -> str:
        if not self.heard:
            return self.what
        return f"{self.what.removesuffix(UNANSWERED)}, and only {self.heard} byte{'s' if self.heard > 1 else ''} of its answer came"

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """As a socket's, within what is left of the deadline; raises DeadlineExceeded, or OSError."""
        data: bytes = self._step(super().recv, size, flags)
        self.heard += len(data)
        return data

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0, /) -> int:
        """As a socket's, within what is left of the deadline; raises DeadlineExceeded, or OSError."""
        count: int = self._step(super().recv_into, buffer, size, flags)
        self.heard += count
        return count

    def already_there(self, size: int) -> bytes:
        """What has come in by now or does within a blink: for quoting an answer of which nobody knows where it ends."""
        return super().recv(size) if select.select([self], [], [], min(0.05, self.deadline.remaining()))[0] else b""

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """As a socket's, within what is left of the deadline; raises DeadlineExceeded, or OSError."""
        self.heard = 0
        self._step(super().sendall, data, flags)


def dial(host: str, port: int, deadline: Deadline) -> BoundedSocket:
    """Connect. Raises OSError as the machine or the network refuses, DeadlineExceeded when nothing answers."""
    deadline.require(f"connecting to {host}:{port}")
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sock = BoundedSocket(family, kind, protocol)
    sock.deadline, sock.what = deadline, f"{host}:{port} did not accept the connection"
    try:
        sock._step(sock.connect, address)
    except BaseException:
        sock.close()
        raise
    sock.what = f"{host}:{port} accepted the connection{UNANSWERED}"
    return sock


def quoted(data: bytes) -> str:
    """What somebody said, fit for a message: its first line when it is text, escaped bytes otherwise."""
    if not data:
        return "nothing"
    text = data[:MAX_QUOTED_BYTES]
    if all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in text):
        return repr(text.decode("ascii").strip().splitlines()[0] if text.strip() else text.decode("ascii"))
    return repr(text)[1:]
