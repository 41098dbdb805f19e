"""Which disruptions a run set out to measure, by its tests or, where it came to none, by its command. Pure.

What was asked and not measured is a night without a figure, which a row of good figures would hide otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath

ALL = "*"
"""Every disruption that there is for such a cluster."""
_MEASURED = re.compile(r"::test_disruption\[(.+)\]\Z")
_STEP = re.compile(r" \d{1,9} ms after a probe\Z")
_REPEAT = re.compile(r" \d{1,9}\Z")
_OPTION = "--disruption"
_NOTHING_DONE = "none"  # what a soak measures where no disruption is named


def asked_disruptions(executed: Iterable[str], command: Sequence[str], *, came_to_all: bool) -> list[str]:
    """Their names, or ALL among them.

    `executed`: ids of the tests that were not skipped; `came_to_all`: did the run come to every test that it set out for, as one does that
    ends by itself?
    """
    found_names = {_STEP.sub("", found[1]) for id in executed if (found := _MEASURED.search(id))}
    names = {plain if (plain := _REPEAT.sub("", name)) in found_names else name for name in found_names}
    if not came_to_all and any(map(_is_failover_suite, command)):
        names |= set(_named(command)) or {_NOTHING_DONE if any(map(_is_soak, command)) else ALL}
    return sorted(names)


def _is_failover_suite(word: str) -> bool:
    """The suite's folder, or a file in it, in the repository as in a wheel."""
    return not word.startswith("-") and "failover" in PurePath(word.partition("::")[0]).parts


def _is_soak(word: str) -> bool:
    return word == "--for" or word.startswith("--for=")


def _named(command: Sequence[str]) -> Iterator[str]:
    for word, after in zip(command, [*command[1:], ""], strict=True):
        if word == _OPTION:
            yield after
        elif word.startswith(f"{_OPTION}="):
            yield word.removeprefix(f"{_OPTION}=")
