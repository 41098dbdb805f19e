"""Several rank tests at once on the same repeats, each p corrected for their number without paying for what they share. Pure.

The paths of one disruption come back at almost the same moment, and its phases are parts of the same time: their figures are no independent
comparisons, and a correction that takes them for such (Holm's) sees too little. Here repeats change sides as a whole, with all their
figures; how large the largest of all statistics becomes by that alone is what each is held against (Westfall and Young, maxT).
It is exact where all arrangements can be counted out, and otherwise drawn by dice that always fall the same.
"""

from __future__ import annotations

import functools
import itertools
import math
import random
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.report.statistics.mann_whitney import doubled_midranks

MAX_COUNTED = 5000
"""Arrangements up to which all are counted out; of more, this many are drawn."""
SAME = 1e-9
"""Statistics that differ by less are equal: they are sums of the same numbers in another order."""


@dataclass(frozen=True)
class Block:
    """Repeats of one disruption before and after, with several figures each.

    `sizes` says of each stratum (a direction) how many repeats are before and how many after. A row is one figure of all repeats, in that
    order: stratum by stratum, before and then after; None where it is not known, infinite where a path did not come back.
    """

    sizes: Sequence[tuple[int, int]]
    rows: Sequence[Sequence[float | None]]

    @property
    def arrangements(self) -> int:
        """In how many ways the repeats can be dealt to the two sides."""
        return math.prod(math.comb(before + after, after) for before, after in self.sizes)


@dataclass(frozen=True)
class Joint:
    """`p` of each row, corrected for all rows together. `largest` are the largest statistics of all arrangements, in ascending order."""

    p: list[float]
    largest: Sequence[float]

    def critical(self, level: float) -> float:
        """The standardised statistic that is exceeded by chance with that probability, over all rows together."""
        return self.largest[min(len(self.largest) - 1, math.ceil((1 - level) * len(self.largest)))]


def joint_test(block: Block, *, two_sided: bool = False) -> Joint:
    """Are the figures after larger (or, two-sided, other) than those before? Raises ValueError when one of the sides has no repeat."""
    if not any(before and after for before, after in block.sizes):
        raise ValueError("there is no stratum with repeats of both sides")
    scores = [_standardise(block.sizes, row) for row in block.rows]
    units = [tuple(row[unit] for row in scores) for unit in range(sum(map(sum, block.sizes)))]

    def statistics(chosen: Sequence[int]) -> list[float]:
        sums = [sum(column) for column in zip(*[units[unit] for unit in chosen], strict=True)]
        return [abs(value) for value in sums] if two_sided else sums

    observed = statistics(_observed_units(block.sizes))
    sampled = block.arrangements > MAX_COUNTED
    arrangements = _sample_arrangements(tuple(block.sizes)) if sampled else _all_arrangements(block.sizes)
    largest = sorted(max(statistics(chosen), default=0.0) for chosen in arrangements)
    as_large = [len(largest) - bisect_left(largest, value - SAME) for value in observed]
    return Joint([(number + sampled) / (len(largest) + sampled) for number in as_large], largest)


def _standardise(sizes: Sequence[tuple[int, int]], row: Sequence[float | None]) -> list[float]:
    """Scores whose sum on one side has a deviation of 1 over all arrangements."""
    scores = _scores(sizes, row)
    deviation = _deviation(sizes, scores)
    return [score / deviation for score in scores]


def _scores(sizes: Sequence[tuple[int, int]], row: Sequence[float | None]) -> list[int]:
    """Ranks within each stratum around their middle: whole numbers that add up to none. What is not known stands in the middle."""
    scores, begin = [], 0
    for before, after in sizes:
        stratum = row[begin : begin + before + after]
        begin += before + after
        known_values = [value for value in stratum if value is not None]
        ranks = iter(doubled_midranks(known_values))
        scores += [0 if value is None else next(ranks) - len(known_values) - 1 for value in stratum]
    return scores


def _deviation(sizes: Sequence[tuple[int, int]], scores: Sequence[int]) -> float:
    """Of the sum of the scores on one side, over all arrangements; 1 where every sum is 0."""
    variance, begin = 0.0, 0
    for before, after in sizes:
        n = before + after
        if n > 1:
            variance += before * after / (n * (n - 1)) * sum(score * score for score in scores[begin : begin + n])
        begin += n
    return math.sqrt(variance) or 1.0


def _observed_units(sizes: Sequence[tuple[int, int]]) -> list[int]:
    units, begin = list[int](), 0
    for before, after in sizes:
        units += range(begin + before, begin + before + after)
        begin += before + after
    return units


def _all_arrangements(sizes: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
    strata, begin = [], 0
    for before, after in sizes:
        strata.append(list(itertools.combinations(range(begin, begin + before + after), after)))
        begin += before + after
    for choices in itertools.product(*strata):
        yield list(itertools.chain.from_iterable(choices))


@functools.lru_cache(maxsize=4)
def _sample_arrangements(sizes: tuple[tuple[int, int], ...]) -> list[list[int]]:
    """The disruptions of a run are mostly repeated alike, so that the dice need not be thrown for each."""
    dice, arrangements = random.Random(1), []
    for _ in range(MAX_COUNTED):
        units, begin = list[int](), 0
        for before, after in sizes:
            units += dice.sample(range(begin, begin + before + after), after)
            begin += before + after
        arrangements.append(units)
    return arrangements
