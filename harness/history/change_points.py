"""From which night on figures are different: a search for shifts in a row of figures. Pure.

The split that tells the two sides apart best is looked for, and kept when a rank test would be that surprising once in a hundred rows by
chance, all splits that were tried counted; then each side is searched by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from harness.report.statistics.mann_whitney import hodges_lehmann, mann_whitney

ALPHA = 0.01
"""How often a row without any shift may be said to have one."""
MIN_NIGHTS = 3
"""On each side of a shift."""
MAX_EXACT = 5
"""Nights on the smaller side up to which the rank test is exact; above it the normal approximation is close enough."""
MAX_APPROXIMATE = 0.05
"""A split whose approximate p is above this is not counted out: it cannot be the shift."""
MAX_ROW = 200
"""Nights around a split that are looked at; more tell nothing new, and cost time."""


@dataclass(frozen=True)
class Shift:
    """From `index` on, counted in the row from 0, figures are higher by `by`, or lower. `p` counts all splits that were tried."""

    index: int
    by: float
    p: float


def shifts(row: Sequence[float], least: float) -> list[Shift]:
    """The shifts in a row of figures, in order. One of no more than `least` is none; infinite figures are the largest.

    `least` is in the row's unit, such as a meter's period.
    """
    found_shifts: list[Shift] = []
    _search(row, 0, least, found_shifts)
    return sorted(found_shifts, key=lambda shift: shift.index)


def _search(row: Sequence[float], offset: int, least: float, found_shifts: list[Shift]) -> None:
    if len(row) < 2 * MIN_NIGHTS:
        return
    p, split = min((_p(row, split), split) for split in likely_splits(row))
    by = hodges_lehmann(*_around(row, split))
    p = min(1.0, p * (len(row) - 2 * MIN_NIGHTS + 1))
    if p > ALPHA or abs(by) <= least:
        return
    found_shifts.append(Shift(offset + split, by, p))
    _search(row[:split], offset, least, found_shifts)
    _search(row[split:], offset + split, least, found_shifts)


def likely_splits(row: Sequence[float]) -> list[int]:
    """Where the second part may begin: where its ranks differ most from the first's, for their sizes; and each place close to an end, where
    that measure sees little, and a shift of last night's is."""
    n = len(row)
    sums = list(accumulate(_ranks(row)))
    candidates = range(MIN_NIGHTS, n - MIN_NIGHTS + 1)
    best = max(candidates, key=lambda k: abs(sums[k - 1] - k * (n + 1) / 2) / math.sqrt(k * (n - k)))
    return sorted({best, *candidates[: MAX_EXACT - MIN_NIGHTS + 1], *candidates[-(MAX_EXACT - MIN_NIGHTS + 1) :]})


def _around(row: Sequence[float], split: int) -> tuple[Sequence[float], Sequence[float]]:
    return row[max(0, split - MAX_ROW) : split], row[split : split + MAX_ROW]


def _p(row: Sequence[float], split: int) -> float:
    """Two-sided p of the rank test. It is counted out only where that may matter: one side is small, and they differ."""
    before, after = _around(row, split)
    fewer, more = sorted((before, after), key=len)
    if max(before) < min(after) or max(after) < min(before):
        return min(1.0, 2 / math.comb(len(before) + len(after), len(fewer)))
    p = mann_whitney(more, fewer, exact=False, shift=False).p
    return p if p > MAX_APPROXIMATE or len(fewer) > MAX_EXACT else mann_whitney(more, fewer, exact=True, shift=False).p


def _ranks(row: Sequence[float]) -> list[float]:
    """The rank of each figure; equal ones share theirs."""
    order = sorted(range(len(row)), key=row.__getitem__)
    ranks = [0.0] * len(row)
    begin = 0
    while begin < len(order):
        end = begin
        while end + 1 < len(order) and row[order[end + 1]] == row[order[begin]]:
            end += 1
        for place in order[begin : end + 1]:
            ranks[place] = (begin + end) / 2 + 1
        begin = end + 1
    return ranks
