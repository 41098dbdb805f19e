"""`lkharness report RUN`: render a stored run again."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.commands.shared_options import add, print_json


def add_to(commands) -> None:
    """Adds the command to the parser."""
    report = add(commands, "report", _report, "render a stored run again and sum it up", "lkharness report reports/latest")
    report.add_argument("run", metavar="RUN", nargs="?", default="reports/latest", help="the run's folder (default: reports/latest)")


def _report(arguments: argparse.Namespace) -> int:
    from harness.report.report_rendering import render
    from harness.report.run_reader import load_record
    from harness.report.terminal_summary import summary

    folder = Path(arguments.run)
    record = load_record(folder)
    render(folder)
    if arguments.json:
        print_json(record.model_dump(mode="json"))
    else:
        print(summary(record, folder.resolve()), end="")
    return int(record.exit_code)
