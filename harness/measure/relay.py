"""A relay: one connection made on the origin host, offered on a loopback port here, so that any client library can speak over
exactly that connection (facts: database drivers break on an SSH channel and need a small loopback forwarder)."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.deadline import Deadline
from harness.errors import Inconclusive
from harness.hosts.base import Host, Process
from harness.measure import scripts
from harness.measure.attempt import Attempt, of_report

CHUNK = 65536
START_S = 15.0  # for the log-in and the interpreter's start, beyond the connection's own limit
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Link:
    """Where to connect to speak over the origin's connection; `port` is None when that did not come about: see `attempt`."""

    attempt: Attempt
    host: str = LOOPBACK
    port: int | None = None


@contextlib.contextmanager
def relay(
    host: Host,
    python: str,
    destination: str,
    port: int,
    *,
    limit: float = 1.0,
    lifetime: float = 60.0,
    source: str | None = None,
) -> Iterator[Link]:
    """Connect from `host` to destination:port within `limit` seconds and offer that connection on loopback, once.

    The whole ends on leaving the block, and by itself after `lifetime` seconds. The end of the far side reaches the client as the
    end of its stream. Raises HostUnreachable, Unusable (no Python there) or Inconclusive when the origin could not try.
    """
    plan = {"destination": str(destination), "port": port, "limit": limit, "lifetime": lifetime, "source": source and str(source)}
    process = scripts.start(host, python, "relay", plan)
    with contextlib.ExitStack() as stack:
        far = _FarEnd(process)
        stack.callback(far.close)
        line = far.report(limit + START_S, host, python)
        attempt = of_report(host.name, destination, port, line, started=time.monotonic() - (line["now"] - line["mono"]))
        if not attempt.answered:
            yield Link(attempt)
            return
        door = stack.enter_context(socket.create_server((LOOPBACK, 0), backlog=1))
        stack.callback(far.serve(door, lifetime))
        yield Link(attempt, port=door.getsockname()[1])


class _FarEnd:
    """The running script: first its report, then the bytes of its connection."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._line = b""
        self._rest = b""
        self._reported = threading.Event()
        self._wanted = threading.Event()
        self._client: socket.socket | None = None
        self._ended = False
        # recv has no limit of its own, so a thread does it from the first byte on and others wait for the thread
        self._reader = threading.Thread(target=self._read, name="relay-out", daemon=True)
        self._reader.start()

    def report(self, limit: float, host: Host, python: str) -> dict[str, Any]:
        if not self._reported.wait(limit):
            raise Inconclusive(f"{host.name}: the relay did not report within {limit:g} s; is the host overloaded?")
        try:
            line = json.loads(self._line)
        except ValueError:
            line = None
        if not isinstance(line, dict):
            said = (self._line + self._rest).decode("utf-8", "replace").strip() or scripts.complaint(self._process) or "nothing"
            raise scripts.no_python(host, python, "relay", said.splitlines()[-1])
        return line

    def serve(self, door: socket.socket, lifetime: float):
        """Carry one client's bytes, in threads; returns what ends them."""
        thread = threading.Thread(target=self._serve, args=(door, Deadline(lifetime)), name="relay-in", daemon=True)
        thread.start()

        def end() -> None:
            # shutting a listener down wakes its accept, on Linux; closing it would not
            with contextlib.suppress(OSError):  # already closed: its one client came
                door.shutdown(socket.SHUT_RDWR)
            self.close()
            thread.join(5)

        return end

    def close(self) -> None:
        self._ended = True
        self._wanted.set()
        if self._client is not None:
            with contextlib.suppress(OSError):  # the client closed first
                self._client.shutdown(socket.SHUT_RDWR)
        self._process.close()
        self._reader.join(5)

    def _read(self) -> None:
        data = b""
        while b"\n" not in data and (more := self._process.recv(CHUNK)):
            data += more
        self._line, _, self._rest = data.partition(b"\n")
        self._reported.set()
        self._wanted.wait()
        client = self._client
        if client is None:
            return
        data = self._rest
        try:
            while data or (data := self._process.recv(CHUNK)):
                client.sendall(data)
                data = b""
            client.shutdown(socket.SHUT_WR)
        except OSError:
            self._process.close()  # the client has gone: nothing more is wanted from the far end

    def _serve(self, door: socket.socket, deadline: Deadline) -> None:
        door.settimeout(deadline.seconds)
        try:
            client, _ = door.accept()
        except OSError:
            return  # nobody came before the end
        with client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.settimeout(max(0.01, deadline.remaining()))
            self._client = client
            self._wanted.set()
            try:
                while not self._ended and (data := client.recv(CHUNK)):
                    self._process.send(data)
            except OSError:
                pass  # either side broke off; the reader has told, or tells, the client
            if not self._ended:
                self._process.close()
            self._reader.join(5)
