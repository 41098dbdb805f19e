"""`lkharness schema cluster|run`: the JSON Schema of a file, for editors and other programs."""

from __future__ import annotations

import argparse

from harness.commands.shape import add


def add_to(commands) -> None:
    parser = add(commands, "schema", _schema, "print the JSON Schema of the cluster file or of run.json", "lkharness schema cluster")
    parser.add_argument("of", choices=["cluster", "run"], help="a cluster file, or a run's run.json")


def _schema(given: argparse.Namespace) -> int:
    from harness import schemas

    print(schemas.text(given.of), end="")
    return 0
