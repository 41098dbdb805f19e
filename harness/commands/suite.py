"""`lkharness acceptance` and `lkharness failover`: the product's suites, with pytest's own options behind them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from harness.core import package_data
from harness.core.errors import Unusable

ABOUT = {
    "acceptance": "prove every path, and every path through a switchover (on the lab, or on the cluster of --cluster FILE)",
    "failover": "measure for how long each path is out under every disruption, and why",
}
EXAMPLES = {
    "acceptance": "lkharness acceptance --cluster customer.toml --allow-disruption",
    "failover": 'lkharness failover --cluster customer.toml --allow-disruption --disruption switchover -k "not idle"',
}


def add_to(commands) -> None:
    """For the list of commands only: `run` takes the arguments before they are parsed, because they are pytest's."""
    for name, help_text in ABOUT.items():
        commands.add_parser(name, help=help_text, add_help=False)


def is_suite_command(arguments: Sequence[str]) -> bool:
    """Whether the command is a suite."""
    return bool(arguments) and arguments[0] in package_data.SUITES


def run(arguments: Sequence[str]) -> int:
    """Run the suite of that name with these arguments of pytest. The exit code of the contract.

    Raises Unusable where the suite is not there.
    """
    name, *pytest_arguments = arguments
    if {"-h", "--help"} & set(pytest_arguments):
        print(_help(name))
        raise SystemExit(0)  # as argparse does
    folder, options = package_data.suite(name), package_data.pytest_options()
    if not folder.is_dir():
        raise Unusable(f"{folder} is not there; install lkharness again, with its suites")
    from harness.pytest_plugin import pytest_run

    sys.argv[0] = "lkharness"
    command_line = [
        "-p",
        "no:cacheprovider",
        "-p",
        "no:hypothesispytest",
        "-c",
        str(options),
        "--rootdir",
        str(options.parent),
        str(folder),
        *pytest_arguments,
    ]
    return pytest_run.run(command_line, program=f"lkharness {name}")


def _help(name: str) -> str:
    return (
        f"usage: lkharness {name} [--cluster FILE] [--allow-disruption] [pytest arguments]\n\n"
        f"{ABOUT[name][0].upper()}{ABOUT[name][1:]}.\n"
        f"The report is written to reports/latest below the current folder (--reports DIR). "
        "All options: pytest --help, section lkharness\n\n"
        f"example: {EXAMPLES[name]}"
    )
