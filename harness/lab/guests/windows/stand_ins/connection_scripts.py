"""Connections made from the node beneath, as the script for PowerShell makes them."""

from __future__ import annotations

import errno
import selectors
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass

from harness.lab.guests.windows.script_answers import Row, ScriptError, stands_for

MAX_ATTEMPTS = 256
RESET_AT_CLOSE = struct.pack("ii", 1, 0)
# What .NET calls these errors on Linux and Windows alike.
NAMES = {
    errno.ECONNREFUSED: "ConnectionRefused",
    errno.ETIMEDOUT: "TimedOut",
    errno.ECONNRESET: "ConnectionReset",
    errno.ECONNABORTED: "ConnectionAborted",
    errno.ENETUNREACH: "NetworkUnreachable",
    errno.EHOSTUNREACH: "HostUnreachable",
    errno.ENETDOWN: "NetworkDown",
    errno.EADDRNOTAVAIL: "AddressNotAvailable",
    errno.EADDRINUSE: "AddressAlreadyInUse",
    errno.EMFILE: "TooManyOpenSockets",
    errno.EACCES: "AccessDenied",
    errno.EPERM: "AccessDenied",
}


@dataclass
class _Attempt:
    began: float
    sock: socket.socket | None = None
    port: int = 0
    took: float = 0.0
    outcome: str = ""

    def end(self, outcome: str) -> None:
        self.outcome, self.took = outcome, time.monotonic() - self.began
        if self.sock is not None:
            self.sock.close()


@stands_for("attempts")
def attempts(address: str, port: int, count: int, everyms: int, limitms: int) -> Iterable[Row]:
    """One at each period, which no slow one delays."""
    if not 1 <= count <= MAX_ATTEMPTS:
        raise ScriptError("RuntimeException", f"from 1 to {MAX_ATTEMPTS} connections are made")
    begun: list[_Attempt] = []
    due = time.monotonic()
    with selectors.DefaultSelector() as selector:
        while len(begun) < count or selector.get_map():
            now = time.monotonic()
            if len(begun) < count and now >= due:
                begun.append(_begin(address, port, selector))
                due = max(due, now - everyms / 1000) + everyms / 1000
            ends = [attempt.began + limitms / 1000 for attempt in begun if not attempt.outcome]
            for key, _ in selector.select(max(0.0, min([*ends, *([due] if len(begun) < count else [])], default=now) - time.monotonic())):
                selector.unregister(key.fileobj)
                error = key.data.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                key.data.end(_name_of(error) if error else "answered")
            for attempt in begun:
                if not attempt.outcome and attempt.sock is not None and time.monotonic() - attempt.began >= limitms / 1000:
                    selector.unregister(attempt.sock)
                    attempt.end("silent")
    return [{"Outcome": attempt.outcome, "TookMs": attempt.took * 1000, "Port": attempt.port} for attempt in begun]


def _begin(address: str, port: int, selector: selectors.BaseSelector) -> _Attempt:
    attempt = _Attempt(time.monotonic())
    try:
        attempt.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        attempt.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        attempt.sock.setblocking(False)
        attempt.sock.bind(("0.0.0.0", 0))
        attempt.port = attempt.sock.getsockname()[1]
        attempt.began = time.monotonic()
        error = attempt.sock.connect_ex((address, port))
    except OSError as failure:
        error = failure.errno or 0
    if attempt.sock is not None and error in (0, errno.EINPROGRESS):
        selector.register(attempt.sock, selectors.EVENT_WRITE, attempt)
    else:
        attempt.end(_name_of(error))
    return attempt


def _name_of(error: int) -> str:
    return NAMES.get(error, "SocketError")
