"""The parser of the command line: its complaint is one sentence, which names what was probably meant."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from harness.core.errors import BadUse
from harness.core.text.nearest_word import nearest_word


class LateChoices:
    """Choices that are read when somebody asks for them, because what is plugged in is not looked for on every `--help`.

    The option needs a metavar: argparse would read the choices at once to make one.
    """

    def __init__(self, read: Callable[[], Iterable[str]]) -> None:
        self._read = read

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __contains__(self, value: object) -> bool:
        return value in list(self._read())


class Parser(argparse.ArgumentParser):
    """An argument parser with the exit code of the contract. Options are not abbreviated: a new one would break whoever did."""

    def __init__(self, *positional: Any, **options: Any) -> None:
        super().__init__(*positional, **{**options, "allow_abbrev": False})

    def error(self, message: str) -> None:  # type: ignore[override]
        """Raises BadUse in place of exiting, with the command whose help to read."""
        raise BadUse(f"{message}; see `{self.prog} --help`")

    def format_usage(self) -> str:
        """The usage line, with choices that are only looked up when they are shown."""
        self._name_late_choices()
        return super().format_usage()

    def format_help(self) -> str:
        """The help, with choices that are only looked up when they are shown."""
        self._name_late_choices()
        return super().format_help()

    def _name_late_choices(self) -> None:
        for action in self._actions:
            if isinstance(action.choices, LateChoices):
                action.metavar = f"{{{','.join(action.choices)}}}"

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """A command complains of what it does not know itself: its own options are those that may have been meant."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = [word.partition("=")[0] for word in unknown if word.startswith("-")]
            suggestions = [suggestion for suggestion in (nearest_word(word, self._option_string_actions) for word in options) if suggestion]
            self.error(f"unrecognized arguments: {' '.join(unknown)}{_did_you_mean(suggestions)}")
        return parsed, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        suggestion = nearest_word(str(value), map(str, action.choices))
        choices = ", ".join(map(repr, action.choices))
        raise argparse.ArgumentError(
            action, f"invalid choice: {value!r}{_did_you_mean([suggestion] if suggestion else [])} (choose from {choices})"
        )


def _did_you_mean(suggestions: list[str]) -> str:
    return f", did you mean {' '.join(suggestions)}?" if suggestions else ""
