"""One communication path: heartbeats to the peer over TCP, and when the peer was last heard on it (LKL-35, LKL-37)."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from typing import Any

from harness.core.deadline import Deadline
from harness.lab.lifekeeper.config.stand_in_settings import CommPath

MAX_LINE_BYTES = 1 << 20  # bytes; a message is a few kilobytes


class Line:
    """JSON lines over one TCP connection, every read and write under a deadline. Raises OSError when it breaks."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._rest = connection, b""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, message: dict[str, Any], limit: float) -> None:
        """Sends one message; raises OSError when it could not be handed over within `limit` seconds."""
        self._connection.settimeout(max(limit, 0.001))
        self._connection.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, limit: float) -> dict[str, Any]:
        """The next message; raises OSError when none came within `limit` seconds or the other side closed."""
        deadline = Deadline(limit)
        while b"\n" not in self._rest:
            self._connection.settimeout(max(deadline.remaining(), 0.001))
            data = self._connection.recv(65536)
            if not data:
                raise ConnectionError("the other side closed the connection")
            self._rest += data
            if len(self._rest) > MAX_LINE_BYTES:
                raise ConnectionError("the other side sent a line without end")
        line, _, self._rest = self._rest.partition(b"\n")
        try:
            message = json.loads(line)
        except ValueError as error:
            raise ConnectionError(f"the other side sent no JSON: {error}") from error
        if not isinstance(message, dict):
            raise ConnectionError("the other side sent no JSON object")
        return message

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


class Path:
    """`alive` is what lcdstatus shows; it is judged by Comm, from `last_heard` (monotonic seconds)."""

    def __init__(self, ends: CommPath, port: int, interval: float, connect_limit: float) -> None:
        self.ends, self.port, self.interval = ends, port, interval
        self.connect_limit = min(connect_limit, interval)
        self.alive = False
        self.last_heard = float("-inf")
        self.comm_downs = 0

    def __str__(self) -> str:
        return f"{self.ends.local}/{self.ends.peer}"

    def connect(self) -> Line:
        """A new connection from this path's own address to the peer's; raises OSError."""
        return Line(
            socket.create_connection(
                (self.ends.peer, self.port), timeout=max(self.connect_limit, 0.001), source_address=(self.ends.local, 0)
            )
        )

    def beat(
        self, stopping: threading.Event, heartbeat: Callable[[], dict[str, Any]], on_answer: Callable[[Path, dict[str, Any]], None]
    ) -> None:
        """Send a heartbeat each interval until `stopping`, and hear its answer.

        One that is not answered within the interval costs the connection: a fresh connect finds a healed path within about
        an interval, where TCP's own retransmission would back off for longer and longer.
        """
        line: Line | None = None
        while not stopping.is_set():
            due = Deadline(self.interval)
            try:
                line = line or self.connect()
                line.send(heartbeat(), due.remaining())
                on_answer(self, line.receive(due.remaining()))
            except OSError:
                # An unanswered heartbeat is what DEAD is made of; Comm logs the path's change, not every miss.
                if line is not None:
                    line.close()
                line = None
            stopping.wait(due.remaining())
        if line is not None:
            line.close()
