"""What ends a command or a run from outside ends it as Ctrl-C does: with undoing, teardown and a report."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from types import FrameType

TERMINALS = ("/dev/pts/", "/dev/tty", "/dev/console")


def handle_termination_signals() -> None:
    """SIGTERM, and SIGHUP: a terminal that is closed, a session to a jump host that drops. Who had it ignored (nohup) goes on ignoring
    it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _hung_up)


def _hung_up(number: int, frame: FrameType | None) -> None:
    leave_terminal()
    signal.default_int_handler(number, frame)


def leave_terminal() -> None:
    """The terminal is gone: whoever writes to it would fail, in the middle of an undoing too, so it is written to nowhere from now on."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_RDWR)
        for entry in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                if str(entry.readlink()).startswith(TERMINALS):
                    os.dup2(nowhere, int(entry.name))
