"""What many kills come to, without any lab."""

from __future__ import annotations

import pytest

from harness.disrupt import disruption as base
from tests.harm.__main__ import AS_FOUND, NOT_BEGUN, NOT_JUDGED, WRONG, Kill, exit_code, sums
from tests.harm.cells import DISRUPTIONS, MANAGERS, kill_of


def kills(*became: str) -> list[Kill]:
    return [Kill(at, one, []) for at, one in enumerate(became)]


@pytest.mark.parametrize(
    ("became", "code"),
    [
        ((AS_FOUND, AS_FOUND), 0),
        ((AS_FOUND, NOT_BEGUN), 0),
        ((AS_FOUND, WRONG, NOT_JUDGED), 1),
        ((AS_FOUND, NOT_JUDGED), 3),
        ((NOT_BEGUN,), 3),
        ((), 3),
    ],
)
def test_only_what_was_judged_passes(became: tuple[str, ...], code: int) -> None:
    assert exit_code(kills(*became)) == code


def test_what_was_not_begun_is_no_figure() -> None:
    assert sums(kills(AS_FOUND, NOT_BEGUN, WRONG)) == {AS_FOUND: 1, WRONG: 1, NOT_JUDGED: 0}


def test_a_number_of_a_seed_is_always_the_same_kill_and_all_are_met() -> None:
    met = [kill_of(7, at) for at in range(1000)]
    assert met[41] == kill_of(7, 41) and met != [kill_of(8, at) for at in range(1000)]
    assert {(k.manager, k.disruption) for k in met} == {(m, d) for m in MANAGERS for d in DISRUPTIONS}
    assert all(base.get_disruption(k.disruption) for k in met)
