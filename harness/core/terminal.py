"""The one printer of the command line: what is written to the terminal is seen, and does nothing there."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.core.redaction.output_redaction import Cleaner
from harness.core.text.host_text import visible
from harness.core.text.output_encoding import allow_every_encoding

CLEANER = Cleaner()  # of this process's terminal; a verb that learns of secrets tells it


class CleanedStream:
    """A stream whose text is written out with every character that would act written as \\x1b, and without known secrets."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes text to the terminal without secrets and without control characters."""
        self._stream.write(visible(CLEANER.without_known(text)))
        return len(text)

    def write_command(self, line: str) -> None:
        """Writes a line that a CI service is to take for its command, which `write` would write out; its words are escaped already."""
        self._stream.write(f"{CLEANER.without_known(line)}\n")

    def writelines(self, lines: Any) -> None:
        """Writes several texts likewise."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def print_commands(lines: Iterable[str]) -> None:
    """Prints the commands of a CI service, such as annotations, past what keeps those of hosts from being any."""
    for line in lines:
        if isinstance(sys.stdout, CleanedStream):
            sys.stdout.write_command(line)
        else:
            print(line)


@contextmanager
def guarded() -> Iterator[None]:
    """Everything that this process prints meanwhile goes through `CleanedStream`. A program that takes its place (`lab ssh`) does not."""
    allow_every_encoding()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (stream and CleanedStream(stream) for stream in before)  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
