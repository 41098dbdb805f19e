"""A bad way to a host: a proxy on loopback that delays, throttles or swallows what passes it; and a cluster file that goes by it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from unittest.mock import patch

import tomli_w

from harness.config import trust
from harness.core.deadline import Deadline

CHUNK = 65536


class Wire:
    """To 127.0.0.1:`target`: everything comes `delay_s` later each way, at `bytes_per_s` at most, and, once `dies_after` bytes have come
    from the host in all, nothing comes any more and nothing is said about it. With `dies_after=0` it accepts and never answers."""

    def __init__(self, target: int, *, delay_s: float = 0.0, bytes_per_s: float = 0.0, dies_after: int | None = None) -> None:
        self.carried = 0
        self._target, self._delay_s, self._rate, self._dies_after = target, delay_s, bytes_per_s, dies_after
        self._over = threading.Event()
        self._ends: list[socket.socket] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self._over.set()
        for end in (self._door, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in self._threads:
            thread.join(5)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # the door was closed
            while True:
                outer, _ = self._door.accept()
                self._ends.append(outer)
                if not self._dead:
                    inner = socket.create_connection(("127.0.0.1", self._target))
                    self._ends.append(inner)
                    self._carry(outer, inner, counted=False)
                    self._carry(inner, outer, counted=True)

    @property
    def _dead(self) -> bool:
        return self._dies_after is not None and self.carried >= self._dies_after

    def _carry(self, source: socket.socket, sink: socket.socket, *, counted: bool) -> None:
        due: SimpleQueue[tuple[Deadline, bytes]] = SimpleQueue()
        for work in (lambda: self._take(source, due, counted), lambda: self._give(sink, due)):
            self._threads.append(threading.Thread(target=work, daemon=True))
            self._threads[-1].start()

    def _take(self, source: socket.socket, due: SimpleQueue[tuple[Deadline, bytes]], counted: bool) -> None:
        data = b"-"
        while data:
            try:
                data = source.recv(max(1, int(self._rate / 20)) if self._rate else CHUNK)
            except OSError:
                data = b""
            self.carried += len(data) if counted else 0
            if self._dead:
                self._over.wait()  # keeps what it has, and says nothing
                return
            due.put((Deadline(self._delay_s), data))
            if self._rate:
                self._over.wait(len(data) / self._rate)

    def _give(self, sink: socket.socket, due: SimpleQueue[tuple[Deadline, bytes]]) -> None:
        data = b"-"
        with contextlib.suppress(OSError):
            while data and not self._over.is_set():
                when, data = due.get()
                self._over.wait(when.remaining())
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def by_wires(file: Path, folder: Path, *, connect_limit_s: float = 5.0, **wires: dict) -> Iterator[Path]:
    """A copy of a lab's cluster file in which these hosts are reached by a `Wire` each; keys stay where they are."""
    data, lab = tomllib.loads(file.read_text()), file.parent
    known = (lab / "known_hosts").read_text().splitlines()
    made = []
    for machine in (data["client"], *data["nodes"]):
        ssh = machine["ssh"]
        ssh |= {"key": str(lab / ssh["key"]), "known_hosts": str(folder / "known_hosts")}
        if machine["name"] in wires:
            wire = Wire(ssh["port"], **wires[machine["name"]])
            made.append(wire)
            key = next(line for line in known if f":{ssh['port']} " in line).split(" ", 1)[1]
            known.append(f"[127.0.0.1]:{wire.port} {key}")
            ssh |= {"port": wire.port, "connect_limit_s": connect_limit_s}
    (folder / "known_hosts").write_text("\n".join(known) + "\n")
    (folder / "cluster.toml").write_text(tomli_w.dumps(data))
    with patch.dict(os.environ, XDG_STATE_HOME=str(file.parents[3])):  # of the shell that the lab is in
        trust.agree_to_own(folder / "cluster.toml")
    try:
        yield folder / "cluster.toml"
    finally:
        for wire in made:
            wire.close()
