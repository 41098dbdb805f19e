"""`lkharness fact ID`: what a fact says that a message cites."""

from __future__ import annotations

import argparse

from harness.commands.shared_options import add, print_json


def add_to(commands) -> None:
    """Adds the command to the parser."""
    parser = add(commands, "fact", _fact, "explain a fact that a message cites by its id", "lkharness fact DSN-06")
    parser.add_argument("ids", metavar="ID", nargs="+", help="as in brackets behind a message")


def _fact(given: argparse.Namespace) -> int:
    from harness.core import facts

    found = {name.strip().upper(): facts.fact(name) for name in given.ids}
    if given.json:
        print_json({"facts": found})
    else:
        print("\n".join(f"{name}  {says}" for name, says in found.items()))
    return 0
