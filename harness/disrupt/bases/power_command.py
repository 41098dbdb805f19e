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
from pathlib import Path
from typing import IO, NamedTuple

MAX_OUTPUT_BYTES = 64 * 1024  # of each of its two outputs, the last ones


class PowerResult(NamedTuple):
    """How a command ended, and what it printed; bytes that are no UTF-8 are replaced."""

    exit: int
    out: str
    err: str


class RunningProcess(NamedTuple):
    """A process of this machine: its id, and when it was started, in the kernel's ticks since the boot; empty where that is not told."""

    pid: int
    start: str

    def goes_on(self) -> bool:
        """Is it still there? Not known on Windows, where asking would end it: no."""
        if os.name != "posix":
            return False
        if self.start:
            return _start_of(self.pid) == self.start
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


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
        self.process = RunningProcess(self._process.pid, _start_of(self._process.pid))  # what another process knows it by

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


def _start_of(pid: int) -> str:
    """Field 22 of /proc/PID/stat (proc(5)); empty for one that has ended, though nobody has asked for its exit, and where there is no
    /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _last_text(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - MAX_OUTPUT_BYTES))
    return file.read().decode("utf-8", errors="replace")
