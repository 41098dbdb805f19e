"""The command `lkharness`. Imports are made by the commands that need them, so that `--help` is quick."""

# ruff: noqa: E402

from __future__ import annotations

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while the program still loads simply ends it; `main` takes over

import argparse
import sys

from harness import __version__
from harness.commands import suite
from harness.core.errors import BadUse, ExitCode, HarnessError

EXIT_CODES = (
    "exit codes: 0 all passed · 1 a check failed · 2 bad use or configuration · 3 inconclusive · "
    "4 environment not reachable or not usable · 130 interrupted"
)


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaint is one sentence, with the exit code of the contract."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise BadUse(f"{message}; see `{self.prog} --help`")


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return the exit code."""
    from harness.core.terminal import guarded

    signal.signal(signal.SIGINT, signal.default_int_handler)
    given = sys.argv[1:] if arguments is None else arguments
    if suite.is_one(given):
        return _suite(given)
    with guarded():
        return _run(given)


def _suite(arguments: list[str]) -> int:
    """pytest guards its terminal by the plug-in, and hears of Ctrl-C itself."""
    try:
        return suite.run(arguments)
    except HarnessError as error:
        print(f"lkharness: {error}", file=sys.stderr)
        return int(error.exit_code)


def _run(arguments: list[str]) -> int:
    from harness.core.terminal import CLEANER

    try:
        given = _parser().parse_args(arguments)
        if getattr(given, "needs_linux", False):
            from harness.core.needs_linux import demand_linux

            demand_linux()
        return int(given.command(given))
    except HarnessError as error:
        print(f"lkharness: {CLEANER.text(str(error))}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        print("lkharness: interrupted; nothing was left behind", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return int(ExitCode.PASSED)  # the reader of our output has seen enough


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="lkharness",
        description="End-to-end connectivity tests for two-node LifeKeeper clusters behind an Azure internal load balancer.",
        epilog=f"example: lkharness lab up && lkharness check\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"lkharness {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    from harness.commands import check, collect, trust
    from harness.commands.azure import azure
    from harness.commands.docs import fact, schema
    from harness.commands.init import init
    from harness.commands.lab import lab
    from harness.commands.runs import compare, judge, report

    for module in (lab, init, trust, check, suite, report, judge, compare, collect, fact, schema, azure):
        module.add_to(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
