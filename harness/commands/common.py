"""What all commands share: the look of their help, and JSON on demand."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

Command = Callable[[argparse.Namespace], int]


def add(commands, name: str, run: Command, about: str, example: str) -> argparse.ArgumentParser:
    """A subcommand with its help and an example of its use."""
    parser = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.", epilog=f"example: {example}")
    parser.set_defaults(command=run)
    return parser


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON for other programs")


def print_json(data: Any) -> None:
    print(json.dumps(data, indent=2, default=str))
