"""The Mann-Whitney U test and the Hodges-Lehmann shift, for samples as small as a failover run has. Standard library only; pure.

With ties the exact distribution is that of the observed mid-ranks (a permutation test), so it stays exact where tables stop.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

MAX_EXACT_SAMPLES = 60
"""Samples of together more values than this are judged by the normal approximation, which is then good to three digits."""


@dataclass(frozen=True)
class Test:
    """`u` counts the pairs in which the second sample is larger, ties as one half; `p` is two-sided; `shift` is second minus first."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    u: float
    p: float
    shift: float
    exact: bool


def mann_whitney(first: Sequence[float], second: Sequence[float], *, exact: bool | None = None, shift: bool = True) -> Test:
    """Compare two samples of at least one value each; infinite values (a path that never came back) are the largest ones.

    `exact` says whether the distribution is counted out; None: for few enough values. Counting is quick where `second` is small.
    Without `shift` only p is wanted: its shift is not a number then.
    Raises ValueError for an empty sample.
    """
    if not first or not second:
        raise ValueError("both samples need at least one value")
    ranks = doubled_midranks([*first, *second])
    total = sum(ranks[len(first) :])
    u = total / 2 - len(second) * (len(second) + 1) / 2
    exact = len(ranks) <= MAX_EXACT_SAMPLES if exact is None else exact
    p = _exact_p(ranks, len(second), total) if exact else _approximate_p(ranks, len(first), len(second), u)
    return Test(u, min(1.0, p), hodges_lehmann(first, second) if shift else math.nan, exact)


def least_p(first: int, second: int) -> float:
    """The smallest two-sided p that samples of these sizes can reach, however far they are apart."""
    return min(1.0, 2 / math.comb(first + second, first))


def hodges_lehmann(first: Sequence[float], second: Sequence[float]) -> float:
    """By how much the second sample lies higher: the median of all differences between one value of each."""
    return median(difference(b, a) for a in first for b in second)


def difference(b: float, a: float) -> float:
    """b minus a; none between two paths that never came back."""
    return 0.0 if math.isinf(a) and math.isinf(b) else b - a


def doubled_midranks(values: Sequence[float]) -> list[int]:
    """Twice the mid-rank of each value, which is whole whatever the ties."""
    ascending = sorted(values)
    first_rank: dict[float, int] = {}
    last_rank: dict[float, int] = {}
    for rank, value in enumerate(ascending, 1):
        first_rank.setdefault(value, rank)
        last_rank[value] = rank
    return [first_rank[value] + last_rank[value] for value in values]


def _exact_p(ranks: Sequence[int], size: int, observed: int) -> float:
    """Of all ways to choose `size` of these ranks, how many have a sum as far out as `observed`, on either side."""
    sums_by_size: list[dict[int, int]] = [{0: 1}, *({} for _ in range(size))]
    for rank in ranks:
        for number_chosen in range(size, 0, -1):
            for total, number in sums_by_size[number_chosen - 1].items():
                sums_by_size[number_chosen][total + rank] = sums_by_size[number_chosen].get(total + rank, 0) + number
    low = sum(number for total, number in sums_by_size[size].items() if total <= observed)
    high = sum(number for total, number in sums_by_size[size].items() if total >= observed)
    return 2 * min(low, high) / math.comb(len(ranks), size)


def _approximate_p(ranks: Sequence[int], first: int, second: int, u: float) -> float:
    """Normal approximation with the correction for ties and for continuity."""
    total = first + second
    ties = sum(number**3 - number for number in Counter(ranks).values())
    variance = first * second / 12 * (total + 1 - ties / (total * (total - 1)))
    if variance <= 0:
        return 1.0
    distance = max(0.0, abs(u - first * second / 2) - 0.5)
    return math.erfc(distance / math.sqrt(2 * variance))
