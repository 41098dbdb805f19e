"""Several rank tests at once: against scipy, against counting every arrangement, what is not known, and what is drawn."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from harness.report.statistics.mann_whitney import mann_whitney
from harness.report.statistics.multiple_comparisons import Block, joint_test
from harness.report.statistics.stratified_shift import holm

BEFORE, AFTER = [1.0, 2.0, 2.0, 5.0, 3.0], [2.0, 6.0, 7.0, 5.5]


def by_hand(block: Block) -> list[float]:
    """Every arrangement of one stratum, the largest of all standardised rank sums in each."""
    (before, after), units = block.sizes[0], sum(block.sizes[0])
    ranks = [[sum((b < a) + (b == a) / 2 for b in row) for a in row] for row in block.rows]

    def largest(chosen) -> list[float]:
        return [(sum(row[i] for i in chosen) - after * sum(row) / units) / _deviation(row, before, after) for row in ranks]

    seen = largest(range(before, units))
    all_largest = [max(largest(chosen)) for chosen in itertools.combinations(range(units), after)]
    return [sum(one >= mine - 1e-9 for one in all_largest) / len(all_largest) for mine in seen]


def _deviation(row, before, after) -> float:
    units, middle = before + after, sum(row) / (before + after)
    return math.sqrt(before * after / (units * (units - 1)) * sum((one - middle) ** 2 for one in row))


ONE = [*BEFORE, *AFTER]
OTHER = [5.0, 1.0, 4.0, 2.0, 3.0, 9.0, 8.0, 7.0, 1.5]


def test_it_agrees_with_counting_every_arrangement():
    block = Block([(5, 4)], [ONE, [value + (place % 3) / 10 for place, value in enumerate(ONE)], OTHER])
    assert joint_test(block).p == pytest.approx(by_hand(block))
    two_sided = joint_test(Block([(5, 4)], [OTHER]), two_sided=True).p[0]
    assert two_sided == pytest.approx(mann_whitney(OTHER[:5], OTHER[5:]).p, rel=0.01)


def test_one_figure_alone_agrees_with_scipy():
    scipy = pytest.importorskip("scipy.stats", reason="scipy is the extra `crosscheck`: pip install scipy")
    dice = random.Random(3)
    for before, after in ((BEFORE, AFTER), ([dice.gauss(0, 1) for _ in range(7)], [dice.gauss(1, 1) for _ in range(5)])):
        there = scipy.permutation_test((after, before), _u, permutation_type="independent", alternative="greater", n_resamples=math.inf)
        assert joint_test(Block([(len(before), len(after))], [[*before, *after]])).p == pytest.approx([there.pvalue])


def _u(larger, smaller) -> float:
    return sum((b > a) + (b == a) / 2 for a in smaller for b in larger)


def test_figures_that_go_together_cost_nothing_and_others_do():
    one = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    alone = joint_test(Block([(4, 4)], [one])).p[0]
    assert alone == pytest.approx(1 / 70)
    assert joint_test(Block([(4, 4)], [one, [value * 2 for value in one]])).p == pytest.approx([1 / 70] * 2)
    other = [3.0, 8.0, 1.0, 6.0, 2.0, 7.0, 4.0, 5.0]
    assert joint_test(Block([(4, 4)], [one, other])).p[0] == pytest.approx(2 / 70)


def test_what_is_not_known_says_nothing_and_strata_are_not_mixed():
    known = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    some = [None, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, None]
    found = joint_test(Block([(4, 4)], [known, some, [None] * 8])).p
    assert found[0] < found[1] < found[2] == 1.0
    two = Block([(2, 2), (2, 2)], [[3.0, 3.1, 3.2, 3.3, 9.0, 9.1, 9.2, 9.3]])
    assert joint_test(two).p == pytest.approx([1 / 36])
    assert joint_test(Block([(2, 2)], [[1.0, 2.0, math.inf, math.inf]])).p == pytest.approx([1 / 6])
    with pytest.raises(ValueError, match="both sides"):
        joint_test(Block([(3, 0), (0, 2)], [[1.0] * 5]))


def test_what_cannot_be_counted_out_is_drawn_and_always_alike():
    dice = random.Random(4)
    row = [dice.gauss(0, 1) for _ in range(40)] + [dice.gauss(1, 1) for _ in range(8)]
    block = Block([(40, 8)], [row])
    drawn = joint_test(block)
    assert drawn.p == joint_test(block).p and drawn.p[0] == pytest.approx(mann_whitney(row[:40], row[40:]).p / 2, abs=0.004)
    assert drawn.critical(0.02) == pytest.approx(2.05, abs=0.1)


def test_holm_counts_families_that_are_not_settled():
    assert holm([0.01, 0.012, 0.02, 0.5], ["a", "a", "b", "b"]) == pytest.approx([0.02, 0.024, 0.024, 0.5])
