"""The harness's commands as processes that are forked from one which has its modules loaded (`command_server`).

A command costs a test a fraction of what it costs as a new interpreter, and is a process of its own all the same: its own arguments,
environment, folder, standard streams and exit code. What a new interpreter itself does (how long it takes to load, what Ctrl-C does
meanwhile, which encoding it chooses) is not tried so: those tests start one.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

CHOSEN_BY_THE_INTERPRETER = ("PYTHON", "LC_", "LANG")  # what it reads once, at its start
MODULES = ("harness.cli", "pytest")
MAX_FILE = 256  # no file of a request has a higher number in the server; further ones than the streams are found from this number on
_STARTS = threading.Lock()


def can_run(words: Sequence[str], environment: dict[str, str]) -> bool:
    """Whether its modules are loaded, and its environment asks nothing of the interpreter that this process's own does not."""
    names = {n for n in (*environment, *os.environ) if n.startswith(CHOSEN_BY_THE_INTERPRETER)}
    same = all(os.environ.get(name) == environment.get(name) for name in names)
    return same and len(words) > 1 and words[0] == "-m" and words[1] in MODULES


class Begun:
    """A command that is under way, used as a `subprocess.Popen` with pipes is."""

    def __init__(self, words: Sequence[str], request: bytes, files: Sequence[int] = ()) -> None:
        self.args = [sys.executable, *words]
        self.returncode: int | None = None
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        self._answers, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        streams = files or (self._out.fileno(), self._err.fileno())
        with theirs:
            socket.send_fds(_server(), [request], [theirs.fileno(), *streams])
        self.pid = int(self._answers.recv(64))

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises TimeoutExpired."""
        if self.returncode is None:
            self._answers.settimeout(timeout)
            try:
                self.returncode = int(self._answers.recv(64))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0) from None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it said, when it has ended; may be asked again. Raises TimeoutExpired."""
        self.wait(timeout)
        return _text(self._out), _text(self._err)

    def close(self) -> None:
        for one in (self._out, self._err, self._answers):
            one.close()


def begin(
    words: Sequence[str],
    *,
    folder: Path,
    environment: dict[str, str],
    umask: int | None = None,
    loads: Sequence[str] = (),
    files: Sequence[int] = (),
) -> Begun:
    """`python WORDS…`, which goes on until it ends or is killed. `files` are its two streams and what it finds from MAX_FILE on."""
    asked = {"words": list(words), "folder": str(folder), "environment": environment, "umask": umask, "loads": list(loads)}
    return Begun(words, json.dumps(asked).encode(), files)


def run(
    words: Sequence[str],
    *,
    folder: Path,
    environment: dict[str, str],
    limit_s: float,
    umask: int | None = None,
    loads: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """`python WORDS…` to its end. Raises TimeoutExpired after `limit_s` seconds, when it is killed.

    `loads` are modules beside the harness's own that the command would load, and that take their time.
    """
    with contextlib.closing(begin(words, folder=folder, environment=environment, umask=umask, loads=loads)) as begun:
        try:
            out, err = begun.communicate(limit_s)
        except subprocess.TimeoutExpired:
            begun.kill()
            raise subprocess.TimeoutExpired(begun.args, limit_s, *begun.communicate()) from None
        return subprocess.CompletedProcess(begun.args, begun.wait(), out, err)


def _text(file: tempfile._TemporaryFileWrapper[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8")


def _server() -> socket.socket:
    with _STARTS:  # tests run commands in threads, too
        return _started()


@functools.cache
def _started() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        words = [sys.executable, "-m", "tests.e2e.command_server", str(theirs.fileno())]
        subprocess.Popen(words, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, cwd=Path(__file__).parents[2])
    return ours
