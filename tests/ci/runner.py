"""Runs parts one after the other, each to its end, and prints what they print."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import time
from pathlib import Path

from tests.ci.outcome import Outcome
from tests.ci.parts import Part

REPOSITORY = Path(__file__).resolve().parents[2]
NOT_INHERITED = ("LKHARNESS_CLUSTER", "PYTEST_ADDOPTS")  # a developer's own; they would make another run of it
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def run(part: Part, outcome: Outcome) -> str:
    """Run a part, filling its outcome; returns the last line when that is pytest's summary, not yet printed."""
    environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    began, used = time.monotonic(), _processor_s()
    process = subprocess.Popen(
        [str(REPOSITORY / "run"), *part.words],
        cwd=REPOSITORY,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None
    held = ""
    for line in process.stdout:
        print(held, end="", flush=True)
        held = line if outcome.hear(COLOUR.sub("", line.rstrip("\n"))) else ""
        if not held:
            print(line, end="", flush=True)
    outcome.exit_code = process.wait()
    outcome.wall_s, outcome.processor_s = time.monotonic() - began, _processor_s() - used
    return held


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
