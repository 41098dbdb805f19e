"""Durations, numbers and reasons in words, as every message and report says them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from harness.core.text.host_text import one_line


def seconds(value: float) -> str:
    """A duration in seconds as a person reads it: `0.042 s`, `1.21 s`, `41.3 s`, `3 min 05 s`."""
    if value < 0.0995:
        return f"{value:.3f} s"
    if value < 9.995:
        return f"{value:.2f} s"
    if value < 99.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s" if rest else f"{minutes} min"


def span(value: float) -> str:
    """A length of time that may be hours: `8 h`, `1.5 h`, and below an hour as `seconds` says it."""
    return f"{value / 3600:.3g} h" if value >= 3600 else seconds(value)


def count(number: int, noun: str) -> str:
    """`1 test`, `3 tests`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def most_said(reasons: Iterable[str], most: int = 3) -> str:
    """`2 because A; 1 because B`: the reasons that were given most often, each on one line, and how many others there are."""
    counted = Counter(one_line(reason) for reason in reasons).most_common()
    rest = sum(times for _, times in counted[most:])
    return "; ".join([*(f"{times} because {reason}" for reason, times in counted[:most]), *([f"{rest} for other reasons"] if rest else [])])
