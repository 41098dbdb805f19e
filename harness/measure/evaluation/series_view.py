"""One series as the judgement looks at it: its path, the outages that count, what its budget counts from; and all that in words. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from harness.core.verdict import Outcome, Verdict
from harness.measure.evaluation import attempt_attribution, disruption_traits, figure_wording, observation_gaps, timing_quality
from harness.measure.evaluation.attempt_attribution import Traced
from harness.measure.evaluation.series_outages import Run, longest_stall
from harness.remote.recording.recording import PINNED, Recording, Series

RECOVERS, UNTOUCHED, OUT, ANY = "recovers", "untouched", "out", "any"
DISRUPTION, UNDOING, ITSELF = "the disruption", "the undoing", "its own beginning"


class Figure(NamedTuple):
    """Seconds, from what, and between which bounds the true figure lies."""

    seconds: float
    since: str
    least: float
    most: float


@dataclass(frozen=True)
class RecordingContext:
    """What all series of a recording are judged by. `window` is the measured time, `timing` what doubts every figure."""

    recording: Recording
    anchor: float
    end: float  # of the evidence
    after: str | None  # the node that serves in the end
    taken_over: float | None  # when another node than the one active before first answered
    budget_s: float
    window: tuple[float, float]
    timing: Verdict  # calibration and completeness
    happened: Verdict  # was it done, and seen to take effect?
    hosts: dict[str, Verdict]  # how well each origin kept its ticks; one that the disruption took away is missing

    def path_of(self, origin: str) -> str:
        """The path that a host's attempts belong to, by who is active in the end."""
        if origin == self.recording.header.client:
            return "client"
        return "inside" if origin == (self.after or self.recording.header.active) else "standby"

    def effect_on(self, series: Series) -> str:
        """What the disruption may do to a series."""
        return self.recording.header.expects.get(self.path_of(series.origin), ANY)

    def must_be_measured(self, series: Series) -> bool:
        """Is something demanded of a series, or its outages a figure of a whole? Then what of it is missing is a doubt."""
        return self.effect_on(series) != ANY or self.recording.header.figures_only

    def may_be_gone(self, origin: str) -> bool:
        """Was it taken away by what was done?"""
        return origin == self.recording.header.target and disruption_traits.takes_away(self.recording.header)

    @cached_property
    def unwatched(self) -> list[tuple[float, float]]:
        """When some node's traffic was not watched."""
        return observation_gaps.unwatched_spans(self.recording)

    @cached_property
    def coarse(self) -> dict[str, str]:
        """Origins whose failed attempts have no known port, so that nobody can tell whether they reached a node."""
        return observation_gaps.limited_hosts(self.recording)

    @cached_property
    def undo_begin(self) -> float | None:
        """When the undoing began."""
        return self.recording.mark("undo-begin")

    @cached_property
    def lasts(self) -> bool:
        """Whether the disruption lasts until it is undone."""
        return disruption_traits.lasts(self.recording.header)

    def clock_error(self, origin: str) -> float:
        """How wrong the time from the disruption to something at that host may be: both may be told by clocks of their own."""
        errors, header = attempt_attribution.clock_errors(self.recording), self.recording.header
        hosts = {origin, header.target}
        return sum(errors.get(host, 0.0) for host in hosts)


