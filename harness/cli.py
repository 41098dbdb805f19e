"""The command `lkharness`. Imports are made by the commands that need them, so that `--help` is quick."""

# ruff: noqa: E402

from __future__ import annotations

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while the program still loads simply ends it; `main` takes over

import argparse
import functools
import gc
import os
import sys
from importlib import import_module

from harness import __version__
from harness.commands import completion, suite
from harness.commands.parser import Parser
from harness.commands.shared_options import demand_platform, print_error, wants_json
from harness.core.errors import ExitCode, HarnessError
from harness.core.signals import handle_termination_signals
from harness.core.text.output_encoding import allow_every_encoding

EXIT_CODES = (
    "exit codes: 0 all passed · 1 a check failed · 2 bad use or configuration · 3 inconclusive · "
    "4 environment not reachable or not usable · 130 interrupted"
)
INTERRUPTED = 130
COMMANDS = {  # in the order of the help, and the module of `harness.commands` that adds each
    "lab": "lab.lab",
    "init": "init.init",
    "trust": "trust",
    "check": "check",
    "doctor": "lab.doctor",
    "acceptance": "suite",  # and failover
    "explain": "runs.explain",
    "report": "runs.report",
    "judge": "runs.judge",
    "compare": "runs.compare",
    "history": "runs.history",
    "gate": "runs.gate",
    "record": "runs.record",
    "fleet": "fleet.fleet",
    "collect": "collect",
    "sudoers": "docs.sudoers",
    "fact": "docs.fact",
    "schema": "docs.schema",
    "azure": "azure.azure",
    "completion": "completion",
}
OBJECTS_PER_COLLECTION = 50_000  # while a command loads its modules there is nothing to collect, and looking took a tenth of its time


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return the exit code. What it writes is its owner's alone: reports, evidence, archives, cluster files."""
    from harness.core.files import OWNER_ALONE, writing_for

    signal.signal(signal.SIGINT, signal.default_int_handler)
    handle_termination_signals()
    gc.set_threshold(OBJECTS_PER_COLLECTION)
    command_line = sys.argv[1:] if arguments is None else arguments
    if completion.ENVIRONMENT in os.environ:
        completion.answer(_parser())
    with writing_for(OWNER_ALONE):
        if suite.is_suite_command(command_line):
            return _suite(command_line)
        return _run(command_line)


def _suite(arguments: list[str]) -> int:
    """pytest guards its terminal by the plug-in, and hears of Ctrl-C itself."""
    try:
        return suite.run(arguments)
    except HarnessError as error:
        print(f"lkharness: {error}", file=sys.stderr)
        return int(error.exit_code)


def _run(arguments: list[str]) -> int:
    try:
        namespace = _parse(arguments)
        from harness.core.terminal import (
            guarded,  # not before: help is the harness's own words, and what cleans others' takes as long to load
        )

        with guarded():
            return int(namespace.command(namespace))
    except HarnessError as error:
        from harness.core.terminal import CLEANER, guarded

        with guarded():
            return _complain(CLEANER.text(str(error)), int(error.exit_code), as_json=wants_json(arguments))
    except KeyboardInterrupt:
        return _complain("interrupted; nothing was left behind", INTERRUPTED, as_json=wants_json(arguments))
    except BrokenPipeError:
        return int(ExitCode.PASSED)  # the reader of our output has seen enough


def _parse(arguments: list[str]) -> argparse.Namespace:
    """What the command line asks for; `--help` prints and ends the process. Raises HarnessError."""
    from harness.commands.fleet import fleet

    allow_every_encoding()
    own_arguments, arguments_behind = fleet.divided(arguments)
    namespace = _parser(*own_arguments[:1]).parse_args(own_arguments)
    namespace.behind = arguments_behind
    demand_platform(namespace)
    return namespace


def _complain(sentence: str, exit_code: int, *, as_json: bool) -> int:
    """To a person on standard error; to a program as the one JSON object that it waits for."""
    if as_json:
        return print_error(sentence, exit_code)
    print(f"lkharness: {sentence}", file=sys.stderr)
    return exit_code


@functools.cache
def _parser(command: str = "") -> argparse.ArgumentParser:
    """With all commands, or with that one alone, because making all takes as long as loading one. Made once in a process, for one that
    runs many commands: it holds nothing of any command line."""
    parser = Parser(
        prog="lkharness",
        description="End-to-end connectivity tests for two-node LifeKeeper clusters behind an Azure internal load balancer.",
        epilog=f"example: lkharness lab up && lkharness check\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"lkharness {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    for module in [COMMANDS[command]] if command in COMMANDS else COMMANDS.values():
        import_module(f"harness.commands.{module}").add_to(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
