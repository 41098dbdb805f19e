"""A text that is cut for a message loses whole words: half a secret is not known for one, and would stay in a report."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.redaction.redactor import Redactor
from harness.core.text.host_text import cut_at_word, cut_start_at_word
from harness.hosts.shell_command import shorten
from harness.managers.switchover_readiness import last_words

SECRET = "Xq7-kP2m_Zt9wL4v"
WORDS = st.lists(st.text("abc é\n", min_size=1, max_size=12), max_size=30).map(" ".join)


def test_a_line_break_parts_words_as_a_blank_does() -> None:
    assert cut_start_at_word("the first line\nthe last line", 14) == "… the last line"
    assert cut_start_at_word("the first line\nthe last line", 12) == "… last line"


@given(WORDS, st.integers(1, 80))
def test_no_word_is_parted(text: str, most: int) -> None:
    begin, end = cut_at_word(text, most).removesuffix(" …"), cut_start_at_word(text, most).removeprefix("… ")
    for kept in (begin, end):
        assert len(kept) <= max(most, len("… (999 characters)"))
        assert kept.startswith(("…", "(")) or set(kept.split()) <= set(text.split())


def test_what_is_short_enough_stays() -> None:
    assert cut_at_word("a line", 6) == cut_start_at_word("a line", 6) == "a line"


@pytest.mark.parametrize("most", range(1, 60))
@pytest.mark.parametrize("cut", [cut_at_word, cut_start_at_word, shorten])
def test_a_known_secret_goes_wherever_the_cut_is(cut, most: int) -> None:
    cleaned = Redactor([SECRET]).clean(cut(f"tool --login admin {SECRET} then some more words that follow it", most))
    assert not any(SECRET[i : i + 4] in cleaned for i in range(len(SECRET) - 3)), cleaned


def test_a_managers_last_words_are_cut_so() -> None:
    assert "Xq7" not in last_words("x" * 190 + f" {SECRET}")
