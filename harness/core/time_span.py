"""Spans of time as people write them in options: one set of units, and one sentence for what is none. Pure."""

from __future__ import annotations

import re

from harness.core.errors import BadUse

DAY_S = 86400.0
UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY_S, "w": 7 * DAY_S, "y": 365 * DAY_S}
MAX_SPAN_S = 100 * UNITS_S["y"]
"""Beyond it lie the ends of calendars, to which spans are added and from which they are taken."""
PATTERN = re.compile(r"([0-9]{1,10}(?:\.[0-9]{1,3})?)([smhdwy])")


def parse_time_span(option: str, text: str, *, at_least_s: float = 0.0, at_most_s: float = MAX_SPAN_S) -> float:
    """The seconds of `90s`, `30m`, `1.5h`, `2d`, `12w` or `1y` (of 365 days), which was given to that option; m is minutes.

    Raises BadUse for what is none, for none at all (`0h`), and for one that is shorter or longer than the option takes.
    """
    match = PATTERN.fullmatch(text)
    seconds = float(match[1]) * UNITS_S[match[2]] if match else 0.0
    if not seconds:
        raise BadUse(f"{option} {text}: is no span of time; write 90s, 30m, 8h, 2d, 12w or 1y")
    if seconds < at_least_s:
        raise BadUse(f"{option} {text}: is too short; write {time_span(at_least_s)} or more")
    if seconds > at_most_s:
        raise BadUse(f"{option} {text}: is too long; write at most {time_span(at_most_s)}")
    return seconds


def time_span(seconds: float) -> str:
    """The words that `parse_time_span` reads: `90s`, `2h`, `30d`; the largest unit of which it is a whole number."""
    unit = next((unit for unit, length in reversed(UNITS_S.items()) if seconds >= length and seconds % length == 0), "s")
    return f"{seconds / UNITS_S[unit]:g}{unit}"
