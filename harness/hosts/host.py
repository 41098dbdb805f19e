"""What every transport offers: run a command, stream one, and say whether the host still answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.core.errors import HarnessError, Unusable

Command = str | Sequence[str]  # a shell line (PowerShell's on Windows), or words that the transport quotes


@dataclass(frozen=True)
class CommandResult:
    """A finished command: `started` is the harness's monotonic time, `seconds` how long it took."""

    host: str
    command: str
    exit: int
    out: str
    err: str
    started: float
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the command exited with 0."""
        return self.exit == 0


class CommandFailed(HarnessError):
    """A command that had to succeed did not."""

    def __init__(self, result: CommandResult) -> None:
        last_line = (result.err.strip() or result.out.strip() or "nothing").splitlines()[-1]
        super().__init__(f"{result.host}: `{result.command}` exited {result.exit} and said: {last_line}")
        self.result = result


class HostUnreachable(Unusable):
    """The host did not answer in time, refused, or the connection broke."""


class WrongHostKey(HostUnreachable):
    """The host showed a key that the cluster file's known_hosts does not vouch for. Never retried."""


class NotReadable(Unusable):
    """What a host printed is not what was asked for; the message quotes it."""


class Process(Protocol):
    """A command that is still running: lines out, bytes in."""

    def lines(self) -> Iterator[str]:
        """Its standard output, line by line, until it ends."""

    def send(self, data: bytes) -> None:
        """Writes to its standard input; raises HostUnreachable when it is gone."""

    def recv(self, size: int) -> bytes:
        """Raw bytes of its standard output (do not mix with `lines`); empty at its end."""

    def close(self) -> None:
        """End it: close its input and its channel; the remote side ends by itself on that."""


class Host(Protocol):
    """A machine that commands run on."""

    name: str

    def run(self, command: Command, *, limit: float = 10.0, input: bytes | None = None) -> CommandResult:
        """Run to the end. Raises HostUnreachable, or DeadlineExceeded after `limit` seconds."""

    def check(self, command: Command, *, limit: float = 10.0, input: bytes | None = None) -> str:
        """Run, demand exit 0 (CommandFailed otherwise) and return standard output."""
        result = self.run(command, limit=limit, input=input)
        if not result.ok:
            raise CommandFailed(result)
        return result.out

    def start(self, command: Command) -> Process:
        """Starts a command that is streamed; raises HostUnreachable."""

    def alive(self, *, limit: float = 2.0) -> bool:
        """Does the host itself answer now (not only the local end of a connection)?"""

    def close(self) -> None:
        """Closes the connection; does nothing for one that is closed."""
