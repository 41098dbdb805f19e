"""The harness's own machine, or a namespace of it, as a host.

`LocalHost("lknode01", prefix=["nsenter", "-t", "4711", "-n"])` runs every command inside the namespaces of process 4711.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress

from harness.deadline import Deadline
from harness.hosts.base import Command, CommandFailed, CommandResult, HostUnreachable
from harness.hosts.commands import CommandTookTooLong, as_line, text


class LocalHost:
    """Implements `Host` with processes of this machine. A command ends with everything that it started in its session."""

    def __init__(self, name: str = "localhost", *, prefix: Sequence[str] = ()) -> None:
        self.name = name
        self._prefix = list(prefix)
        self._streams: list[LocalProcess] = []
        self._lock = threading.Lock()

    def run(self, command: Command, *, limit: float = 10.0, input: bytes | None = None) -> CommandResult:
        """Run to the end. Raises HostUnreachable when it cannot be started, CommandTookTooLong after `limit` seconds."""
        line = as_line(command)
        deadline = Deadline(limit)
        process = self._spawn(command, stderr=subprocess.PIPE, stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL)
        try:
            out, err = process.communicate(input, timeout=deadline.remaining())
        except subprocess.TimeoutExpired:
            out, err = _end_and_collect(process)
            raise CommandTookTooLong(self.name, line, limit, text(out), text(err)) from None
        except BaseException:
            _end(process)
            process.wait()
            raise
        return CommandResult(self.name, line, process.returncode, text(out), text(err), deadline.anchor, deadline.elapsed())

    def check(self, command: Command, *, limit: float = 10.0, input: bytes | None = None) -> str:
        """Run, demand exit 0 (CommandFailed otherwise) and return standard output."""
        result = self.run(command, limit=limit, input=input)
        if not result.ok:
            raise CommandFailed(result)
        return result.out

    def start(self, command: Command) -> LocalProcess:
        """Start and stream; its standard error goes to the harness's own."""
        stream = LocalProcess(self._spawn(command, stderr=None, stdin=subprocess.PIPE))
        with self._lock:
            self._streams = [*(s for s in self._streams if s.running), stream]
        return stream

    def alive(self, *, limit: float = 2.0) -> bool:
        try:
            return self.run(["true"], limit=limit).ok
        except (HostUnreachable, CommandTookTooLong):
            return False

    def close(self) -> None:
        """End every stream that is still running."""
        with self._lock:
            streams, self._streams = self._streams, []
        for stream in streams:
            stream.close()

    def _spawn(self, command: Command, **pipes) -> subprocess.Popen[bytes]:
        words = ["sh", "-c", command] if isinstance(command, str) else list(command)
        environment = {**os.environ, "LC_ALL": "C"}
        try:
            return subprocess.Popen([*self._prefix, *words], stdout=subprocess.PIPE, env=environment, start_new_session=True, **pipes)
        except OSError as error:
            tried = self._prefix[0] if self._prefix else words[0]
            raise HostUnreachable(f"{self.name}: `{tried}` cannot be started here: {error.strerror}; is it installed?") from error


class LocalProcess:
    """Implements `Process`. Closing gives it a moment to end by itself on the end of its input, then kills its session."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def lines(self) -> Iterator[str]:
        rest = b""
        while data := self.recv(65536):
            *whole, rest = (rest + data).split(b"\n")
            yield from map(text, whole)
        if rest:
            yield text(rest)

    def send(self, data: bytes) -> None:
        """Write it all. Raises OSError when the process has gone."""
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def recv(self, size: int) -> bytes:
        assert self._process.stdout is not None
        return os.read(self._process.stdout.fileno(), size)

    def close(self, *, grace: float = 1.0) -> None:
        """End it, and leave its output readable up to its end for whoever still reads."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it went first, with input unread
            self._process.stdin.close()
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            _end(self._process)
            self._process.wait()


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):  # ended by itself meanwhile
        os.killpg(process.pid, signal.SIGKILL)


def _end_and_collect(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """Kill the session and take what it had printed; a daemon that fled from it and holds the pipes is not waited for."""
    _end(process)
    try:
        return process.communicate(timeout=1.0)
    except subprocess.TimeoutExpired as left:
        return left.stdout or b"", left.stderr or b""
