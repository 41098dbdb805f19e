"""How large a shift must be to be seen: by a rank test on such figures, in so many of such samples. Pure.

It follows from the width of the shift's interval, unless the test comes close to its bound: a rank test cannot say more than that all
figures after lie above all figures before. Few repeats against many comparisons do; then it is looked for in the differences themselves
(Lehmann's mean and variance of Mann and Whitney's count under a shift). The larger of both holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, variance

from harness.report.statistics.mann_whitney import difference
from harness.report.statistics.stratified_shift import CONFIDENCE, Stratum, shift_test

POWER = 0.8
"""How often the shift that is stated as visible would be seen."""
STEPS = 30  # halvings: to a billionth of the range
SAME_S = 1e-9  # figures that lie closer are alike
_QUANTILE = NormalDist().inv_cdf(POWER)
Differences = Sequence[Sequence[float]]
"""Of one stratum: for each figure after, its distance from each figure before."""


def visible_shift(strata: Sequence[Stratum], critical: float) -> float:
    """The smallest shift that would have been seen in 80 % of such samples, in seconds; the standardised rank sum must exceed `critical`.

    `strata` are the figures before and after of each direction; what they differ by now is taken out of them first. Infinite where no
    shift would be seen.
    """
    tables = [[[difference(b, a) for a in before] for b in after] for before, after in strata if before and after]
    shift = shift_test(strata, alone=False)
    if not math.isfinite(shift.high - shift.low) or not math.isfinite(centre := shift.by):
        return math.inf
    by_width = (critical + _QUANTILE) * (shift.high - shift.low) / 2 / NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    centred = [[[value - centre for value in row] for row in table] for table in tables]
    high = 2 * max((abs(value) for table in centred for row in table for value in row if math.isfinite(value)), default=0.0) or SAME_S
    if not _is_visible(centred, high, critical):
        return math.inf
    low = 0.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if _is_visible(centred, middle, critical) else (middle, high)
    return max(high, by_width)


def _is_visible(tables: Sequence[Differences], shift: float, critical: float) -> bool:
    """Whether the statistic of samples that are shifted by so much exceeds `critical` in 80 % of them."""
    mean = by_chance = spread = 0.0
    for table in tables:
        m, n = len(table), len(table[0])
        above, of_it = _count(table, shift)
        mean += above - n * m / 2
        spread += of_it
        by_chance += n * m * (n + m + 1) / 12
    return mean - _QUANTILE * math.sqrt(spread) > critical * math.sqrt(by_chance)


def _count(table: Differences, shift: float) -> tuple[float, float]:
    """In how many pairs the later figure is above the earlier one after a shift of all later ones: mean and variance."""
    m, n = len(table), len(table[0])
    above = [[1.0 if value > -shift else 0.5 if value == -shift else 0.0 for value in row] for row in table]
    p = sum(map(sum, above)) / (n * m)
    by_after = _scatter([sum(row) / n for row in above])
    by_before = _scatter([sum(column) / m for column in zip(*above, strict=True)])
    return p * n * m, n * m * (p * (1 - p) + (n - 1) * by_after + (m - 1) * by_before)


def _scatter(shares: Sequence[float]) -> float:
    return variance(shares) if len(shares) > 1 else 0.0
