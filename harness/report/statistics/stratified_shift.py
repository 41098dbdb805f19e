"""Did figures become larger by more than is allowed? A rank test in strata, and its interval. Pure.

A stratum is one direction of a disruption: from A to B and from B to A are different things and are only compared each with itself.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median

from harness.report.statistics.mann_whitney import difference, doubled_midranks

CONFIDENCE = 0.95
MAX_COUNTED = 4000
"""Pairs of a stratum up to which the distribution is counted out; with more the normal approximation is used."""

Stratum = tuple[Sequence[float], Sequence[float]]
"""Figures before and after, in seconds; infinite where a path did not come back."""


@dataclass(frozen=True)
class Shift:
    """By how much figures are larger, in seconds. `p` is one-sided: how surprising it is if they are larger by no more than is allowed."""

    by: float
    low: float
    high: float
    """The interval that holds the true shift in 95 %; infinite ends where so few figures allow none."""
    p: float
    before: int
    after: int


def shift_test(strata: Sequence[Stratum], allowed: float = 0.0, *, alone: bool = True) -> Shift:
    """Compare after with before in each stratum that has both. Raises ValueError when none has.

    Not `alone`, p is not a number: it is another test's (`joint_test`), of all figures together.
    """
    complete_strata = [(list(before), list(after)) for before, after in strata if before and after]
    if not complete_strata:
        raise ValueError("there is no stratum with figures of both sides")
    differences = sorted(difference(b, a) for before, after in complete_strata for a in before for b in after)
    low, high = _interval(complete_strata, differences)
    p = _one_sided_p([(before, [b - allowed for b in after]) for before, after in complete_strata]) if alone else math.nan
    return Shift(median(differences), low, high, p, sum(len(a) for a, _ in complete_strata), sum(len(b) for _, b in complete_strata))


def least_p(strata: Sequence[Stratum]) -> float:
    """The smallest one-sided p that figures in these numbers can reach, however far they are apart."""
    p = 1.0
    for before, after in strata:
        p /= math.comb(len(before) + len(after), len(after)) if before and after else 1
    return p


def holm(p: Sequence[float], families: Sequence[Hashable] | None = None) -> list[float]:
    """Each p corrected for their number by Holm's method: below a level, the chance of any false alarm among all is below it, too.

    `families` says of each p which family it belongs to, within which it is corrected already (`joint_test`): then the families are counted
    that are not settled yet, and not the single comparisons.
    """
    family_of = list(range(len(p))) if families is None else list(families)
    order = sorted(range(len(p)), key=p.__getitem__)
    adjusted, worst = [1.0] * len(p), 0.0
    for rank, index in enumerate(order):
        open_families = len({family_of[other_index] for other_index in order[rank:]})
        worst = max(worst, min(1.0, open_families * p[index]))
        adjusted[index] = worst
    return adjusted


def _one_sided_p(strata: Sequence[Stratum]) -> float:
    """One-sided p that the second samples are larger: the sum of their ranks over all strata, each ranked by itself."""
    ranked = [(doubled_midranks([*before, *after]), len(before), len(after)) for before, after in strata]
    observed = sum(sum(ranks[n:]) for ranks, n, _ in ranked)
    if all(n * m <= MAX_COUNTED for _, n, m in ranked):
        distribution = {0: 1}
        for ranks, n, m in ranked:
            distribution = _convolve(distribution, _count_rank_sums(ranks, n, m))
        return min(1.0, sum(number for total, number in distribution.items() if total >= observed) / sum(distribution.values()))
    mean = sum(m * (n + m + 1) for _, n, m in ranked)  # of doubled ranks
    variance = 4 * sum(_variance(ranks, n, m) for ranks, n, m in ranked)
    return 1.0 if variance <= 0 else 0.5 * math.erfc((observed - mean - 1) / math.sqrt(2 * variance))


def _count_rank_sums(ranks: Sequence[int], n: int, m: int) -> dict[int, int]:
    """In how many ways `m` of these doubled ranks have each sum. It is counted by the smaller side, whose sum gives the other's."""
    size = min(n, m)
    sums_by_size: list[dict[int, int]] = [{0: 1}, *({} for _ in range(size))]
    for rank in ranks:
        for number_chosen in range(size, 0, -1):
            sums = sums_by_size[number_chosen]
            for total, number in sums_by_size[number_chosen - 1].items():
                sums[total + rank] = sums.get(total + rank, 0) + number
    return sums_by_size[size] if size == m else {sum(ranks) - total: number for total, number in sums_by_size[size].items()}


def _convolve(first: dict[int, int], right: dict[int, int]) -> dict[int, int]:
    """The distribution of the sum of two independent ones."""
    total: dict[int, int] = {}
    for a, left_count in first.items():
        for b, right_count in right.items():
            total[a + b] = total.get(a + b, 0) + left_count * right_count
    return total


def _interval(strata: Sequence[Stratum], differences: Sequence[float]) -> tuple[float, float]:
    """Between which of the ordered differences the shift lies (Hodges and Lehmann), by the variance of their number below it."""
    pairs = len(differences)
    deviation = math.sqrt(sum(len(a) * len(b) * (len(a) + len(b) + 1) / 12 for a, b in strata))
    rank = math.floor(pairs / 2 - NormalDist().inv_cdf(0.5 + CONFIDENCE / 2) * deviation - 0.5)
    if rank < 0:
        return -math.inf, math.inf
    return differences[rank], differences[pairs - 1 - rank]


def _variance(ranks: Sequence[int], n: int, m: int) -> float:
    """Of the rank sum, with the correction for ties."""
    total = n + m
    ties = sum(number**3 - number for number in (ranks.count(rank) for rank in set(ranks)))
    return n * m / 12 * (total + 1 - ties / (total * (total - 1))) if total > 1 else 0.0
