"""A fork server for commands that are Python modules of the lab: they start in a millisecond, not in the fifty of an interpreter.

A real agent's quickCheck is a shell script of a few milliseconds. Ours are Python, and one of them starts every second for every
service of every lab; several labs on two cores would do little else. Each command still is a process of its own, with its own limit.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from typing import NoReturn

from harness.core.deadline import Deadline
from harness.lab.lifekeeper.resource_types.bounded_command import RanOut, run, text_or_failed


class Warm:
    """Runs `interpreter -m module words…` by forking a process that has the module loaded; any other command as usual."""

    def __init__(self, interpreter: str | None) -> None:
        self._interpreter = interpreter
        self._server: socket.socket | None = None
        self.pid = 0

    def start(self) -> None:
        """Fork the server. Only while this process has no threads yet; the server ends with it."""
        if self._interpreter is None:
            return
        self._server, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            _serve(its_end)
        its_end.close()

    def stop(self) -> None:
        """End the server and wait for it. A daemon need not: the server hears of its end."""
        if self._server is not None:
            self._server.close()
            self._server = None
            with contextlib.suppress(ChildProcessError):  # it had been killed and waited for
                os.waitpid(self.pid, 0)

    def run(self, argv: Sequence[str], limit: float, *, extra: Mapping[str, str]) -> str:
        """Run to exit 0 within `limit` seconds and return its output. Raises Failed with its exit and last line, or RanOut."""
        line = self._ordered(argv, extra)
        if line is None:
            return run(argv, limit, extra=extra)
        with line:
            return _outcome(line, argv, Deadline(limit))

    def _ordered(self, argv: Sequence[str], extra: Mapping[str, str]) -> socket.socket | None:
        """The line on which the forked process will tell of itself; None when this command has to be started the usual way."""
        if self._server is None or len(argv) < 3 or argv[0] != self._interpreter or argv[1] != "-m":
            return None
        ours, its = socket.socketpair()
        order = json.dumps({"module": argv[2], "words": list(argv[3:]), "extra": dict(extra)}).encode()
        try:
            with its:
                socket.send_fds(self._server, [order], [its.fileno()])
        except OSError:  # somebody killed the server: slower from now on, and no worse
            ours.close()
            return None
        return ours


def _outcome(line: socket.socket, argv: Sequence[str], deadline: Deadline) -> str:
    said = b""
    while select.select([line], [], [], deadline.remaining())[0]:
        piece = line.recv(65536)
        said += piece
        if not piece:
            pid, _, rest = said.partition(b"\n")
            told = json.loads(rest) if rest else {"status": "was killed", "output": ""}
            return text_or_failed(argv, told["status"], told["output"])
    pid = said.partition(b"\n")[0]
    if pid:
        with contextlib.suppress(ProcessLookupError):  # it ended at this very moment
            os.killpg(int(pid), signal.SIGKILL)
    raise RanOut(f"{argv[0]} {argv[1]} {argv[2]} did not end within {deadline.seconds:g} s and was killed")


def _serve(orders: socket.socket) -> NoReturn:
    """The server: one order, one fork. Ends when the daemon does."""
    try:
        kept = orders.fileno()
        os.closerange(3, kept)
        os.closerange(kept + 1, 65536)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children here
        while True:
            order, lines, _, _ = socket.recv_fds(orders, 1 << 16, 1)
            if not order:
                os._exit(0)
            asked = json.loads(order)
            with contextlib.suppress(ImportError):  # the child will say so, with its traceback
                importlib.import_module(asked["module"])
            if os.fork() == 0:
                orders.close()
                _carry_out(asked, socket.socket(fileno=lines[0]))
            os.close(lines[0])
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def _carry_out(asked: dict, line: socket.socket) -> NoReturn:
    """Be the command: in a session of its own, its output in a file, which a service that it leaves behind may keep open."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    line.sendall(b"%d\n" % os.getpid())
    os.environ.update(asked["extra"])
    output = tempfile.TemporaryFile()  # noqa: SIM115 - this process ends by _exit
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115 - whatever they were
    status: int | str = 1
    try:
        sys.argv = [asked["module"], *asked["words"]]
        status = importlib.import_module(asked["module"]).main(asked["words"])
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        output.seek(0)
        told = {"status": f"exited {status}" if status else "", "output": output.read().decode(errors="replace")}
        line.sendall(json.dumps(told).encode())
        os._exit(0)
