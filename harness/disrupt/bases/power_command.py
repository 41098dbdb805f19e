"""A power command of the cluster file, run on the harness's own machine and followed: who waits for it may give up, it is not ended.

A command that takes a node's power away or gives it back is a deed: half of it is worse than none or all. So it has a session of its own
(a Ctrl-C in the terminal is not meant for it), its output goes to a file that has no name (a pipe whose reader dies would end it), and a
limit or an interruption ends the waiting alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, NamedTuple

MAX_OUTPUT_BYTES = 64 * 1024  # of each of its two outputs, the last ones


class PowerResult(NamedTuple):
    """How a command ended, and what it printed; bytes that are no UTF-8 are replaced."""

    exit: int
    out: str
    err: str


class PowerCommand:
    """A command that goes on. Raises OSError where the program cannot be started."""

    def __init__(self, words: Sequence[str]) -> None:
        self.program = words[0]
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - they live as long as the command
        try:
            self._process = subprocess.Popen(
                list(words), stdin=subprocess.DEVNULL, stdout=self._out, stderr=self._err, start_new_session=True
            )
        except BaseException:
            self._out.close()
            self._err.close()
            raise

    def result_within(self, seconds: float) -> PowerResult | None:
        """What became of it; None where it still goes on after so many seconds."""
        try:
            code = self._process.wait(max(seconds, 0.0))
        except subprocess.TimeoutExpired:
            return None
        result = PowerResult(code, _last_text(self._out), _last_text(self._err))
        self._out.close()
        self._err.close()
        return result

    def end(self) -> None:
        """The last resort, where its opposite has to begin: SIGKILL to its whole session."""
        with suppress(ProcessLookupError):  # it ended by itself meanwhile
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _last_text(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - MAX_OUTPUT_BYTES))
    return file.read().decode("utf-8", errors="replace")
