"""What the gate may say of a path when it could not compare all of its parts."""

from __future__ import annotations

import random

from harness.gate.gate_file import Slowdown
from harness.gate.path_and_phase_figures import Sample
from harness.gate.slowdown import slowdown

THERE, BACK = ("lknode01", "lknode02"), ("lknode02", "lknode01")
SCATTER = random.Random(3)


def repeats(number: int, *phases: str, path: float = 25.0) -> list[dict[str, float]]:
    """A path that scatters widely, with phases that scatter little."""
    return [
        {"client": path + SCATTER.uniform(-10, 10), **{f"phase {p}": 2 + SCATTER.uniform(-0.05, 0.05) for p in phases}}
        for _ in range(number)
    ]


def outcome_of_path(before: Sample, after: Sample) -> str:
    return next(
        one.outcome for one in slowdown({"switchover": before}, {"switchover": after}, Slowdown(), 5.0) if one.about.endswith("client path")
    )


def test_a_part_that_only_one_side_has_may_hide_a_slowdown():
    before, same = Sample({THERE: repeats(8, "a", "b")}), Sample({THERE: repeats(8, "a", "b")})
    more = Sample({THERE: repeats(8, "a", "b", "c")})
    assert (outcome_of_path(before, same), outcome_of_path(before, more)) == ("pass", "refused")


def test_a_figure_that_each_side_knows_from_another_node_is_not_compared():
    before = Sample({THERE: repeats(8, "a"), BACK: repeats(8)})
    after = Sample({THERE: repeats(8), BACK: repeats(8, "a")})
    assert outcome_of_path(before, after) == "refused"
