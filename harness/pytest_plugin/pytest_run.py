"""Runs pytest on a suite and gives the exit codes of the contract. As a program (`python -m`) it is what `./run` starts."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Sequence

import pytest

from harness.core.errors import ExitCode
from harness.core.text.host_text import visible
from harness.core.text.nearest_word import nearest_word


class _CommandLine:
    """A plug-in that tells a command line that pytest refused from a session that ended: pytest gives 4 for the one, the suites for another
    reason."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._parser: pytest.Parser | None = None
        self.is_refused = True  # until a session begins

    def pytest_addoption(self, parser: pytest.Parser) -> None:
        """Keeps the parser, which knows every plug-in's options."""
        self._parser, parser.prog = parser, self._program

    @pytest.hookimpl(wrapper=True)
    def pytest_cmdline_main(self) -> Generator[None, object, object]:
        """The options are understood; what a session then refuses, such as a file that is not there, is bad use as well."""
        self.is_refused = False
        try:
            return (yield)
        except pytest.UsageError:
            self.is_refused = True
            raise

    def suggestions(self, arguments: Sequence[str]) -> list[tuple[str, str]]:
        """Each option that nobody knows, with the one that was probably meant."""
        if self._parser is None:
            return []
        try:
            _, unknown = self._parser.parse_known_and_unknown_args(arguments)
        except pytest.UsageError:
            return []  # something else is wrong, and pytest has said what
        known_options = [name for group in self._parser._groups for option in group.options for name in option.names()]
        typed_options = [word.partition("=")[0] for word in unknown if word.startswith("-")]
        nearest = ((word, nearest_word(word, known_options)) for word in typed_options)
        return [(word, meant) for word, meant in nearest if meant is not None]


def run(arguments: Sequence[str], *, program: str) -> int:
    """Run pytest with these arguments; `program` is what a person typed, such as `lkharness acceptance`.

    Returns the exit code of the contract: BAD_USE for a command line that pytest does not take, and says which option was probably meant.
    """
    command_line = _CommandLine(program)
    code = int(pytest.main([*arguments], plugins=[command_line]))
    if not command_line.is_refused or code != pytest.ExitCode.USAGE_ERROR:
        return code
    for word, meant in command_line.suggestions(arguments):
        print(f"lkharness: there is no option {visible(word)}, did you mean {meant}?", file=sys.stderr)
    return int(ExitCode.BAD_USE)


def main() -> int:
    """`./run acceptance` and `./run failover`: the first argument is the suite's name, the others are pytest's."""
    try:
        code = run(sys.argv[2:], program=f"./run {sys.argv[1]}")
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read has seen enough; what is still to be written goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.FAILED)
    return code


if __name__ == "__main__":
    sys.exit(main())
