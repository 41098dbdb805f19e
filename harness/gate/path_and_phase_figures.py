"""Figures for the gate out of runs: of each repeat of a disruption its paths, its phases, and how far the paths lie apart. Pure.

All paths of a disruption come back by the same switch, and what a path takes scatters as the whole failover does. Each phase scatters far
less: that the balancer takes one probe longer is plain in its own phase, where the whole hides it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from harness.core.verdict import Outcome
from harness.measure.evaluation.outage_phases import stack
from harness.measure.measurement_result import Outage
from harness.remote.recording.recording import INCIDENT
from harness.report.record.measurement_record import MeasurementRecord
from harness.report.record.run_record import PathName, RunRecord
from harness.report.statistics.mann_whitney import difference
from harness.report.statistics.outage_statistics import SeriesFigure, unknown_figures, worst_of

Direction = tuple[str, str]
"""The node that was active before, and the target."""
Figures = Mapping[str, float]
"""Of one repeat: its paths by name, `phase NAME`, and `lag of PATH`; in seconds, infinite where a path did not come back."""
PHASE, LAG = "phase ", "lag of "
JOINED_PHASES = {"database ready": "first answer"}
"""Moments that come so close together that it is chance which is the last: their time is one phase here, or neither would be steady."""


@dataclass
class Sample:
    """The repeats of one disruption by direction, in order of time."""

    by_direction: dict[Direction, list[Figures]] = field(default_factory=dict)
    not_known: dict[str, int] = field(default_factory=dict)
    """Path → how many repeats have no figure of it that can be relied on."""

    def of(self, name: str, direction: Direction | None = None) -> list[float]:
        """All that is known of one figure, in one direction or all."""
        ways = self.by_direction.values() if direction is None else [self.by_direction.get(direction, [])]
        return [repeat[name] for way in ways for repeat in way if name in repeat]

    @property
    def names(self) -> list[str]:
        """The names of all figures, paths first."""
        return sorted(
            {name for repeats in self.by_direction.values() for repeat in repeats for name in repeat}, key=lambda n: (not is_path(n), n)
        )

    @property
    def paths(self) -> list[str]:
        """The paths that have a figure in any repeat, or that were asked for one."""
        return sorted({*filter(is_path, self.names), *self.not_known})


def is_path(name: str) -> bool:
    """Is it a whole path, and no part of one?"""
    return name in set(PathName)


def repeats(run: RunRecord) -> list[MeasurementRecord]:
    """What was measured of disruptions that can be done again: no two incidents of a flight recorder are repeats of one thing."""
    return [record for record in run.measurements if record.measured.disruption != INCIDENT]


def samples(runs: Iterable[RunRecord]) -> dict[str, Sample]:
    """The repeats of each disruption. What nothing is demanded of is left out; what could not be relied on is counted."""
    by_disruption: dict[str, Sample] = {}
    for run in runs:
        for record in repeats(run):
            sample = by_disruption.setdefault(record.measured.disruption, Sample())
            demanded = [f for path in PathName if (f := worst_of(record, path)) is not None and f.demanded]
            relied_on = record.measured.timing.outcome is Outcome.PASS
            known_figures = [f for f in demanded if relied_on and not unknown_figures(record, f.series.path)]
            for figure in demanded:
                if figure not in known_figures:
                    sample.not_known[figure.series.path] = sample.not_known.get(figure.series.path, 0) + 1
            if known_figures:
                direction = (record.measured.before, record.measured.target)
                sample.by_direction.setdefault(direction, []).append(figures_of(record, known_figures))
    return by_disruption


def figures_of(record: MeasurementRecord, path_figures: Sequence[SeriesFigure]) -> Figures:
    """The figures of one repeat, from those of its paths: of one path at least."""
    paths = {figure.series.path: figure.value for figure in path_figures}
    middle = median(paths.values())
    figures = dict(paths)
    if len(paths) > 1:
        figures |= {LAG + path: difference(value, middle) for path, value in paths.items()}
    return {**figures, **{PHASE + name: length for name, length in _phases(record, max(paths.values())).items()}}


def _phases(record: MeasurementRecord, longest: float) -> dict[str, float]:
    """The time from the disruption until the last path had recovered, or until the measurement ended, cut at the boundaries that were
    seen in it, as an outage is in the report. None for paths that were never out."""
    measured = record.measured
    length = min(longest, measured.end - measured.anchor)
    if longest <= 0 or length <= 0:
        return {}
    outage = Outage("", measured.anchor, measured.anchor + length, length, 0.0, {}, {}, "")
    durations_s: dict[str, float] = {}
    for name, piece in stack(measured.boundaries, outage):
        phase = JOINED_PHASES.get(name, name)
        durations_s[phase] = durations_s.get(phase, 0.0) + piece
    return durations_s


def night_to_night(runs: Sequence[RunRecord], disruption: str) -> dict[str, float]:
    """By how much the baseline's own runs differ in each figure: the middle distance of their medians from the median of those, in seconds.

    0 for fewer than four runs. A run that differs by no more than they do among themselves is no slower.
    """
    nights = [sample for run in runs if (sample := samples([run]).get(disruption))] if len(runs) >= 4 else []
    scatter_s: dict[str, float] = {}
    for name in {name for night in nights for name in night.names}:
        middles = [median(values) for night in nights if (values := night.of(name))]
        if len(middles) >= 4:
            centre = median(middles)
            scatter_s[name] = median(abs(difference(value, centre)) for value in middles)
    return scatter_s
