"""What `gate` and `compare` begin with: a parser that tells what its exit codes mean, and stored runs of which each may be named once."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.shared_options import add
from harness.core.errors import BadUse

if TYPE_CHECKING:
    from harness.report.record.run_record import RunRecord


def add_judging(commands, name: str, run: Callable[[argparse.Namespace], int], description: str, example: str, results: str):
    """Adds a command that judges stored runs; `results` says what its exit codes mean."""
    parser = add(commands, name, run, description, example)
    parser.epilog = f"{parser.epilog}\n{results}"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    return parser


def loaded_once(names: Sequence[str]) -> list[tuple[Path, RunRecord]]:
    """The runs with their folders. Raises BadUse for what is no run, and for one that is given twice, be it under two names."""
    from harness.report.run_reader import load_record

    runs = [(folder := Path(name).resolve(), load_record(folder)) for name in names]
    ids = [run.run_id for _, run in runs]
    if twice := sorted({id for id in ids if ids.count(id) > 1}):
        raise BadUse(f"{', '.join(names)}: it is the same run twice, {', '.join(twice)}; name each run once")
    return runs
