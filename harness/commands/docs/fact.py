"""`lkharness fact ID`: what a fact says that a message cites."""

from __future__ import annotations

import argparse

from harness.commands.shared_options import add, print_json


def add_to(commands) -> None:
    """Adds the command to the parser."""
    parser = add(commands, "fact", _fact, "explain a fact that a message cites by its id", "lkharness fact DSN-06")
    parser.add_argument("ids", metavar="ID", nargs="+", help="as in brackets behind a message")


def _fact(arguments: argparse.Namespace) -> int:
    from harness.core import facts

    sentences = {name.strip().upper(): facts.fact(name) for name in arguments.ids}
    if arguments.json:
        print_json({"facts": sentences})
    else:
        print("\n".join(f"{name}  {sentence}" for name, sentence in sentences.items()))
    return 0
