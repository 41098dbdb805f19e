"""Runs one command with a limit, in its own session, without waiting for what it leaves in the background."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence

from harness.lab.lifekeeper.resource_types.resource_type import Failed


class RanOut(Exception):
    """The command did not end within its limit; it and its process group were killed."""


def run(argv: Sequence[str], limit: float, *, extra: Mapping[str, str] | None = None) -> str:
    """Run to exit 0 within `limit` seconds and return its output. Raises Failed with its exit and last line, or RanOut."""
    # A file, not a pipe: a service that the command starts inherits it and would keep a pipe open for ever.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, **(extra or {})},
            )
        except OSError as error:
            raise Failed(f"{argv[0]} could not be run ({error.strerror})") from error
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise RanOut(f"{argv[0]} did not end within {limit:g} s and was killed") from None
        output.seek(0)
        text = output.read().decode(errors="replace")
    return text_or_failed(argv, f"exited {status}" if status else "", text)


def text_or_failed(argv: Sequence[str], fault: str, text: str) -> str:
    """The output of a command that ended well; Failed with its last line when there is a fault."""
    if fault:
        lines = text.strip().splitlines()
        raise Failed(f"{argv[0]} {fault}" + (f" and said: {lines[-1]}" if lines else ""))
    return text
