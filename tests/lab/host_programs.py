"""Python programs in a lab's hosts, each forked from one Python that waits in its host: starting a new one costs 100 ms of processor time,
most of it for what every Python loads, and the conformance tests start a thousand of them."""

from __future__ import annotations

import json
import selectors
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import IO, Any

from harness.lab.control import nsenter
from harness.lab.control.lab_registry import LabRecord

SERVER = Path(__file__).with_name("host_program_server.py").read_text("utf-8")
MOST = 1 << 16  # bytes of a message, program and arguments


class HostProgram:
    """A program that runs in a host, with what a `subprocess.Popen` with pipes for text has of it. Its exit code is 0 where it came to its
    end, 1 where it raised, and -9 where it was ended."""

    def __init__(self, server: HostPython, pid: int, ends: tuple[socket.socket, ...]) -> None:
        self._server, self._pid = server, pid
        self.stdin: IO[str] | None
        self.stdin, self.stdout, self.stderr = (end.makefile(mode) for end, mode in zip(ends, "wrr", strict=False))
        self._life = ends[3]
        for end in ends[:3]:
            end.close()  # the file keeps it open
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it is gone. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            self._life.settimeout(timeout)
            try:
                told = b""
                while more := self._life.recv(16):
                    told += more
            except TimeoutError:
                raise subprocess.TimeoutExpired(f"program {self._pid}", timeout or 0.0) from None
            self._life.close()
            self.returncode = int(told) if told else -signal.SIGKILL
        return self.returncode

    def send_signal(self, number: int) -> None:
        self._server.send_signal(self._pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """End its input, read what it says until its end, and wait for that. Raises subprocess.TimeoutExpired."""
        until = None if timeout is None else time.monotonic() + timeout
        if self.stdin:
            self.stdin.close()
        said = {stream: b"" for stream in (self.stdout, self.stderr) if not stream.closed}
        with selectors.DefaultSelector() as selector:
            for stream in said:
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(None if until is None else max(0.0, until - time.monotonic()))
                if not ready:
                    raise subprocess.TimeoutExpired(f"program {self._pid}", timeout or 0.0)
                for key, _ in ready:
                    if data := key.fileobj.buffer.read1():  # type: ignore[union-attr]
                        said[key.fileobj] += data  # type: ignore[index]
                    else:
                        selector.unregister(key.fileobj)
                        key.fileobj.close()  # type: ignore[union-attr]
        self.wait(None if until is None else max(0.1, until - time.monotonic()))
        return said.get(self.stdout, b"").decode(), said.get(self.stderr, b"").decode()


class HostPython:
    """The Python that waits in a host. Where the host has lost its power since, another one begins with the next program."""

    def __init__(self, record: LabRecord, host: str) -> None:
        self._record, self._host = record, host
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    def begin(self, code: str, arguments: tuple[str, ...]) -> HostProgram:
        ours, theirs = zip(*(socket.socketpair() for _ in range(4)), strict=True)
        try:
            message = json.dumps({"code": code, "arguments": arguments}).encode()
            assert len(message) < MOST, len(message)
            pid = self._asked(message, [end.fileno() for end in theirs])
        finally:
            for end in theirs:
                end.close()
        return HostProgram(self, pid, ours)

    def send_signal(self, pid: int, number: int) -> None:
        """Where the host has gone, so has the program."""
        with self._lock:
            if self._channel:
                try:
                    self._channel.sendall(json.dumps({"pid": pid, "signal": number}).encode())
                except OSError:
                    self._forget()

    def _asked(self, message: bytes, fds: list[int]) -> int:
        with self._lock:
            if self._channel and (pid := self._tried(message, fds)):
                return pid
            self._forget()
            self._start()
            if pid := self._tried(message, fds):
                return pid
            said = self._process.communicate()[1].decode() if self._process and self._process.stderr else ""
            raise AssertionError(f"no Python waits in {self._host}: {said}")

    def _tried(self, message: bytes, fds: list[int]) -> int:
        """The program's number in its host, or 0 where nobody waits there any more."""
        assert self._channel
        try:
            socket.send_fds(self._channel, [message], fds)
            return int(self._channel.recv(64) or 0)
        except OSError:
            return 0

    def _start(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = ["python3", "-IS", "-u", "-c", SERVER, str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(
                nsenter.command(self._record, self._host, words),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
            )

    def _forget(self) -> None:
        if self._channel:
            self._channel.close()
            self._channel = None
        if self._process:
            self._process.send_signal(signal.SIGCONT)  # nsenter stops itself with a host that is frozen
            self._process.communicate(timeout=120)
            self._process = None

    def close(self) -> None:
        """See it gone: what is left for the machine's first process to reap keeps the lab from going down."""
        with self._lock:
            self._forget()


def run(python: HostPython, code: str, arguments: tuple[Any, ...], *, limit: float) -> subprocess.CompletedProcess[str]:
    """A program's whole run."""
    program = python.begin(code, tuple(map(str, arguments)))
    try:
        out, err = program.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        program.kill()
        raise
    return subprocess.CompletedProcess([code], program.wait(), out, err)
