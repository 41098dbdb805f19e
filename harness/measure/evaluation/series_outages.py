"""Segments and outages of one series. Pure.

How an outage is measured. Attempts begin every period, whatever became of the earlier ones (open loop). Against a cut of length L:

- An attempt fails when its packets would have crossed during the cut: those that began in the cut, and the one or two that were under way
  when it began (an exchange takes r). One that began in the cut is not rescued by its retransmission, which comes 1 s later: its limit is
  shorter (facts measuring), so that it is `silent`.
- The outage STARTS where the first failed attempt BEGAN, which is between r before the cut and one period after its start.
- It ENDS where the first right attempt after it BEGAN, which is less than one period after the cut's end: the last failed one began
  before it. Counting its answer's arrival instead would add r to every figure.
- But an attempt may begin in the cut and be answered after it: a frozen process answers all that queued up, a long limit lets a SYN be
  sent again. Such an attempt was waiting: when the first answer took more than a period longer than answers usually take, the outage
  ends when that answer came, less the usual time. Where those that waited were answered in one burst, nothing was served until then, and
  the end is known to a period; where each took its own while, it may have recovered when the first of them began.

So N failed attempts give N periods, and N periods lie within one period (and r) of L. Both ends are one-sided: the path was out not later
than its first failed attempt began and not before the last right one did; it recovered after the last failed one began and not later
than the end. So a length lies in [measured - period, measured + period], and a figure from a known beginning (the disruption) in
[measured - period, measured]. Where attempts are missing just before an end, the interval is as much wider there.
Answers that were withheld for less than the limit make no attempt fail: a process that was stopped for 0.24 s, a live migration. Where
those that began meanwhile were answered in one burst, that is a stall, told beside "never out" as what that leaves open.
A cut shorter than a period may fall between two attempts: nothing less than a period can be promised to be seen.

Heartbeats of a pinned connection are judged the same way: from the first one that was lost to the first good one, on whatever connection.
Skipped samples are no evidence either way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from statistics import median

from harness.measure.evaluation.attempt_attribution import Traced
from harness.measure.measurement_result import Outage, Segment
from harness.remote.recording.recording import PINNED, Series

STALL_PERIODS, MIN_STALL_S = 3, 0.05


@dataclass(frozen=True)
class Run:
    """An outage before it is worded: the attempts that failed, and the end (None: the samples end first)."""

    start: float
    end: float | None
    last: float  # when the last attempt began that shows it out: one that failed, or waited for a burst of answers
    failed: tuple[Traced, ...]
    before: float | None = None  # when the last right attempt before it began, if there was one

    def seconds(self, until: float) -> float:
        """How long it lasted; one without an end, until then."""
        return max(0.0, (until if self.end is None else self.end) - self.start)

    def uncertainty(self, period: float) -> float:
        """The end was at most this much earlier: a period, or the gap in the attempts before it."""
        return _reach(period, None if self.end is None else self.end - self.last)

    def earlier(self, period: float) -> float:
        """It began at most this much earlier: a period, or the gap in the attempts before it."""
        return _reach(period, None if self.before is None else self.start - self.before)

    @property
    def outcomes(self) -> dict[str, int]:
        """How many of its attempts ended in which way, the most frequent first."""
        return dict(Counter(attempt.outcome for attempt in self.failed).most_common())

    @property
    def attributed(self) -> dict[str, int]:
        """How many of its attempts reached which node; an empty name for those that reached none."""
        return dict(Counter(attempt.node or "" for attempt in self.failed).most_common())


def _reach(period: float, gap: float | None) -> float:
    """A period in seconds, unless the attempts were further apart there, or (a flight recorder's, whose rate rises) closer together."""
    return period if gap is None or period / 2 <= gap <= 2 * period else gap


def segments(series: Series, attempts: Sequence[Traced]) -> list[Segment]:
    """Runs of attempts that ended alike, at the same node; each lasts until the next begins, unless attempts are missing there."""
    rows: list[Segment] = []
    for attempt in attempts:
        end = max(attempt.at + series.period_s, attempt.ended_at) if series.kind == PINNED else attempt.at + series.period_s
        last = rows[-1] if rows else None
        if last is not None and (last.outcome, last.node) == (attempt.outcome, attempt.node) and not _has_hole(series, last, attempt):
            rows[-1] = Segment(last.start, end, last.outcome, last.node, last.count + 1)
            continue
        if last is not None and not _has_hole(series, last, attempt):
            rows[-1] = Segment(last.start, attempt.at, last.outcome, last.node, last.count)
        rows.append(Segment(attempt.at, end, attempt.outcome, attempt.node, 1))
    return rows


def _has_hole(series: Series, last: Segment, attempt: Traced) -> bool:
    """Are attempts missing between them? A segment's provisional end is when the attempt after its last one was due."""
    return attempt.at - last.end > 4 * series.period_s


def runs_of_failure(series: Series, attempts: Iterable[Traced]) -> list[Run]:
    """Every run of attempts that were not answered by the right node, in order."""
    attempts = [attempt for attempt in attempts if attempt.evidence]
    usual = usual_seconds(attempts)
    runs: list[Run] = []
    failed: list[Traced] = []
    before: float | None = None
    for index, attempt in enumerate(attempts):
        if not attempt.is_answered:
            failed.append(attempt)
        elif failed:
            end = _recovered_at(series, attempts, index, usual)
            runs.append(Run(failed[0].at, end, _last_out_at(series, attempts, index, end, failed[-1].at), tuple(failed), before))
            failed = []
        if attempt.is_answered:
            before = attempt.at
    if failed:
        runs.append(Run(failed[0].at, None, failed[-1].at, tuple(failed), before))
    return runs


def longest_stall(series: Series, attempts: Sequence[Traced], start: float, end: float) -> tuple[float, float]:
    """(when it began, how long) of the longest time in [start, end] in which answers were withheld and no attempt failed of it; 0 s where
    there was none of more than STALL_PERIODS periods, below which a busy host is as likely."""
    least, longest = max(STALL_PERIODS * series.period_s, MIN_STALL_S), (start, 0.0)
    evidence = [attempt for attempt in attempts if attempt.evidence]
    usual, out, outage_end = usual_seconds(evidence), False, start
    for index, attempt in enumerate(evidence):
        if not attempt.is_answered or out:  # what waited for the end of an outage is part of that
            outage_end = _recovered_at(series, evidence, index, usual) if attempt.is_answered else outage_end
            out = not attempt.is_answered
        elif attempt.seconds - usual > least and outage_end <= attempt.at <= end:
            withheld = _recovered_at(series, evidence, index, usual) - attempt.at
            if withheld > max(least, longest[1]):
                longest = (attempt.at, withheld)
    return longest


def usual_seconds(attempts: Iterable[Traced]) -> float:
    """How long a right answer usually takes."""
    return median([attempt.seconds for attempt in attempts if attempt.is_answered] or [0.0])


def _recovered_at(series: Series, attempts: Sequence[Traced], index: int, usual: float) -> float:
    """When the path had recovered, by the first good attempt (at `index`) and those that came while it waited."""
    first = attempts[index]
    answered_at = first.ended_at
    for attempt in attempts[index + 1 :]:
        if attempt.at >= answered_at:
            break
        if not attempt.is_answered:
            answered_at = min(answered_at, attempt.at)  # out again by then
            break
        answered_at = min(answered_at, attempt.ended_at)
    waited_s = answered_at - usual - first.at
    return first.at + waited_s if waited_s > series.period_s else first.at


def _last_out_at(series: Series, attempts: Sequence[Traced], index: int, end: float, failed_at: float) -> float:
    """When the last attempt began that shows the path out: the last failed one (`failed_at`), or one that waited for a burst of answers
    at the end.

    Heartbeats of one connection tell no more than the first of them: TCP sends the lost one again first, later than the path was back.
    """
    waiting = [attempt for attempt in takewhile(lambda attempt: attempt.at < end, attempts[index:]) if attempt.is_answered]
    if series.kind == PINNED or len(waiting) < 2:
        return failed_at
    answered = [attempt.ended_at for attempt in waiting]
    burst = max(answered) - min(answered) <= (waiting[-1].at - waiting[0].at) / 2
    return max(failed_at, min(waiting[-1].at, end - series.period_s)) if burst else failed_at


def outage(series: Series, run: Run, *, until: float, reason: str, expected: bool, begun_unseen: bool = False) -> Outage:
    """A worded outage; one without an end lasts `until` the samples end. One that had `begun_unseen` is known to be at least so long."""
    length, late = run.seconds(until), run.uncertainty(series.period_s)
    return Outage(
        series=series.id,
        start=run.start,
        end=run.end,
        seconds=length,
        period_s=late,
        outcomes=run.outcomes,
        attributed=run.attributed,
        reason=reason,
        expected=expected,
        min_s=length if run.end is None else max(0.0, length - late),
        max_s=None if run.end is None or begun_unseen else length + run.earlier(series.period_s),
    )
