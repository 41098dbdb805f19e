"""A fork server for commands that are Python modules of the lab: they start in a millisecond, not in the fifty of an interpreter.

A real agent's quickCheck is a shell script of a few milliseconds. Ours are Python, and two of them start every second for every
service of every lab; several labs on two cores would do little else. Each command still is a process of its own, with its own limit.
One that is run again and again stays when it is done, and waits for the next time: the fork and what follows it cost six times the check.
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
from typing import IO, Any, NoReturn

from harness.core.deadline import Deadline
from harness.lab.lifekeeper.resource_types.bounded_command import RanOut, run, text_or_failed

KILLED = "was killed"


class ForkServer:
    """Runs `interpreter -m module words…` by forking a process that has the module loaded; any other command as usual."""

    def __init__(self, interpreter: str | None) -> None:
        self._interpreter = interpreter
        self._server: socket.socket | None = None
        self._standing: dict[tuple[str, ...], _ForkedProcess] = {}  # what waits for its next time, by command
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
        """End the server and wait for it. A daemon need not: the server hears of its end, and so does what waits."""
        while self._standing:
            self._standing.popitem()[1].line.close()
        if self._server is not None:
            self._server.close()
            self._server = None
            with contextlib.suppress(ChildProcessError):  # it had been killed and waited for
                os.waitpid(self.pid, 0)

    def run(self, argv: Sequence[str], limit: float, *, extra: Mapping[str, str], again: bool = False) -> str:
        """Run to exit 0 within `limit` seconds and return its output. Raises Failed with its exit and last line, or RanOut.

        `again`: it only looks, and will be run again, so its process may stay for that.
        """
        deadline, stays_as = Deadline(limit), (*argv, *extra.values()) if again else ()
        standing = self._standing.pop(stays_as, None)
        if standing is not None:
            with contextlib.suppress(_NeverBegan):  # somebody killed it while it waited: a new one does it
                return self._run_forked(standing, argv, deadline, stays_as)
        line = self._ordered(argv, extra, again)
        if line is None:
            return run(argv, limit, extra=extra)
        try:
            return self._run_forked(_ForkedProcess(line), argv, deadline, stays_as)
        except _NeverBegan:
            return text_or_failed(argv, KILLED, "")

    def _ordered(self, argv: Sequence[str], extra: Mapping[str, str], again: bool) -> socket.socket | None:
        """The line on which the forked process will tell of itself; None when this command has to be started the usual way."""
        if self._server is None or len(argv) < 3 or argv[0] != self._interpreter or argv[1] != "-m":
            return None
        ours, its = socket.socketpair()
        order = json.dumps({"module": argv[2], "words": list(argv[3:]), "extra": dict(extra), "again": again}).encode()
        try:
            with its:
                socket.send_fds(self._server, [order], [its.fileno()])
        except OSError:  # somebody killed the server: slower from now on, and no worse
            ours.close()
            return None
        return ours

    def _run_forked(self, forked: _ForkedProcess, argv: Sequence[str], deadline: Deadline, stays_as: tuple[str, ...]) -> str:
        """Have the process begin, and tell how it ended; keep it under `stays_as`, where that is something. Raises as `run` does, and
        _NeverBegan."""
        is_kept = False
        try:
            outcome = forked.outcome(deadline)
            if stays_as and outcome["status"] != KILLED:
                is_kept = self._standing.setdefault(stays_as, forked) is forked
        except RanOut:
            raise RanOut(f"{argv[0]} {argv[1]} {argv[2]} did not end within {deadline.seconds:g} s and was killed") from None
        finally:
            if not is_kept:
                forked.line.close()
        return text_or_failed(argv, outcome["status"], outcome["output"])


class _NeverBegan(Exception):
    """The process ended before it had begun with the command."""


class _ForkedProcess:
    """A forked process, as far as the daemon knows it: its pid is known from its first word."""

    def __init__(self, line: socket.socket) -> None:
        self.line = line
        self._pid = b""

    def outcome(self, deadline: Deadline) -> dict[str, str]:
        """Have it run its command; `status` is empty where that ended well. Raises _NeverBegan, or RanOut once it was killed."""
        answer = b""
        with contextlib.suppress(ConnectionError):  # it has ended; what it said before counts
            self.line.sendall(b"\n")
            while answer.count(b"\n") < 2:
                if not select.select([self.line], [], [], deadline.remaining())[0]:
                    self._kill()
                    raise RanOut
                chunk = self.line.recv(65536)
                if not chunk:
                    break
                answer += chunk
                self._pid = answer.partition(b"\n")[0]
        began, _, rest = answer.partition(b"\n")
        if not began:
            raise _NeverBegan
        return dict(json.loads(rest)) if rest.endswith(b"\n") else {"status": KILLED, "output": ""}

    def _kill(self) -> None:
        if self._pid:
            with contextlib.suppress(ProcessLookupError):  # it ended at this very moment
                os.killpg(int(self._pid), signal.SIGKILL)


def _serve(orders: socket.socket) -> NoReturn:
    """The server: one order, one fork. Ends when the daemon does."""
    try:
        orders_fd = orders.fileno()
        os.closerange(3, orders_fd)
        os.closerange(orders_fd + 1, 65536)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children here
        while True:
            order, lines, _, _ = socket.recv_fds(orders, 1 << 16, 1)
            if not order:
                os._exit(0)
            order_data = json.loads(order)
            with contextlib.suppress(ImportError):  # the child will say so, with its traceback
                importlib.import_module(order_data["module"])
            if os.fork() == 0:
                orders.close()
                _carry_out(order_data, socket.socket(fileno=lines[0]))
            os.close(lines[0])
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def _carry_out(order_data: dict[str, Any], line: socket.socket) -> NoReturn:
    """Be the command: in a session of its own, its output in a file, which a service that it leaves behind may keep open. At each line
    that comes it is run, the pid told before it and the end behind it: once, or until nobody is at the other end."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    output = tempfile.TemporaryFile()  # noqa: SIM115 - this process ends by _exit
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115 - whatever they were
    os.environ.update(order_data["extra"])
    try:
        while line.recv(1):
            line.sendall(b"%d\n" % os.getpid())
            line.sendall(json.dumps(_run_here(order_data, output)).encode() + b"\n")
            if not order_data["again"]:
                break
    finally:
        os._exit(0)


def _run_here(order_data: dict[str, Any], output: IO[bytes]) -> dict[str, str]:
    """The command, run once in this process."""
    status: int | str = 1
    output.seek(0)
    output.truncate()
    try:
        sys.argv = [order_data["module"], *order_data["words"]]
        status = importlib.import_module(order_data["module"]).main(order_data["words"])
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    output.seek(0)
    return {"status": f"exited {status}" if status else "", "output": output.read().decode(errors="replace")}
