"""Runs one command that changes something to its end, outside of the session that asked for it; what engine/job.ps1 is on Windows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from harness.lab.guests.windows.stand_ins.lifekeeper_scripts import program_of
from harness.lab.guests.windows.underlying_node import started_at, write_whole

MAX_SAID = 20000  # characters
KEPT_S = 600.0


def main(place: Path) -> None:
    """Its files are pid, said, and then code or failed."""
    write_whole(place / "pid", f"{os.getpid()} {started_at(os.getpid())}")
    command, *words = json.loads((place / "plan").read_text(encoding="utf-8"))
    try:
        done = subprocess.run([program_of(command), *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    except OSError as error:
        write_whole(place / "failed", str(error))
    else:
        write_whole(place / "said", (done.stdout + done.stderr)[-MAX_SAID:])
        write_whole(place / "code", str(done.returncode))
    until = time.monotonic() + KEPT_S
    while place.exists() and time.monotonic() < until:
        time.sleep(1)
    if place.exists():
        shutil.rmtree(place)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
