"""What the tests of the lab's services share: a folder for them, and a stand-in service as a real process on loopback."""

from __future__ import annotations

import contextlib
import functools
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.core.deadline import Deadline
from harness.lab.services import node_process, postgres_template
from harness.services import service_registry
from harness.services.service_kind import Identity
from tests.free_port import free_port

LIMIT = 30.0
PASSWORD = "s3cret of the lab's database"  # one for all, so that one template does
_CACHE = tempfile.TemporaryDirectory(prefix="lkt-")  # until this process ends


class Unit:
    """One stand-in service, driven through `unit` as the cluster manager drives it."""

    def __init__(self, folder: Path, service: str, protocol: str, *extra: str) -> None:
        self.folder, self.port = folder, free_port()
        self.pid_file, self.log = folder / f"{service}.pid", folder / f"{service}.log"
        self.words = ["--name", service, "--pid-file", str(self.pid_file), "--protocol", protocol, "--port", str(self.port)]
        self.words += ["--log", str(self.log), "--limit", "60"]
        self.service = ["--", service, "--port", str(self.port), "--bind", "127.0.0.1", "--node", "lknode01", *extra]

    def do(self, action: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "harness.lab.services.service_control", action, *self.words]
        return subprocess.run([*words, *(self.service if "start" in action else [])], capture_output=True, text=True, timeout=LIMIT)

    @property
    def process(self) -> node_process.Process:
        found = node_process.process_of(self.pid_file)
        assert found is not None, self.log.read_text()
        return found

    def ask(self, kind: str, **settings: str) -> Identity:
        return service_registry.kind(kind).who_are_you("127.0.0.1", self.port, settings=settings, deadline=Deadline(LIMIT))

    def raw(self, *pieces: bytes) -> bytes:
        """Say something, end our side, and return all that comes back."""
        with socket.create_connection(("127.0.0.1", self.port), LIMIT) as sock:
            for piece in pieces:
                sock.sendall(piece)
            with contextlib.suppress(OSError):  # it has heard enough and closed already
                sock.shutdown(socket.SHUT_WR)
            heard = b""
            with contextlib.suppress(ConnectionResetError):
                while more := sock.recv(4096):
                    heard += more
            return heard


@contextlib.contextmanager
def started(unit: Unit) -> Iterator[Unit]:
    done = unit.do("start")
    try:
        assert done.returncode == 0, done.stderr
        yield unit
    finally:
        unit.do("stop")


@functools.cache
def template() -> Path:
    """A database for copies, which takes a second or two to make: once in each worker, not in each file."""
    return postgres_template.ensure_template(Path(_CACHE.name), PASSWORD)


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """Short and open to the postgres account, which pytest's own folders are not."""
    with tempfile.TemporaryDirectory(prefix="lks-") as name:
        Path(name).chmod(0o755)
        yield Path(name)
