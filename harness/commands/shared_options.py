"""What all commands share: the look of their help, JSON on demand, and which cluster file is meant."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.core.errors import BadUse

Command = Callable[[argparse.Namespace], int]

SCHEMA_VERSION = 2  # goes up when a program that reads a command's JSON could be misled: a key is removed, renamed, or means something else
TAKES_A_COMMAND = (("lab", "exec"), ("lab", "ssh"))  # whose words behind the host are no options of ours


def add(
    commands, name: str, run: Command, help_text: str, example: str, *, has_json: bool = True, former_names: Sequence[str] = ()
) -> argparse.ArgumentParser:
    """A subcommand with its help, an example of its use, and `--json` unless it is a person's alone. What it was called before is taken."""
    description = f"{help_text[0].upper()}{help_text[1:]}."
    parser = commands.add_parser(name, aliases=former_names, help=help_text, description=description, epilog=f"example: {example}")
    parser.set_defaults(command=run)
    if has_json:
        parser.add_argument("--json", action="store_true", help="print one JSON object, for other programs")
    return parser


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Which cluster; `cluster_file` reads it."""
    parser.add_argument("--cluster", metavar="FILE", help="the cluster file (also LKHARNESS_CLUSTER; default: the one lab that is running)")


def cluster_file(option: str | None) -> Path:
    """The file that --cluster or the environment names, or that of the one lab that runs. Raises BadUse."""
    file = option or os.environ.get("LKHARNESS_CLUSTER")
    if file:
        return Path(file)
    from harness.lab.control import lab_registry

    try:
        return lab_registry.find(None).cluster_file
    except BadUse as error:
        raise BadUse(f"say which cluster with --cluster FILE, or start a lab ({error})") from None


def demand_platform(namespace: argparse.Namespace) -> None:
    """Before a command that `needs_linux` does anything. Raises Unusable elsewhere."""
    if getattr(namespace, "needs_linux", False):
        from harness.lab.lifecycle.linux_required import demand_linux

        demand_linux()


def print_json(data: dict[str, Any]) -> None:
    """One object with its schema_version; a run's record brings its own."""
    print(json.dumps({"schema_version": SCHEMA_VERSION, **data}, indent=2, default=str))


def print_error(sentence: str, exit_code: int, details: dict[str, Any] | None = None) -> int:
    """What `--json` gives instead of a sentence on standard error, with what is known all the same. The exit code."""
    from harness.core.terminal import CLEANER

    print_json({**(details or {}), "error": CLEANER.text(sentence), "exit_code": exit_code})  # it may be a host's words
    return exit_code


def wants_json(arguments: list[str]) -> bool:
    """Whether `--json` is among a command's own options, before anything of them is known to be right."""
    own_arguments = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if tuple(own_arguments[:2]) in TAKES_A_COMMAND:
        host = 2
        while host < len(own_arguments) and own_arguments[host].startswith("-"):
            host += 2 if own_arguments[host] == "--name" else 1
        own_arguments = own_arguments[:host]
    return "--json" in own_arguments
