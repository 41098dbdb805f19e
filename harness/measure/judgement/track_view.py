"""One track as the judgement looks at it: its path, the outages that count, what its budget counts from; and all that in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.measure.judgement import noise, presence, sentences
from harness.measure.judgement.attribution import Traced
from harness.measure.judgement.outages import Run
from harness.measure.recording import PINNED, Recording, Track
from harness.verdict import Verdict

RECOVERS, UNTOUCHED, OUT, ANY = "recovers", "untouched", "out", "any"


@dataclass(frozen=True)
class Case:
    """What all tracks of a recording are judged by. `window` is the measured time, `timing` what doubts every figure."""

    recording: Recording
    anchor: float
    end: float  # of the evidence
    after: str | None  # the node that serves in the end
    budget_s: float
    window: tuple[float, float]
    timing: Verdict  # calibration and completeness
    hosts: dict[str, Verdict]  # how well each origin kept its ticks; one that the disruption took away is missing

    def path_of(self, origin: str) -> str:
        if origin == self.recording.header.client:
            return "client"
        return "inside" if origin == (self.after or self.recording.header.active) else "standby"

    def effect_on(self, track: Track) -> str:
        return self.recording.header.expects.get(self.path_of(track.origin), ANY)

    @cached_property
    def unwatched(self) -> list[tuple[float, float]]:
        """When some node's traffic was not watched."""
        return presence.unwatched(self.recording)

    @cached_property
    def coarse(self) -> dict[str, str]:
        """Origins whose failed attempts have no known port, so that nobody can tell whether they reached a node."""
        return presence.coarse(self.recording)

    @cached_property
    def undone(self) -> float | None:
        """When the undoing began."""
        return self.recording.mark("undo-begin")


@dataclass(frozen=True)
class View:
    """`attempts` are those that are evidence, `runs` all of its outages; `gone`: when its origin was lost for good."""

    case: Case
    track: Track
    attempts: Sequence[Traced]
    runs: Sequence[Run]
    gone: float | None

    @property
    def path(self) -> str:
        return "" if self.gone is not None else self.case.path_of(self.track.origin)

    @property
    def name(self) -> str:
        return sentences.called(self.track, self.path)

    @property
    def effect(self) -> str:
        return self.case.effect_on(self.track)

    @cached_property
    def until(self) -> float:
        """Where its evidence ends."""
        return max((max(one.at + self.track.period_s, one.ended) for one in self.attempts), default=self.case.end)

    @cached_property
    def due(self) -> list[Run]:
        """The outages that the disruption may be blamed for."""
        return [run for run in self.runs if self.is_due(run)]

    def is_due(self, run: Run) -> bool:
        """An attempt that was under way when it began may be the first to fail."""
        return run.start >= self.case.anchor - self.track.limit_s or run.end is None or run.end > self.case.anchor

    def counted_from(self, run: Run) -> float | None:
        """What the budget of an outage counts from; None where the recording does not say.

        The disruption; but the undoing for a path that had to be out until then, or had to do nothing, and for an outage that only
        began with the undoing.
        """
        undone = self.case.undone
        if self.effect in (OUT, ANY):
            return undone
        return undone if undone is not None and run.start >= undone - self.track.limit_s else self.case.anchor

    def took(self, run: Run, end: float) -> float | None:
        """How long after that it was right again, in seconds."""
        since = self.counted_from(run)
        return None if since is None else max(0.0, end - since)

    @property
    def out_s(self) -> float | None:
        """The figure that the budget is held against: the longest of `took`, counted from the disruption where nothing else is known."""
        if not self.attempts or any(run.end is None for run in self.due):
            return None
        took = [(self.took(run, run.end), run.end - self.case.anchor) for run in self.due if run.end is not None]
        return max((plain if known is None else known for known, plain in took), default=0.0)

    @cached_property
    def unmeasured_s(self) -> float:
        """For how long after the disruption there is no evidence, such as while its origin was gone."""
        return sum(end - start for start, end in noise.gaps(self.track, self.attempts, self.case.anchor, self.case.end))

    # words
    def told(self, run: Run) -> str:
        return f"{self.name}: {self.lasted(run)}; {self.failures(run)}"

    def lasted(self, run: Run) -> str:
        length = run.seconds(self.until)
        if run.end is None:
            return f"still out after {self.s(length)} when {self._why_ended()}"
        return f"out {sentences.figure(length, run.uncertainty(self.track.period_s), self.track.period_s)}"

    def failures(self, run: Run) -> str:
        end = self.until if run.end is None else run.end
        blind = any(a < end and run.start < b for a, b in self.case.unwatched) or self.track.origin in self.case.coarse
        return sentences.failures(self.track, run, all_watched=not blind)

    @cached_property
    def summary(self) -> str:
        """What became of the path, in a sentence; of several outages the longest."""
        if not self.due:
            gap = f", and not measured for {self.s(self.unmeasured_s)}" if self.unmeasured_s else ""
            return f"{self.name}: never out, {len(self.attempts)} {self.noun} answered{gap}"
        longest = max(self.due, key=lambda run: run.seconds(self.until))
        times = f"{len(self.due)} times, the longest: " if len(self.due) > 1 else ""
        return f"{self.name}: {times}{self.lasted(longest)}{self._in_time()}; {self.failures(longest)}"

    def _in_time(self) -> str:
        """`, right again 1.30 s after the disruption of 8.10 s allowed`, by the outage that used most of its budget."""
        if self.effect in (ANY, UNTOUCHED):
            return ""
        took = [(self.took(run, run.end), run) for run in self.due if run.end is not None]
        known = [(seconds, run) for seconds, run in took if seconds is not None]
        if not known or len(known) != len(self.due):
            return f", {self.s(self.case.budget_s)} allowed"
        seconds, run = max(known, key=lambda pair: pair[0])
        what = "the disruption" if self.counted_from(run) == self.case.anchor else "the undoing"
        return f", right again {self.s(seconds)} after {what} of {self.s(self.case.budget_s)} allowed"

    @property
    def noun(self) -> str:
        return "heartbeats" if self.track.kind == PINNED else "attempts"

    def s(self, value: float) -> str:
        return sentences.seconds(value, self.track.period_s)

    def _why_ended(self) -> str:
        if self.gone is not None:
            return f"{self.track.origin} itself was lost"
        return "the measurement ended" if self.case.recording.complete else "the recording was cut off"
