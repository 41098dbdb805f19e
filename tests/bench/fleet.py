"""What a fleet of labs costs on this machine: one measured switchover on one lab, and on eight labs under one command, all on
this machine, where they begin as it has processor time for them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from harness.lab.lifecycle import default_cluster, launch
from tests.bench.rows import Row, row

MANY = 8
WORDS = ("failover", "--allow-disruption", "--disruption", "switchover", "--period", "100")


def fleet(runs: int) -> Iterator[Row]:
    """Seconds of one cluster, of eight (as many at once as the command chooses), and their ratio. All labs are up before that."""
    alone, together = list[float](), list[float]()
    with ExitStack() as ending:
        files = []
        for number in range(MANY):
            lab = launch.up(default_cluster.cluster_data(), name=f"bench-{os.getpid()}-f{number}", persistent=False)
            ending.callback(lab.down)
            files.append(lab.record.cluster_file)
        for _ in range(runs):
            alone.append(_seconds(files[:1]))
            together.append(_seconds(files))
    yield row("fleet: a measured switchover of one lab", "s", alone)
    yield row(f"fleet: the same of {MANY} labs, as the machine bears them", "s", together)
    yield row(f"{MANY} labs against one", "×", [many / one for many, one in zip(together, alone, strict=True)], "3")


def _seconds(files: Sequence[Path]) -> float:
    """How long a fleet of these takes. What its runs came to is printed: a machine that is too busy fails them, and takes its time."""
    with tempfile.TemporaryDirectory() as reports:
        began = time.monotonic()
        words = [sys.executable, "-m", "harness.cli", "fleet", *map(str, files), "--reports", reports, "--", *WORDS]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as begun:
            try:
                said, complained = begun.communicate()
            except BaseException:
                begun.terminate()  # it ends its runs, which takes a moment
                raise
        took = time.monotonic() - began
        if begun.returncode not in (0, 1, 3):
            raise SystemExit(f"bench: a fleet of {len(files)} labs ended with {begun.returncode}:\n{said}{complained}")
        print(f"  fleet of {len(files)}: exit code {begun.returncode}, {said.splitlines()[-2]}", flush=True)
    return took
