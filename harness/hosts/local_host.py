"""The harness's own machine, or a namespace of it, as a host.

`LocalHost("lknode01", prefix=["nsenter", "-t", "4711", "-n"])` runs every command inside the namespaces of process 4711.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress

from harness.core.deadline import Deadline
from harness.hosts.host import Command, CommandResult, Host, HostUnreachable
from harness.hosts.output_limits import MAX_OUTPUT_BYTES, BoundedOutput, TooMuchOutput, text_lines
from harness.hosts.shell_command import CommandTookTooLong, as_line, shorten, text


class LocalHost(Host):
    """Implements `Host` with processes of this machine. A command ends with everything that it started in its session."""

    def __init__(self, name: str = "localhost", *, prefix: Sequence[str] = ()) -> None:
        self.name = name
        self._prefix = list(prefix)
        self._streams: list[LocalProcess] = []
        self._lock = threading.Lock()

    def run(self, command: Command, *, limit: float = 10.0, input: bytes | None = None, most: int = MAX_OUTPUT_BYTES) -> CommandResult:
        """Run to the end. Raises HostUnreachable when it cannot be started, CommandTookTooLong after `limit` seconds, TooMuchOutput when
        it printed more than `most` bytes."""
        line = as_line(command)
        deadline = Deadline(limit)
        process = self._spawn(command, stderr=subprocess.PIPE, stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL)
        try:
            out, err, ended = _exchange(process, input, deadline, most)
            if not ended:
                _kill_session(process)
                process.wait()
                raise CommandTookTooLong(self.name, line, limit, text(bytes(out.data)), text(bytes(err.data)))
        except BaseException:
            _kill_session(process)
            process.wait()
            raise
        finally:
            if process.stdin is not None:
                with suppress(BrokenPipeError):
                    process.stdin.close()
        if not (out.is_complete and err.is_complete):
            raise TooMuchOutput(self.name, shorten(line), process.returncode, max(out.size, err.size), most)
        decoded = text(bytes(out.data)), text(bytes(err.data))
        return CommandResult(self.name, line, process.returncode, *decoded, deadline.anchor, deadline.elapsed())

    def start(self, command: Command) -> LocalProcess:
        """Start and stream; its standard error goes to the harness's own."""
        stream = LocalProcess(self._spawn(command, stderr=None, stdin=subprocess.PIPE))
        with self._lock:
            self._streams = [*(s for s in self._streams if s.running), stream]
        return stream

    def alive(self, *, limit: float = 2.0) -> bool:
        """Whether a command runs there within `limit` seconds."""
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
            program = self._prefix[0] if self._prefix else words[0]
            raise HostUnreachable(f"{self.name}: `{program}` cannot be started here: {error.strerror}; is it installed?") from error


class LocalProcess:
    """Implements `Process`. Closing gives it a moment to end by itself on the end of its input, then kills its session."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def lines(self) -> Iterator[str]:
        """What it prints, line by line until it ends."""
        return text_lines(lambda: self.recv(65536))

    def send(self, data: bytes) -> None:
        """Write it all. Raises OSError when the process has gone."""
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def recv(self, size: int) -> bytes:
        """The next bytes that it prints; empty when it has ended."""
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
            _kill_session(self._process)
            self._process.wait()


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):  # ended by itself meanwhile
        os.killpg(process.pid, signal.SIGKILL)


def _exchange(
    process: subprocess.Popen[bytes], data: bytes | None, deadline: Deadline, most: int
) -> tuple[BoundedOutput, BoundedOutput, bool]:
    """Feed `data` and read both streams to their ends; what they said, and whether the process ended in time.

    A daemon that fled from its session and holds the streams open is waited for as long as the deadline allows, as ever.
    """
    assert process.stdout is not None and process.stderr is not None
    out, err = BoundedOutput(most), BoundedOutput(most)
    with selectors.DefaultSelector() as ready, process.stdout, process.stderr:
        for stream, output in ((process.stdout, out), (process.stderr, err)):
            os.set_blocking(stream.fileno(), False)
            ready.register(stream, selectors.EVENT_READ, output)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            ready.register(process.stdin, selectors.EVENT_WRITE)
        pending = memoryview(data or b"")
        while ready.get_map():
            if deadline.expired:
                return out, err, False
            for key, _ in ready.select(deadline.remaining()):
                if key.data is None:
                    pending = _feed(key.fd, pending)
                    if not pending:
                        ready.unregister(key.fileobj)
                        with suppress(BrokenPipeError):
                            process.stdin.close()  # type: ignore[union-attr]  # it is what is registered
                elif chunk := os.read(key.fd, 65536):
                    key.data.add(chunk)
                else:
                    ready.unregister(key.fileobj)
    try:
        process.wait(deadline.remaining())
    except subprocess.TimeoutExpired:
        return out, err, False
    return out, err, True


def _feed(fd: int, pending: memoryview) -> memoryview:
    """Write what there is room for and return the rest; nothing is left to write once the process has gone."""
    try:
        return pending[os.write(fd, pending[:65536]) :] if pending else pending
    except BlockingIOError:
        return pending
    except BrokenPipeError:
        return memoryview(b"")
