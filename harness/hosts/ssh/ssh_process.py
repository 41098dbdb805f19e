"""A command on an SSH channel: run to its end within a limit, or streamed. No call here can block for ever."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from harness.core.deadline import Deadline
from harness.hosts.host import HostUnreachable
from harness.hosts.interrupt_shield import run_uninterrupted
from harness.hosts.output_limits import MAX_OUTPUT_BYTES, BoundedOutput, TooMuchOutput, text_lines
from harness.hosts.shell_command import CommandTookTooLong, shorten, text
from harness.hosts.ssh.ssh_library import paramiko

Clean = Callable[[str, str], tuple[str, str]]

CHUNK = 65536
OUTPUT_QUIET_TIMEOUT_S = 0.5  # after the exit, how long output may pause before a daemon that kept it open is no longer waited for
MAX_STDERR_BYTES = 64 * 1024
MAX_GREETING_BYTES = 64 * 1024  # of what a profile prints before a stream begins
LOST = (OSError, EOFError, paramiko.SSHException)  # what paramiko raises in the middle of a session whose connection is gone
WINDOW_RETRY_INTERVAL_S = 0.02  # how often a full window is tried again; paramiko does not announce that it has opened


def execute(channel: paramiko.Channel, host: str, line: str, command: str, deadline: Deadline) -> None:
    """Ask sshd to run `line`; `command` is how messages call it.

    paramiko waits for the reply without a limit, so a timer closes the channel under it when the deadline passes.
    """
    ender = threading.Timer(deadline.remaining(), close, [channel])
    ender.daemon = True
    ender.start()
    try:
        channel.exec_command(line)
    except LOST as error:
        if deadline.expired:
            raise CommandTookTooLong(host, command, deadline.seconds, "", "") from error
        raise lost_error(host, command) from error
    finally:
        ender.cancel()


def lost_error(host: str, command: str) -> HostUnreachable:
    """The error for a connection that was lost while a command ran."""
    return HostUnreachable(f"{host}: the connection was lost while `{shorten(command)}` ran; whether it finished is unknown")


def finish(
    channel: paramiko.Channel,
    host: str,
    command: str,
    data: bytes | None,
    deadline: Deadline,
    *,
    clean: Clean,
    most: int = MAX_OUTPUT_BYTES,
) -> tuple[int, str, str]:
    """Feed `data`, read both streams until the command has ended, and return (exit, stdout, stderr), both as `clean` leaves them.

    The exit is -1 when a signal ended the command. Raises CommandTookTooLong with what was printed, or HostUnreachable
    when the connection was lost meanwhile, TooMuchOutput when it printed more than `most` bytes: the surplus is taken and dropped, so that
    the command comes to its end.
    """
    out, err = BoundedOutput(most), BoundedOutput(most)
    pending = memoryview(data or b"")
    input_open = True
    quiet = Deadline(OUTPUT_QUIET_TIMEOUT_S)
    channel.settimeout(0.0)
    arrival = _Arrival(channel)
    while True:
        if input_open:
            pending = _feed(channel, pending)
            if not pending:
                input_open = False
                _end_input(channel)
        try:
            has_come = _drain(channel, out, err)
        except LOST as error:  # paramiko tells sshd that there is room again, and waits for new keys before it may
            raise lost_error(host, command) from error
        if has_come:
            quiet = Deadline(OUTPUT_QUIET_TIMEOUT_S)
            if not deadline.expired:
                continue
        exited = channel.exit_status_ready()
        if _is_exhausted(channel) and (exited or channel.closed):
            break
        if exited and not channel.closed and quiet.expired:
            break  # a daemon it left behind holds the streams open
        if deadline.expired:
            raise CommandTookTooLong(host, command, deadline.seconds, *clean(text(bytes(out.data)), text(bytes(err.data))))
        arrival.wait(deadline.within(WINDOW_RETRY_INTERVAL_S if input_open or exited else OUTPUT_QUIET_TIMEOUT_S))
    if channel.exit_status == -1 and not channel.get_transport().is_active():
        raise lost_error(host, command)
    if not (out.is_complete and err.is_complete):
        raise TooMuchOutput(host, shorten(command), channel.exit_status, max(out.size, err.size), most)
    return channel.exit_status, *clean(text(bytes(out.data)), text(bytes(err.data)))


class SshProcess:
    """Implements `Process` on a channel. `released` is called once, when it is closed.

    What comes before `begins` is not the command's: a profile's greeting. When that is all there ever is, it is handed out, as a complaint.
    `clean` takes from both streams' texts what the shell itself has put there.
    """

    def __init__(
        self, channel: paramiko.Channel, released: Callable[[], None], *, begins: bytes = b"", clean: Clean = lambda out, err: (out, err)
    ) -> None:
        self._begins = begins
        self._clean = clean
        self._greeting: bytearray | None = bytearray() if begins else None
        self._channel = channel
        self._on_release = released
        self._closed = threading.Lock()
        self._errors = bytearray()
        self._arrival = _Arrival(channel)
        channel.settimeout(0.0)

    @property
    def running(self) -> bool:
        """Whether the command has not ended."""
        return not self._channel.exit_status_ready()

    @property
    def errors(self) -> str:
        """The last of its standard error, for messages."""
        received = bytes(self._errors)
        return self._clean("", text(received.partition(self._begins)[2] if self._begins and self._begins in received else received))[1]

    def lines(self) -> Iterator[str]:
        """What it prints, line by line until it ends."""
        return text_lines(lambda: self.recv(CHUNK))

    def send(self, data: bytes) -> None:
        """Send it all, waiting for room. Raises OSError when the channel has closed."""
        run_uninterrupted(lambda: self._send(memoryview(data)))

    def _send(self, pending: memoryview) -> None:
        while pending:
            if _has_ended(self._channel):
                raise BrokenPipeError("the remote command has ended")
            if pending := _feed(self._channel, pending):
                self._channel.status_event.wait(WINDOW_RETRY_INTERVAL_S)
        if _has_ended(self._channel):
            raise BrokenPipeError("the remote command has ended")

    def recv(self, size: int) -> bytes:
        """Wait for output and return some of it; empty at its end, when the connection is lost, and after close."""
        return run_uninterrupted(lambda: self._recv(size), abandon=self.close)

    def _recv(self, size: int) -> bytes:
        while True:
            try:
                data = self._read_available(size)
            except LOST:
                return b""
            if data:
                return data
            if data is None and _is_exhausted(self._channel):
                greeting, self._greeting = self._greeting, None
                return bytes(greeting or b"")
            if data is None:
                self._arrival.wait(1.0)

    def _read_available(self, size: int) -> bytes | None:
        """What there is to read, without waiting; None when that is nothing."""
        while self._channel.recv_stderr_ready():
            self._errors += self._channel.recv_stderr(CHUNK)
            del self._errors[:-MAX_STDERR_BYTES]
        return self._strip_greeting(self._channel.recv(size)) if self._channel.recv_ready() else None

    def _strip_greeting(self, data: bytes) -> bytes:
        if self._greeting is None:
            return data
        self._greeting += data
        _, mark, after_greeting = bytes(self._greeting).partition(self._begins)
        if mark:
            self._greeting = None
            return after_greeting
        del self._greeting[:-MAX_GREETING_BYTES]
        return b""

    def close(self) -> None:
        """Closes the channel, without waiting for a host that does not answer."""
        run_uninterrupted(self._close)

    def _close(self) -> None:
        if self._closed.acquire(blocking=False):
            _end_input(self._channel)
            close(self._channel)
            self._on_release()


def _feed(channel: paramiko.Channel, pending: memoryview) -> memoryview:
    """Send what fits into the window now and return the rest; nothing is left to send once the command has gone."""
    while pending:
        if _has_ended(channel):
            return memoryview(b"")
        try:
            sent_bytes = channel.send(bytes(pending[:CHUNK]))
        except TimeoutError:
            return pending
        except LOST:
            return memoryview(b"")  # closed between the two lines; how it ended is told from its exit
        pending = pending[sent_bytes:]
    return pending


def close(channel: paramiko.Channel) -> None:
    """Close a channel; on a connection that is lost, paramiko cannot tell the peer and says so, which changes nothing."""
    with contextlib.suppress(*LOST):
        channel.close()


def _has_ended(channel: paramiko.Channel) -> bool:
    """Has the remote command ended, or the channel?"""
    return bool(channel.closed or channel.exit_status_ready())


def _end_input(channel: paramiko.Channel) -> None:
    with contextlib.suppress(*LOST):  # a closed channel has no input left to end
        channel.shutdown_write()


def _drain(channel: paramiko.Channel, out: BoundedOutput, err: BoundedOutput) -> bool:
    received = False
    if channel.recv_ready():
        out.add(channel.recv(CHUNK))
        received = True
    if channel.recv_stderr_ready():
        err.add(channel.recv_stderr(CHUNK))
        received = True
    return received


def _is_exhausted(channel: paramiko.Channel) -> bool:
    return bool(channel.eof_received or channel.closed) and not channel.recv_ready() and not channel.recv_stderr_ready()


class _Arrival:
    """Wakes a reader when output or its end has come in.

    Not `Channel.fileno`: paramiko reads from that pipe without a lock, and when another thread closes the channel meanwhile, its number
    may already belong to another connection, which then loses a byte of its stream and breaks.
    """

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._arrived = threading.Event()
        channel.in_buffer.set_event(self)  # type: ignore[arg-type]  # of an Event it needs set and clear only
        channel.in_stderr_buffer.set_event(self)  # type: ignore[arg-type]

    def set(self) -> None:
        """Called by paramiko when something came in, and at the end of the stream."""
        self._arrived.set()

    def clear(self) -> None:
        """Called by paramiko when one of the two streams is empty: the other may not be, so the reader looks for itself."""

    def wait(self, limit: float) -> None:
        """Until there is something to read, or the channel ends, or `limit` seconds."""
        self._arrived.clear()
        if self._channel.recv_ready() or self._channel.recv_stderr_ready():
            return
        if _is_exhausted(self._channel):
            self._channel.status_event.wait(limit)  # the stream has ended: what is waited for is the exit
            return
        self._arrived.wait(limit)
