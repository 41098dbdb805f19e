"""Figures for the gate out of runs: of each disruption and path one figure a repeat, by direction. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from harness.core.verdict import Outcome
from harness.report.record.run_record import PathName, RunRecord
from harness.report.statistics.gate_statistics import worst_of

Key = tuple[str, str]
"""Disruption and path."""
Direction = tuple[str, str]
"""The node that was active before, and the target."""


@dataclass
class Sample:
    """The figures of one disruption on one path, by direction; in seconds, infinite where the path did not come back."""

    by_direction: dict[Direction, list[float]] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """How many figures."""
        return sum(map(len, self.by_direction.values()))

    @property
    def middle(self) -> float:
        """Their median; of one figure at least."""
        return median(value for values in self.by_direction.values() for value in values)


def samples(runs: Iterable[RunRecord]) -> dict[Key, Sample]:
    """The figure of a path is the longest of its new connections, as in the report. What nothing is demanded of is left out, and what
    could not be relied on."""
    found: dict[Key, Sample] = {}
    for run in runs:
        for record in run.measurements:
            if record.measured.timing.outcome is not Outcome.PASS:
                continue
            for path in PathName:
                figure = worst_of(record, path)
                if figure is None or not figure.known or not figure.demanded:
                    continue
                sample = found.setdefault((record.measured.disruption, path.value), Sample())
                sample.by_direction.setdefault((record.measured.before, record.measured.target), []).append(figure.value)
    return found


def night_to_night(runs: Sequence[RunRecord], key: Key) -> float:
    """By how much the baseline's own runs differ: the middle distance of their medians from the median of those, in seconds.

    0 for fewer than four runs. A run that differs by no more than they do among themselves is no slower.
    """
    if len(runs) < 4:
        return 0.0
    middles = [sample.middle for run in runs if (sample := samples([run]).get(key))]
    if len(middles) < 4:
        return 0.0
    centre = median(middles)
    return median(abs(value - centre) for value in middles)
