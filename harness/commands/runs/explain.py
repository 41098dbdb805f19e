"""`lkharness explain RUN`: why a stored run is as it is."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.commands.common import add, print_json

ABOUT = "tell why checks of a stored run failed, and what each outage waited for"


def add_to(commands) -> None:
    explain = add(commands, "explain", _explain, ABOUT, "lkharness explain reports/latest")
    explain.add_argument("what", metavar="RUN", nargs="?", default="reports/latest", help="the run's folder (default: reports/latest)")


def _explain(given: argparse.Namespace) -> int:
    from harness.core.terminal import CLEANER
    from harness.explain import run_explanation

    found = run_explanation.look(Path(given.what))
    if given.json:
        print_json(CLEANER.data(found.as_data()))
    else:
        print(CLEANER.text(found.as_text()))
    return int(found.run.exit_code)
