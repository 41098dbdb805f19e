"""Median, 95th percentile and longest outage over the repeats of a disruption. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Distribution:
    """What several repeats of one disruption did to one path: for how long it was out each time, in seconds, in order of length."""

    path: str
    values: tuple[float, ...]
    never: int
    """How often the path did not come back; not among the values."""
    period_s: float
    budget_s: float
    left_out: int = 0
    """Repeats that have no figure that can be relied on, as in run.json's `series`; they are not among the values."""

    @property
    def runs(self) -> int:
        """How many measurements it is made of."""
        return len(self.values) + self.never

    @property
    def median(self) -> float | None:
        """The median in seconds; None when half of them or more never recovered."""
        return _finite(median([*self.values, *[math.inf] * self.never]))

    @property
    def p95(self) -> float | None:
        """By nearest rank: a value that was measured. Of fewer than 20 runs it is the longest one."""
        ascending = [*self.values, *[math.inf] * self.never]
        return _finite(percentile(ascending, 0.95))

    @property
    def longest(self) -> float | None:
        """The longest in seconds; None when one never recovered."""
        return None if self.never else self.values[-1]


def percentile(ascending: Sequence[float], share: float) -> float:
    """By nearest rank: a value of the sample. `ascending` has one value at least."""
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]


def _finite(value: float) -> float | None:
    return None if math.isinf(value) else value
