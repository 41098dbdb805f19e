"""Flaky or regressed: what a row of nights that passed and failed amounts to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

MIN_RUN = 3
"""Nights in a row that must have failed before it is more than a bad night."""


class State(StrEnum):
    """What a line's nights amount to."""

    STEADY = "steady"
    FLAKY = "flaky"
    REGRESSED = "regressed"
    RECOVERED = "recovered"
    ALWAYS = "always failing"
    NEW = "new failure"
    UNMEASURED = "not measured"
    UNKNOWN = "not known"


@dataclass(frozen=True)
class Night:
    """One night of a line: whether it passed (None: it could not be judged), and the version that it was made on."""

    passed: bool | None
    version: str
    measured: bool = True
    """False where it was to be measured and was not."""


@dataclass(frozen=True)
class Stability:
    """The state with its sentence. `since` is the place of the night from which on it is so; None where there is no such night."""

    state: State
    sentence: str
    since: int | None = None


def stability(nights: Sequence[Night]) -> Stability:
    """As `_of_judged` has it; and what looks well, or is not known, is *not measured* where the last nights were to be and were not."""
    said, silent = _of_judged(nights), 0
    while silent < len(nights) and not nights[-1 - silent].measured:
        silent += 1
    if not silent:
        return said
    words = f"{said.sentence}; nothing was measured in the last {'night' if silent == 1 else f'{silent} nights'}"
    if said.state in (State.STEADY, State.RECOVERED, State.UNKNOWN):
        return Stability(State.UNMEASURED, words, len(nights) - silent)
    return Stability(said.state, words, said.since)


def _of_judged(nights: Sequence[Night]) -> Stability:
    """Regressed: from a night on all failed, and before it none, or only few. Flaky: both outcomes on one version, time and again."""
    judged = [(place, night) for place, night in enumerate(nights) if night.passed is not None]
    failed = [place for place, night in judged if not night.passed]
    if not judged:
        return Stability(State.UNKNOWN, "no night could be judged")
    total = len(judged)
    if not failed:
        return Stability(State.STEADY, f"passed in {'the one night' if total == 1 else f'all {total} nights'}")
    if len(failed) == total:
        return Stability(State.ALWAYS, f"failed in {'the one night' if total == 1 else f'all {total} nights'} that there are", judged[0][0])
    tail = _tail(judged)
    begin = judged[total - tail][0] if tail else None
    earlier = len(failed) - tail
    rare = earlier <= 0.1 * (total - tail)
    if tail >= MIN_RUN and rare:
        before = "never before" if not earlier else f"before that in {earlier} of {total - tail}"
        return Stability(State.REGRESSED, f"failed in each of the last {tail} nights, {before}", begin)
    if tail and not earlier:
        return Stability(
            State.NEW,
            f"failed in the last {'night' if tail == 1 else f'{tail} nights'} and never before; too early to tell from flaky",
            begin,
        )
    if not tail and (place := _one_block(judged, failed)) is not None and len(failed) >= MIN_RUN:
        return Stability(
            State.RECOVERED, f"failed in {len(failed)} nights in a row, and in none of the {total - place} since", judged[place][0]
        )
    both = _both_on_one_version(judged)
    words = "both outcomes on one version" if both else "no version had both outcomes"
    row = "" if len(failed) == 1 else ", in a row" if _one_block(judged, failed) is not None else ", not in a row"
    return Stability(State.FLAKY, f"failed in {len(failed)} of {total} nights{row}; {words}", failed[0])


def _tail(judged: Sequence[tuple[int, Night]]) -> int:
    """How many of the last nights failed in a row."""
    number = 0
    for _, night in reversed(judged):
        if night.passed:
            break
        number += 1
    return number


def _one_block(judged: Sequence[tuple[int, Night]], failed: Sequence[int]) -> int | None:
    """Where the nights behind the only failures begin, when those were in a row."""
    places = [number for number, (place, _) in enumerate(judged) if place in set(failed)]
    return places[-1] + 1 if places[-1] - places[0] + 1 == len(places) else None


def _both_on_one_version(judged: Sequence[tuple[int, Night]]) -> bool:
    outcomes: dict[str, set[bool | None]] = {}
    for _, night in judged:
        outcomes.setdefault(night.version, set()).add(night.passed)
    return any(len(both) == 2 for both in outcomes.values())
