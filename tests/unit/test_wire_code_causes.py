"""What a wire code alone says: every code that the captures can tell is read out of a stored check, and has its own cause or none."""

from __future__ import annotations

import pytest

from harness.diagnosis.wire_code_causes import RouteTaken, cause, codes
from harness.expectations.wire_code_meanings import MEANINGS

AS_EXPECTED = ("W1", "W2", "W3")


@pytest.mark.parametrize("code", MEANINGS)
def test_every_code_that_captures_tell_is_read_out_of_a_check(code: str) -> None:
    assert codes(f"{code} × 3, W?") == [code]
    assert codes(f"refused ({code} from node-b)") == [code]


@pytest.mark.parametrize("code", MEANINGS)
def test_a_code_has_a_cause_that_names_it_unless_it_is_no_fault(code: str) -> None:
    found = cause(RouteTaken(code, "client -> ILB", "postgres", 5432, "lkclient", "node-a"))
    assert (found is None) == (code in AS_EXPECTED)
    assert found is None or f"({code})" in found.says


def test_several_codes_are_told_once_each_in_their_order() -> None:
    assert codes("W5 × 3, W10, W5; W1") == ["W5", "W10", "W1"]


def test_what_only_begins_like_a_code_is_none() -> None:
    assert codes("W100, LKW1, W1x, W?") == []
