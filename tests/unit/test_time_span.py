"""Spans of time that options take: one set of units, one sentence for what is none, and limits in the same words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from harness.core.errors import BadUse
from harness.core.time_span import DAY_S, MAX_SPAN_S, parse_time_span, time_span


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("90s", 90),
        ("0.5s", 0.5),
        ("30m", 1800),
        ("8h", 28800),
        ("1.5h", 5400),
        ("2d", 2 * DAY_S),
        ("12w", 84 * DAY_S),
        ("1y", 365 * DAY_S),
        ("0090s", 90),
        ("100y", MAX_SPAN_S),
    ],
)
def test_each_unit_is_read(words: str, seconds: float) -> None:
    assert parse_time_span("--for", words) == seconds


@pytest.mark.parametrize(
    "words",
    ["", "8", "h", "-1h", "+1h", "0h", "0.000s", "8 h", "1h ", "1h\n", "1H", "1h30m", "1.h", ".5h", "1e3s", "\u0661d", "5x", "nanh"],
)
def test_what_is_none_is_said_in_one_sentence_with_the_option(words: str) -> None:
    with pytest.raises(BadUse, match="is no span of time; write 90s, 30m, 8h, 2d, 12w or 1y") as refused:
        parse_time_span("--within", words)
    assert str(refused.value).startswith("--within ")


def test_too_short_and_too_long_are_said_with_the_limit() -> None:
    assert parse_time_span("--keep", "24h", at_least_s=DAY_S) == DAY_S
    with pytest.raises(BadUse, match="--keep 3m: is too short; write 1d or more"):
        parse_time_span("--keep", "3m", at_least_s=DAY_S)
    with pytest.raises(BadUse, match="--expires 721h: is too long; write at most 30d"):
        parse_time_span("--expires", "721h", at_most_s=30 * DAY_S)
    with pytest.raises(BadUse, match="at most 100y"):
        parse_time_span("--since", "9999999999y")


def test_the_longest_can_be_taken_from_a_calendar() -> None:
    assert datetime.now(UTC) - timedelta(seconds=MAX_SPAN_S) < datetime.now(UTC) < datetime.now(UTC) + timedelta(seconds=MAX_SPAN_S)


@pytest.mark.parametrize("words", ["90s", "90m", "2h", "1d", "30d", "2w", "1y", "0.5s"])
def test_a_limit_is_written_as_it_is_read(words: str) -> None:
    assert parse_time_span("--for", time_span(parse_time_span("--for", words))) == parse_time_span("--for", words)
