"""The process of one cluster of a fleet: a new interpreter, or a fork of one that has loaded what a run needs."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import IO, Protocol

from harness.commands.fleet.fleet_summary import environment_of_runs
from harness.commands.fleet.run_fork_server import BEGAN, ENDED

PROGRAM = (sys.executable, "-m", "harness.cli")
SERVER = (sys.executable, "-m", "harness.commands.fleet.run_fork_server")


class Child(Protocol):
    """A process that goes on whatever becomes of the fleet."""

    def wait(self) -> int:
        """Until it has ended: its exit code, or the signal that ended it as a negative number. For one thread; may be called again."""

    def send_signal(self, number: int) -> None:
        """Nothing to one that has ended."""


Start = Callable[[Sequence[str], IO[bytes]], Child]
"""Begins words as a process whose output goes to that file. Raises OSError."""


def start_interpreter(words: Sequence[str], log: IO[bytes]) -> Child:
    """A new process for these words."""
    return subprocess.Popen(
        words,
        env=environment_of_runs(),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a terminal's Ctrl-C reaches the fleet alone, which hands it on once
    )


class Fork:
    """A command that the server has forked. Raises OSError when there is no server any more."""

    def __init__(self, server: socket.socket, words: Sequence[str], log: IO[bytes]) -> None:
        self._answers, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._returncode: int | None = None
        self._waiting = threading.Lock()
        with theirs:
            socket.send_fds(server, [json.dumps(list(words)).encode()], [theirs.fileno(), log.fileno()])
        kind, number = self._receive()
        if kind == ENDED:
            self._returncode = number
        elif kind != BEGAN:
            raise OSError("the server of the fleet's processes has ended")
        self._pid = number

    def wait(self) -> int:
        """Until it has ended. Where who waited for it was killed, nobody can say how; then it is 1."""
        with self._waiting:
            if self._returncode is None:
                kind, number = self._receive()
                if kind != ENDED:
                    _wait_for_pid(self._pid)
                self._returncode = number if kind == ENDED else 1
            return self._returncode

    def send_signal(self, number: int) -> None:
        """Nothing to one that has ended."""
        if self._returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def _receive(self) -> tuple[str, int]:
        """The next answer; an empty one when there will be none."""
        try:
            kind, _, number = self._answers.recv(64).decode().partition(" ")
        except OSError:
            return "", 0
        return (kind, int(number)) if number else ("", 0)


def _wait_for_pid(pid: int) -> None:
    """Until a process that is not ours has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:  # it has
        return
    try:
        select.select([descriptor], [], [])
    finally:
        os.close(descriptor)


class ForkServer:
    """Begins commands of this program as forks; used as a context manager. Loading begins with the first one, and ends with the fleet."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            self._process.wait()

    def start(self, words: Sequence[str], log: IO[bytes]) -> Child:
        """A fork for words that begin with PROGRAM; where the server cannot be had, a new interpreter. Raises OSError."""
        if tuple(words[: len(PROGRAM)]) != PROGRAM or not can_fork():
            return start_interpreter(words, log)
        try:
            if self._socket is None:
                self._socket, self._process = _begin_server()
            return Fork(self._socket, words[len(PROGRAM) :], log)
        except OSError:
            return start_interpreter(words, log)


def can_fork() -> bool:
    """Only where a fork is safe whatever libraries are loaded, and files can be handed on."""
    return sys.platform == "linux" and hasattr(socket, "send_fds")


def _begin_server() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [*SERVER, str(theirs.fileno())],
            env=environment_of_runs(),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # what reads the fleet's output must not wait for commands that outlive it
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # what ends the fleet's group or hangs up its terminal is not meant for it
        )
    return ours, process
