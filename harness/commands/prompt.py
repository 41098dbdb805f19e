"""A question to a person at a terminal."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator
from typing import TextIO


def ask(question: str, *, to: TextIO | None = None) -> str:
    """The line that a person at the terminal answers with, stripped. The question goes `to` standard output, unless data does.

    Ctrl-C raises KeyboardInterrupt at once, whenever it comes: `input` may lose one that comes between its last look at signals and its
    wait, and then waits for another key. Raises EOFError on Ctrl-D, and UnicodeDecodeError for bytes that are no text.
    """
    if os.name == "nt":  # there, select knows sockets only, and a console's read ends with Ctrl-C by itself
        return input(question).strip()
    print(question, end="", file=to, flush=True)
    line, file = b"", sys.stdin.fileno()
    with _signals_wake() as woken:
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([file, woken], [], [])
            if woken in readable:
                os.read(woken, 512)  # the signal's handler has run; one that raises has ended this
            elif chunk := os.read(file, 4096):
                line += chunk
            else:
                raise EOFError
    return line.decode(sys.stdin.encoding).strip()


@contextlib.contextmanager
def _signals_wake() -> Iterator[int]:
    """A file that becomes readable with every signal that has a handler, also with one that came before the wait."""
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    previous_fd = signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    try:
        yield woken
    finally:
        signal.set_wakeup_fd(previous_fd)
        os.close(woken)
        os.close(wakes)
