"""The gate's rank test: against scipy, against counting, its interval, its power, and Holm's correction."""

from __future__ import annotations

import itertools
import math
import random
from statistics import NormalDist

import pytest

from harness.report.statistics.detectable_shift import visible_shift
from harness.report.statistics.stratified_shift import holm, least_p, shift_test

CRITICAL = NormalDist().inv_cdf(0.98)
ONE = [1.42, 1.58, 1.33, 1.71, 1.49, 1.66, 1.52]
OTHER = [1.69, 1.83, 1.55, 1.94, 1.77]
SCIPY = 0.015151515151515152  # scipy 1.17: mannwhitneyu(OTHER, ONE, alternative="greater", method="exact").pvalue


def test_it_agrees_with_scipy_as_it_was_and_as_it_is():
    assert shift_test([(ONE, OTHER)]).p == pytest.approx(SCIPY)
    scipy = pytest.importorskip("scipy.stats", reason="scipy is the extra `crosscheck`: pip install scipy")
    dice = random.Random(2)
    for n, m in ((3, 4), (8, 5), (8, 30), (20, 8)):
        before, after = [dice.gauss(0, 1) for _ in range(n)], [dice.gauss(0.4, 1) for _ in range(m)]
        there = scipy.mannwhitneyu(after, before, alternative="greater", method="exact").pvalue
        assert shift_test([(before, after)]).p == pytest.approx(there)
    many = [[dice.gauss(0, 1) for _ in range(100)] for _ in range(2)]
    there = scipy.mannwhitneyu(many[1], many[0], alternative="greater", method="asymptotic").pvalue
    assert shift_test([(many[0], many[1])]).p == pytest.approx(there, rel=0.01)
    before, after = [1.0, 2.0, 2.0, 5.0], [2.0, 3.0, 5.0, 5.0]
    there = scipy.permutation_test((after, before), _u, permutation_type="independent", alternative="greater", n_resamples=math.inf)
    assert shift_test([(before, after)]).p == pytest.approx(there.pvalue)


def _u(larger, smaller) -> float:
    return sum((b > a) + (b == a) / 2 for a in smaller for b in larger)


def test_it_agrees_with_counting_every_arrangement_in_each_of_two_strata():
    strata = [([1.0, 2.0, 2.0], [2.0, 4.0]), ([10.0, 11.0], [12.0, 9.0])]
    seen = sum(_u(after, before) for before, after in strata)
    arranged = []
    for before, after in strata:
        values = [*before, *after]
        chosen = itertools.combinations(range(len(values)), len(after))
        arranged.append([_u([values[i] for i in c], [v for i, v in enumerate(values) if i not in c]) for c in chosen])
    sums = [a + b for a in arranged[0] for b in arranged[1]]
    assert shift_test(strata).p == pytest.approx(sum(s >= seen for s in sums) / len(sums))


def test_strata_are_not_mixed_and_what_is_allowed_is_allowed():
    to_b, to_a = [3.0, 3.1, 3.2, 3.3], [9.0, 9.1, 9.2, 9.3]
    slower = [(to_b, [v + 0.5 for v in to_b]), (to_a, [v + 0.5 for v in to_a])]
    found = shift_test(slower)
    assert found.by == pytest.approx(0.5) and found.p < 0.001
    assert shift_test(slower, allowed=0.5).p > 0.4
    assert shift_test([(to_b, to_b[:2]), (to_a, [])]).before == 4  # what has no other side does not count
    assert shift_test([(to_b, [math.inf] * 4)]).by == math.inf and shift_test([([math.inf] * 3, [math.inf] * 3)]).by == 0
    with pytest.raises(ValueError, match="no stratum"):
        shift_test([([], [1.0])])


def test_the_interval_holds_the_shift_as_often_as_it_says_and_few_figures_have_none():
    dice = random.Random(5)
    held = 0
    for _ in range(200):
        before, after = [dice.expovariate(2) for _ in range(20)], [dice.expovariate(2) + 0.3 for _ in range(8)]
        found = shift_test([(before, after)])
        held += found.low <= 0.3 <= found.high
    assert held / 200 >= 0.91
    assert shift_test([([1.0, 2.0], [3.0])]).high == math.inf and visible_shift([([1.0, 2.0], [3.0])], CRITICAL) == math.inf


def test_the_shift_that_is_stated_as_visible_is_seen_as_often():
    dice = random.Random(6)
    stated = []
    for _ in range(100):
        stated.append(visible_shift([([dice.gauss(0, 1) for _ in range(20)], [dice.gauss(0, 1) for _ in range(8)])], CRITICAL))
    shift = sorted(stated)[50]
    seen = sum(shift_test([([dice.gauss(0, 1) for _ in range(20)], [dice.gauss(shift, 1) for _ in range(8)])]).p < 0.02 for _ in range(150))
    assert 0.7 <= seen / 150 <= 0.93


def test_a_test_that_comes_close_to_its_bound_needs_figures_that_lie_apart():
    """Five against four in either direction: the rank sum cannot exceed 3.46, and 3.2 is nearly all pairs in order."""
    strata = [([1.0, 2.0, 3.0, 4.0, 5.0], [1.5, 2.5, 3.5, 4.5])] * 2
    assert visible_shift(strata, 2.0) < 3.5 < visible_shift(strata, 3.2) < 5.0
    assert visible_shift(strata, 3.5) == math.inf
    assert visible_shift([([1.0, 2.0, 3.0, 4.0], [math.inf] * 4)] * 2, 2.0) == math.inf


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == [] and holm([0.9, 0.9]) == [1.0, 1.0]
    assert least_p([([1.0] * 4, [1.0] * 4), ([1.0], [])]) == pytest.approx(1 / 70)