@dataclass(frozen=True)
class SeriesView:
    """`attempts` are those that are evidence, `runs` all of its outages; `gone`: when its origin was lost for good."""

    case: RecordingContext
    series: Series
    attempts: Sequence[Traced]
    failures_of_it: Sequence[Run]
    gone: float | None

    @property
    def excused(self) -> bool:
        """Is its origin's absence no fault of the cluster?"""
        return not self.case.must_be_measured(self.series) or self.case.may_be_gone(self.series.origin)

    @property
    def path(self) -> str:
        """The path's name; empty for a host that has left its path."""
        left_out = self.gone is not None and (self.excused or self.series.origin not in self.case.recording.header.nodes)
        return "" if left_out else self.case.path_of(self.series.origin)

    @property
    def name(self) -> str:
        """The series in words."""
        return figure_wording.describe_series(self.series, self.path)

    @property
    def effect(self) -> str:
        """What the disruption may do to it."""
        return self.case.effect_on(self.series)

    @cached_property
    def until(self) -> float:
        """Where its evidence ends."""
        if self.gone is not None and self.absences:
            return self.case.end
        return max((max(attempt.at + self.series.period_s, attempt.ended_at) for attempt in self.attempts), default=self.case.end)

    @cached_property
    def absences(self) -> list[Run]:
        """When its node was lost though the disruption takes none away: as outages, from the last to the first evidence around it.

        A host that only the harness lost goes on measuring, so that no evidence is missing; what it saw on the wire tells that it lived.
        """
        recording, origin = self.case.recording, self.series.origin
        if self.excused or origin not in recording.header.nodes:
            return []
        lost_spans = [span for span in observation_gaps.lost_spans(recording, origin, itself=True) if span[1] > self.case.anchor]
        holes = timing_quality.gaps(self.series, self.attempts, self.case.anchor, self.case.end)
        sighting_times = [s.at for s in recording.sightings if s.host == origin]
        runs = []
        for start, end in holes:
            inner = (start + timing_quality.MAX_SAMPLE_DELAY_S, end - timing_quality.MAX_SAMPLE_DELAY_S)
            if any(a <= end and start <= b for a, b in lost_spans) and not any(inner[0] < at < inner[1] for at in sighting_times):
                comes_back = any(attempt.at >= end for attempt in self.attempts)
                runs.append(Run(start, end if comes_back else None, start if not comes_back else end - self.series.period_s, (), start))
        return [run for run in runs if not any(r.start <= run.start and (r.end is None or r.end > run.start) for r in self.failures_of_it)]

    @cached_property
    def runs(self) -> list[Run]:
        """The failures and absences in the order of their beginning."""
        return sorted([*self.failures_of_it, *self.absences], key=lambda run: run.start)

    @cached_property
    def due(self) -> list[Run]:
        """The outages that the disruption may be blamed for."""
        return [run for run in self.runs if self.is_due(run)]

    @cached_property
    def runs_before(self) -> list[Run]:
        """Those that began before it."""
        return [run for run in self.runs if not self.is_due(run)]

    def is_due(self, run: Run) -> bool:
        """An attempt that was under way when it began may be the first to fail; an outage that began earlier, or was over by then, is
        another's work."""
        earliest = self.case.anchor - self.series.limit_s - self.case.clock_error(self.series.origin)
        return run.start >= earliest and (run.end is None or run.end > self.case.anchor)

    def begun_unseen(self, run: Run) -> bool:
        """Was the path out already when what a flight recorder kept begins? Such as the return of one that was out for hours: its figures
        are bounds."""
        return self.case.recording.header.observed and bool(run.failed) and run.before is None

    def counted_from(self, run: Run) -> tuple[float, str] | None:
        """What the budget of an outage counts from; None where the recording does not say.

        The disruption; but the undoing for a path that had to be out until then. Where something is undone, an outage that only began
        with that, or later, is held to its own length; where nothing is, there is nothing but the disruption to blame.
        """
        undone = self.case.undo_begin
        if self.effect == OUT:
            if undone is None:
                return None
            return (run.start, ITSELF) if run.start > undone else (undone, UNDOING)
        if self.effect != ANY and self.case.lasts and undone is not None and run.start >= undone - self.series.limit_s:
            return run.start, ITSELF
        return self.case.anchor, DISRUPTION

    def figure(self, run: Run, end: float) -> Figure | None:
        """How long after that it had recovered, in seconds; None where the recording does not say."""
        counted = self.counted_from(run)
        bounds = None if counted is None else self._figure(run, end, *counted)
        return bounds._replace(most=math.inf) if bounds is not None and self.begun_unseen(run) else bounds

    def _figure(self, run: Run, end: float, since: float, what: str) -> Figure:
        took_s, late = max(0.0, end - since), run.uncertainty(self.series.period_s)
        if what == ITSELF:
            return Figure(took_s, what, max(0.0, took_s - late), took_s + run.earlier(self.series.period_s))
        error = self.case.clock_error(self.series.origin)
        return Figure(took_s, what, max(0.0, took_s - late - error), took_s + error if took_s else 0.0)

    @cached_property
    def counted_figure(self) -> Figure | None:
        """The figure that the budget is held against: the longest one. None where there is none, and `unknown` says why."""
        if self.unknown:
            return None
        figures = [f for run in self.due if run.end is not None and (f := self.figure(run, run.end)) is not None]
        longest = max(figures, key=lambda f: f.seconds, default=None)
        if longest is not None and longest.seconds > 0:
            return longest
        if self.due:  # over before the undoing, or nobody knows when that was
            last = self.due[-1]
            return self._figure(last, last.end or last.last, self.case.anchor, DISRUPTION)
        return Figure(0.0, DISRUPTION, 0.0, max(self.longest_gap_s if self.is_coarse else 0.0, self.stall[1]))

    @cached_property
    def unknown(self) -> str:
        """Why there is no figure; empty when there is one."""
        if any(run.end is None for run in self.due):
            return "never came back"
        if not self.attempts:
            return "no attempt was recorded"
        if self.case.happened.outcome is not Outcome.PASS:
            return self.case.happened.reason
        if any(run.end is None or run.end > self.case.anchor for run in self.runs_before):
            return "out before the disruption already"
        if any(self.begun_unseen(run) for run in self.due):
            return "out already when what was kept begins"
        if not self.due and self.longest_gap_s > timing_quality.MIN_MEASURED_AFTER_RECOVERY_S:
            return f"not measured for {self.s(self.unmeasured_s)}"
        return ""

    @cached_property
    def unmeasured_s(self) -> float:
        """For how long after the disruption there is no evidence, such as while its origin was gone."""
        return sum(end - start for start, end in timing_quality.gaps(self.series, self.attempts, self.case.anchor, self.case.end))

    @cached_property
    def unmeasured_before_s(self) -> float:
        """For how long of the recording before the disruption there is no evidence."""
        start = observation_gaps.extent(self.case.recording)[0]
        return sum(b - a for a, b in timing_quality.gaps(self.series, self.attempts, start, self.case.anchor))

    @cached_property
    def longest_gap_s(self) -> float:
        """The widest gap between two attempts, in seconds."""
        return timing_quality.widest_s(self.series, self.attempts, self.case.anchor, self.case.end)

    @cached_property
    def stall(self) -> tuple[float, float]:
        """When answers were withheld longest without an attempt that failed of it, and for how many seconds; 0 where they were not."""
        return longest_stall(self.series, self.attempts, self.case.anchor, self.case.end)

    @property
    def is_coarse(self) -> bool:
        """Were attempts further apart than a period or two, so that "never out" says less than it seems to?"""
        return self.longest_gap_s > timing_quality.MAX_UNMEASURED_PERIODS * self.series.period_s

    # words
    def describe(self, run: Run) -> str:
        """One failure as a sentence."""
        return f"{self.name}: {self.describe_length(run)}; {self.failures(run)}"

    def describe_length(self, run: Run) -> str:
        """How long a failure lasted, in words."""
        length = run.seconds(self.until)
        if self.begun_unseen(run):
            still = "" if run.end is not None else f" and still when {self._why_ended()}"
            return f"out for at least {self.s(length)}{still}, and already when what was kept begins"
        if run.end is None:
            return f"still out after {self.s(length)} when {self._why_ended()}"
        period = self.series.period_s
        return f"out {figure_wording.figure(length, length - run.uncertainty(period), length + run.earlier(period), period)}"

    def failures(self, run: Run) -> str:
        """How its attempts failed, in words."""
        if not run.failed:
            return (
                f"{self.series.origin} itself was lost, from {self._at(run.start)} to {'the end' if run.end is None else self._at(run.end)}"
            )
        end = self.until if run.end is None else run.end
        blind = any(a < end and run.start < b for a, b in self.case.unwatched) or self.series.origin in self.case.coarse
        return figure_wording.describe_failures(self.series, run, all_watched=not blind)

    def _at(self, moment: float) -> str:
        return f"{moment - self.case.anchor:+.2f} s"

    @cached_property
    def summary(self) -> str:
        """What became of the path, in a sentence; of several outages the longest."""
        if not self.due:
            gap = f", and not measured for {self.s(self.unmeasured_s)}" if self.unmeasured_s else ""
            wide = f" for longer than {self.s(self.longest_gap_s)}, in which no attempt was made" if self.is_coarse and not gap else ""
            began, withheld = self.stall
            late = f", though answers were withheld for {self.s(withheld)} from {self._at(began)}" if withheld else ""
            late += f" (out is what is not answered within {self.series.limit_s:g} s)" if withheld else ""
            return f"{self.name}: never out{wide}, {len(self.attempts)} {self.noun} answered{late}{gap}"
        longest = max(self.due, key=lambda run: run.seconds(self.until))
        times = f"{len(self.due)} times, the longest: " if len(self.due) > 1 else ""
        return f"{self.name}: {times}{self.describe_length(longest)}{self._describe_recovery()}; {self.failures(longest)}"

    def _describe_recovery(self) -> str:
        """`, recovered 1.30 s after the disruption of 8.10 s allowed`, by the outage that used most of its budget."""
        if self.effect in (ANY, UNTOUCHED):
            return ""
        figures = [f for run in self.due if run.end is not None and (f := self.figure(run, run.end)) is not None and f.most < math.inf]
        if not figures or len(figures) != len(self.due):
            return f", {self.s(self.case.budget_s)} allowed"
        worst = max(figures, key=lambda f: f.seconds)
        return f", recovered {self.s(worst.seconds)} after {worst.since} of {self.s(self.case.budget_s)} allowed"

    @property
    def noun(self) -> str:
        """What an attempt of this series is called."""
        return "heartbeats" if self.series.kind == PINNED else "attempts"

    def s(self, value: float) -> str:
        """Seconds in words, with the decimals that the period is worth."""
        return figure_wording.seconds(value, self.series.period_s)

    def _why_ended(self) -> str:
        if self.gone is not None:
            return f"{self.series.origin} itself was lost"
        return "the measurement ended" if self.case.recording.complete else "the recording was cut off"
