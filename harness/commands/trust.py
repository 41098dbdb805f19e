"""`lkharness trust`: agree to what a cluster file asks of this machine."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from harness.commands.shared_options import add, print_error, print_json
from harness.core.errors import BadUse, ExitCode


def add_to(commands) -> None:
    """Adds the command to the parser."""
    description = (
        "show what a cluster file asks of this machine (programs, secrets, other ends of Azure), and agree to exactly that content"
    )
    trust = add(commands, "trust", _trust, description, "lkharness trust customer.toml")
    trust.add_argument("file", metavar="FILE", help="the cluster file; after any change it must be agreed to anew")
    trust.add_argument("--yes", action="store_true", help="agree without being asked, for a job that nobody watches")


def add_option(parser: argparse.ArgumentParser) -> None:
    """Adds --trust-cluster-file to another command's parser."""
    parser.add_argument(
        "--trust-cluster-file",
        action="store_true",
        help="agree for this once to all that the cluster file asks of this machine (see `lkharness trust`)",
    )


def _trust(arguments: argparse.Namespace) -> int:
    from harness.config import trust
    from harness.core.toml_file import content, toml

    file = Path(arguments.file)
    raw = content(file)
    asks = trust.trust_requests(toml(raw, file), with_arguments=True)
    if arguments.json:
        return _as_json(file, raw, asks, agreed=arguments.yes)
    if not asks:
        print(f"{file} asks nothing of this machine, so there is nothing to agree to")
        return int(ExitCode.PASSED)
    trust.may_be_agreed_to(file)
    print(f"{file} asks this of this machine:", *(f"  {ask}" for ask in asks), sep="\n", flush=True)
    if not arguments.yes:
        _ask()
    trust.agree(raw, file)
    print("agreed; that is remembered for exactly this content")
    return int(ExitCode.PASSED)


def _as_json(file: Path, raw: bytes, asks: list[str], *, agreed: bool) -> int:
    """For a program: nobody is asked, so `--yes` decides."""
    from harness.config import trust

    outcome = {"file": str(file), "asks": [str(ask) for ask in asks]}
    if asks:
        trust.may_be_agreed_to(file)
        if not agreed:
            return print_error(
                "nothing was agreed to: look through it, then give --yes", int(ExitCode.BAD_USE), {**outcome, "agreed": False}
            )
        trust.agree(raw, file)
    print_json({**outcome, "agreed": True})
    return int(ExitCode.PASSED)


def _ask() -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise BadUse("nothing was agreed to: look through it, then give --yes")
    print("agree to all of it? [y/N] ", end="", file=sys.stderr, flush=True)
    if not re.match(r"y(es)?$", sys.stdin.readline().strip().lower()):
        raise BadUse("nothing was agreed to")
