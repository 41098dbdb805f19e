"""A TCP tunnel: one connection made on the origin host, offered on a loopback port here, so that any client library can speak over
exactly that connection (facts: database drivers break on an SSH channel and need a small loopback forwarder)."""

from __future__ import annotations

import binascii
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from harness.core.deadline import Deadline
from harness.core.errors import HarnessError, Inconclusive
from harness.remote.connections.attempt import Attempt, attempt_of_report
from harness.remote.connections.connector_base import ConnectorBase
from harness.remote.connections.single_use_port import LOOPBACK, admit, open_listener
from harness.remote.connections.worker_session import WINDOW_BYTES, ConnectionWorker, Line, Request

CHUNK = 65536
START_TIMEOUT_S = 15.0  # for the log-in and the interpreter's start, beyond the connection's own limit


@dataclass(frozen=True)
class Link:
    """Where to connect to speak over the origin's connection; `port` is None when that did not come about: see `attempt`."""

    attempt: Attempt
    host: str = LOOPBACK
    port: int | None = None


@contextlib.contextmanager
def relay(
    resident: ConnectionWorker | ConnectorBase,
    destination: str,
    port: int,
    *,
    limit: float = 1.0,
    lifetime: float = 60.0,
    source: str | None = None,
) -> Iterator[Link]:
    """Connect from the resident's host to destination:port within `limit` seconds and offer that connection on loopback, once.

    The whole ends on leaving the block, and by itself after `lifetime` seconds. The end of either side's stream reaches the other
    as the end of its stream. Raises HostUnreachable, Unusable (no Python there) or Inconclusive when the origin could not try.
    """
    if isinstance(resident, ConnectorBase):
        with resident.relay(str(destination), port, limit=limit, lifetime=lifetime) as link:
            yield link
        return
    plan: dict[str, Any] = {"destination": str(destination), "port": port, "source": source and str(source)}
    carrier = _Carrier()
    with contextlib.ExitStack() as stack:
        far = stack.enter_context(resident.ask("connect", heed=carrier.heed, limit=limit, lifetime=lifetime, **plan))
        line = far.next(limit + START_TIMEOUT_S)
        if line is None:
            raise Inconclusive(f"{resident.name}: the relay did not report within {limit + START_TIMEOUT_S:g} s; is the host overloaded?")
        if "end" in line:
            raise Inconclusive(f"{resident.name}: the relay to {destination}:{port} ended before it began: {line['why']}")
        attempt = attempt_of_report(resident.name, destination, port, line, started=time.monotonic() - (line["now"] - line["mono"]))
        if not attempt.answered:
            yield Link(attempt)
            return
        listener = stack.enter_context(open_listener())
        stack.callback(carrier.start(far, listener, Deadline(lifetime)))
        yield Link(attempt, port=listener.getsockname()[1])


class _Carrier:
    """Carries one client's bytes to the far end and back, in two threads: neither direction ever waits for the other."""

    def __init__(self) -> None:
        self._room = WINDOW_BYTES
        self._changed = threading.Condition()
        self._over = False
        self._client: socket.socket | None = None

    def heed(self, line: Line) -> bool:
        """The far end has sent some of our bytes on, so that there is room for more of them."""
        if "took" in line:
            with self._changed:
                self._room += line["took"]
                self._changed.notify_all()
        return "took" in line

    def start(self, far: Request, listener: socket.socket, deadline: Deadline) -> Callable[[], None]:
        """Wait for the client and carry; returns what ends it all."""
        self._far = far
        thread = threading.Thread(target=self._serve, args=(listener, deadline), name="relay-in", daemon=True)
        thread.start()

        def close() -> None:
            self._end()
            # shutting a listener down wakes its accept, on Linux; closing it would not
            with contextlib.suppress(OSError):  # nobody waits there any more
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)

        return close

    def _end(self) -> None:
        """Nothing more either way; wakes both threads."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
            if self._client is not None:
                with contextlib.suppress(OSError):  # the client closed first
                    self._client.shutdown(socket.SHUT_RDWR)
        self._far.close()

    def _serve(self, listener: socket.socket, deadline: Deadline) -> None:
        client = admit(listener, deadline)
        if client is None:
            return  # nobody of ours came before the end
        with client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.settimeout(max(0.01, deadline.remaining()))
            with self._changed:
                self._client = client
                if self._over:
                    return
            out = threading.Thread(target=self._bring_back, args=(client, deadline), name="relay-out", daemon=True)
            out.start()
            self._send_on(client)
            out.join(deadline.remaining() + 5)
            with self._changed:
                self._client = None

    def _send_on(self, client: socket.socket) -> None:
        try:
            while (room := self._wait_for_room()) and (data := client.recv(min(CHUNK, room))):
                with self._changed:
                    self._room -= len(data)
                self._far.tell("data", data=binascii.b2a_base64(data, newline=False).decode())
        except OSError:
            self._end()  # the client broke off, or the time is over
        self._far.tell("eof")

    def _wait_for_room(self) -> int:
        with self._changed:
            self._changed.wait_for(lambda: self._room > 0 or self._over)
            return 0 if self._over else self._room

    def _bring_back(self, client: socket.socket, deadline: Deadline) -> None:
        taken_bytes = 0
        try:
            while (line := self._far.next(deadline.remaining() + 1)) is not None and "end" not in line:
                if "data" in line:
                    data = binascii.a2b_base64(line["data"])
                    client.sendall(data)
                    taken_bytes += len(data)
                    if taken_bytes >= WINDOW_BYTES // 4:
                        self._far.tell("took", bytes=taken_bytes)
                        taken_bytes = 0
                else:
                    client.shutdown(socket.SHUT_WR)
        except (OSError, HarnessError):
            pass  # the client has gone, or the far end: the end of the stream tells the other
        finally:
            self._end()
