"""Values that may be known in part, and truths that may not be known at all. Pure.

A truth is True, False, or a sentence that says what would have to be known. A value is a number between two bounds (a `Span`), a word
(a NIC's name), or a tuple of these.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Truth = bool | str
ALL_BITS = (1 << 128) - 1


@dataclass(frozen=True)
class Span:
    """A whole number from `low` to `high`; `why` says why it is not known more exactly."""

    low: int
    high: int
    why: str = ""

    @property
    def exact(self) -> bool:
        """Whether the number is known."""
        return self.low == self.high


@dataclass(frozen=True)
class Missing:
    """The packet has no such field: a rule that asks for it does not match, whatever it wants to see there."""


Value = Span | str | tuple["Value", ...] | Missing
MISSING = Missing()


def exactly(number: int) -> Span:
    """A number that is known."""
    return Span(number, number)


def unknown(why: str) -> Span:
    """A number of which nothing is known, and why."""
    return Span(0, ALL_BITS, why)


def within(value: Value, low: int, high: int) -> Truth:
    """Is the value one from `low` to `high`?"""
    if not isinstance(value, Span):
        return False
    if low <= value.low and value.high <= high:
        return True
    if value.high < low or high < value.low:
        return False
    return value.why


def no(truth: Truth) -> Truth:
    """The opposite of a truth; what cannot be told stays so."""
    return truth if isinstance(truth, str) else not truth


def both(truths: Iterable[Truth]) -> Truth:
    """False where one is False, even where others are not known."""
    unsure: str | None = None
    for truth in truths:
        if truth is False:
            return False
        if isinstance(truth, str):
            unsure = unsure or truth
    return unsure or True


def either(truths: Iterable[Truth]) -> Truth:
    """True where one is True, even where others are not known."""
    return no(both(no(truth) for truth in truths))


def join_values(first: Value, second: Value) -> Value:
    """What may be the one or the other."""
    if first == second:
        return first
    if isinstance(first, Span) and isinstance(second, Span):
        why = first.why or second.why or "an earlier rule may have changed it, or not"
        return Span(min(first.low, second.low), max(first.high, second.high), why)
    return unknown("an earlier rule may have changed it, or not")
