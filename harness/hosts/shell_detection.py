"""What answers at the other end of an SSH session: a POSIX shell or PowerShell."""

from __future__ import annotations

from typing import Protocol

from harness.hosts.host import Command
from harness.hosts.shell_command import BEGINS, without_greeting, wrap_command
from harness.hosts.windows import powershell


class Shell(Protocol):
    """Turns commands into what sshd is asked to run, and output into what callers read.

    `begins` comes in each stream before the command's own output; empty where nothing does.
    """

    begins: bytes

    def to_run(self, command: Command, data: bytes | None, *, sudo: bool, limit: float) -> tuple[str, bytes | None]:
        """The line, and its standard input, for a command that is to end within `limit` seconds even when the connection is lost."""

    def to_stream(self, command: Command, *, sudo: bool) -> str:
        """The line for a command that ends when its input does."""

    def clean(self, out: str, err: str) -> tuple[str, str]:
        """Output without what the shell itself added."""


class Posix:
    """A POSIX shell."""

    begins = BEGINS.encode()

    def to_run(self, command: Command, data: bytes | None, *, sudo: bool, limit: float) -> tuple[str, bytes | None]:
        """The line for a command with a limit in seconds, and what goes to its standard input."""
        return wrap_command(command, sudo=sudo, limit=limit), data

    def to_stream(self, command: Command, *, sudo: bool) -> str:
        """The line for a command that is streamed."""
        return wrap_command(command, sudo=sudo)

    def clean(self, out: str, err: str) -> tuple[str, str]:
        """Standard output and error without what a profile printed before."""
        return without_greeting(out), without_greeting(err)


class PowerShell:
    """There is no sudo; the model admits none for Windows."""

    begins = b""

    def to_run(self, command: Command, data: bytes | None, *, sudo: bool, limit: float) -> tuple[str, bytes | None]:
        """The same for PowerShell, which gets the command as a script."""
        return powershell.invocation(command, data, limit=limit)

    def to_stream(self, command: Command, *, sudo: bool) -> str:
        """The same for a command that is streamed."""
        return powershell.invocation(command, streams=True)[0]

    def clean(self, out: str, err: str) -> tuple[str, str]:
        """Standard output and error without PowerShell's own wrapping."""
        return powershell.clean_output(out), powershell.clean_errors(err)


SHELLS: dict[str, Shell] = {"linux": Posix(), "windows": PowerShell()}
