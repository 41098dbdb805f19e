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
_STARTS = threading.Lock()


def can_run(words: Sequence[str], environment: dict[str, str]) -> bool:
    """Whether its modules are loaded, and its environment asks nothing of the interpreter that this process's own does not."""
    names = {n for n in (*environment, *os.environ) if n.startswith(CHOSEN_BY_THE_INTERPRETER)}
    same = all(os.environ.get(name) == environment.get(name) for name in names)
    return same and len(words) > 1 and words[0] == "-m" and words[1] in MODULES


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
    asked = {"words": list(words), "folder": str(folder), "environment": environment, "umask": umask, "loads": list(loads)}
    request = json.dumps(asked).encode()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, ours:
        with theirs:
            socket.send_fds(_server(), [request], [out.fileno(), err.fileno(), theirs.fileno()])
        pid = int(ours.recv(64))
        ours.settimeout(limit_s)
        try:
            code = int(ours.recv(64))
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            ours.settimeout(None)
            ours.recv(64)
            raise subprocess.TimeoutExpired([sys.executable, *words], limit_s, _text(out), _text(err)) from None
        return subprocess.CompletedProcess([sys.executable, *words], code, _text(out), _text(err))


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
        words = [sys.executable, str(Path(__file__).with_name("command_server.py")), str(theirs.fileno())]
        subprocess.Popen(words, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, cwd=Path(__file__).parents[2])
    return ours
