"""May the figures be trusted: how well the measuring hosts kept their ticks, where samples are missing, how well clocks are known. Pure.

The limits are wide on purpose: what is over them may have made an outage. Under them a tick that came late makes a figure coarser by its
lateness and not wrong, because every attempt carries its own times; but an outage as long as the time without an attempt may still hide
there, so that "never out" is never said for less than that, and a path that must be untouched needs attempts closer together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.core.verdict import Outcome, Verdict, all_of, inconclusive, passed
from harness.measure.evaluation.attempt_attribution import SKIPPED, Traced, clock_errors
from harness.remote.recording.recording import PINNED, Noise, Recording, Series

MAX_LATE_TICK_SHARE = 0.10  # of all ticks in the measured time; each makes the figures coarser by its lateness, which is bounded below
GAP_PERIODS = 5  # a tick, or a sample, that comes this many periods after the one before …
MIN_GAP_S = 0.05  # … and at least this much is a gap in the measuring
MAX_STEAL_SHARE = (
    0.20  # of all cores, on average over the measured time. What it does to the ticks is seen there; beyond this, the cluster is slowed
)
MAX_SAMPLE_DELAY_S = 1.0  # samples may still have been on their way when the recording ended
MAX_UNMEASURED_PERIODS = 3  # from one attempt to the next, where none may fail: a longer time may hide one that would have …
MIN_MEASURED_AFTER_RECOVERY_S = (
    1.0  # … and so long nothing may be unmeasured after the last path had recovered: another outage may hide there
)
MAX_CLOCK_ERROR_S = 0.05  # phases are put together from several hosts' clocks

MIN_CALM_LINES = 3  # of the newest lines, one a second: a host that kept its ticks in all of them is quiet again

Span = tuple[float, float]


def bearable_s(period_s: float) -> float:
    """How late a tick may be, in seconds."""
    return max(GAP_PERIODS * period_s, MIN_GAP_S)


def arrives_s(period_s: float) -> float:
    """How much of the end what a capture saw may be missing, in seconds: on its way still, and of no attempt that was just made."""
    return MAX_SAMPLE_DELAY_S + 2 * period_s


def gaps(
    series: Series, attempts: Sequence[Traced], start: float, end: float, excused: Sequence[Span] = (), *, longest: float | None = None
) -> list[Span]:
    """Where the series has no evidence for longer than is bearable (or `longest`, in seconds), between `start` and `end`. Gaps that touch
    an excused span do not count.

    A kept connection sends no heartbeat while it waits for the last one's answer; new connections begin whatever became of others.
    """
    longest = bearable_s(series.period_s) + series.period_s if longest is None else longest
    wide_spans = [span for span in _spans_between(series, attempts, start, end) if span[1] - span[0] > longest]
    return [(a, b) for a, b in wide_spans if not any(a <= stop and begin <= b for begin, stop in excused)]


def widest_s(series: Series, attempts: Sequence[Traced], start: float, end: float) -> float:
    """The longest time without an attempt, in seconds."""
    return max((b - a for a, b in _spans_between(series, attempts, start, end)), default=0.0)


def _spans_between(series: Series, attempts: Sequence[Traced], start: float, end: float) -> list[Span]:
    """The times between one piece of evidence and the next. What came in the last second may still have been on its way."""
    evidence = [attempt for attempt in attempts if start < attempt.at < end and attempt.outcome != SKIPPED]
    starts = [attempt.at for attempt in evidence]
    ends = [attempt.at + attempt.seconds for attempt in evidence] if series.kind == PINNED else starts
    return list(zip([start, *ends], [*starts, max(end - MAX_SAMPLE_DELAY_S, start)], strict=True))


def judge_host(recording: Recording, host: str, start: float, end: float) -> Verdict:
    """How well one measuring host worked between `start` and `end`."""
    all_series = [series for series in recording.header.series if series.origin == host]
    lines = [n for n in recording.noise if n.host == host and n.at > start and n.at - 1.0 < end]  # a line tells of the second before it
    if not lines:
        return inconclusive(f"{host}: how well it kept its ticks in the measured time was not recorded")
    period = min((series.period_s for series in all_series), default=0.0)
    return all_of([judge_ticks(host, lines, period), _judge_clock(recording, host)])


def judge_ticks(host: str, lines: Sequence[Noise], period_s: float) -> Verdict:
    """Was the host quiet enough to measure with this period, in the seconds that these lines tell of?"""
    return all_of([_judge_late_ticks(host, lines, bearable_s(period_s)), _judge_steal(host, lines)])


def is_calm(host: str, newest: Sequence[Noise], period_s: float) -> bool:
    """May a measurement be begun again that noise spoiled?"""
    last = newest[-MIN_CALM_LINES:]
    return len(last) == MIN_CALM_LINES and all(judge_ticks(host, [line], period_s).outcome is Outcome.PASS for line in last)


def judge_series_gaps(
    series: Series,
    attempts: Sequence[Traced],
    start: float,
    end: float,
    anchor: float,
    *,
    excused: Sequence[Span] = (),
    longest: float | None = None,
) -> Verdict:
    """Has the series evidence throughout?"""
    wide_gaps = gaps(series, attempts, start, end, excused, longest=longest)
    if not wide_gaps:
        return passed(f"{series.id}: measured without a gap")
    widest = max(wide_gaps, key=lambda gap: gap[1] - gap[0])
    many = f" ({len(wide_gaps)} such gaps)" if len(wide_gaps) > 1 else ""
    reason = _why_skipped(attempts, widest)
    return inconclusive(
        f"{series.id}: nothing was measured from {widest[0] - anchor:+.2f} s to {widest[1] - anchor:+.2f} s{many}{reason}, "
        f"where an attempt was due every {series.period_s * 1000:g} ms; is {series.origin} overloaded?"
    )


def _why_skipped(attempts: Iterable[Traced], gap: Span) -> str:
    reason = next(
        (attempt.detail for attempt in attempts if not attempt.evidence and gap[0] <= attempt.at <= gap[1] and attempt.detail), ""
    )
    return f" ({reason})" if reason else ""


def _judge_late_ticks(host: str, lines: Sequence[Noise], bearable: float) -> Verdict:
    ticks, late = sum(n.ticks for n in lines), sum(n.late_ticks for n in lines)
    worst = max(n.worst_late_s for n in lines)
    share = late / ticks if ticks else 0.0
    sentence = f"{host}: {share:.1%} of {ticks} ticks late, the worst by {worst * 1000:.0f} ms"
    if share > MAX_LATE_TICK_SHARE:
        return inconclusive(
            f"{sentence}; more than {MAX_LATE_TICK_SHARE:.0%} is too many: give the host more processor, or a longer period"
        )
    if worst > bearable:
        return inconclusive(f"{sentence}; more than {bearable * 1000:.0f} ms is a gap: give the host more processor, or a longer period")
    return passed(sentence)


def _judge_steal(host: str, lines: Sequence[Noise]) -> Verdict:
    steals = [n.steal for n in lines if n.steal >= 0]
    if not steals:
        return passed(f"{host}: steal not known")
    steal = sum(steals) / len(steals)
    if steal > MAX_STEAL_SHARE:
        return inconclusive(
            f"{host}: {steal:.0%} of its processors were taken away by the machine it runs on (steal; {MAX_STEAL_SHARE:.0%} allowed)"
        )
    return passed(f"{host}: {steal:.0%} steal")


def _judge_clock(recording: Recording, host: str) -> Verdict:
    error = clock_errors(recording).get(host)
    if error is None:
        return inconclusive(f"{host}: its clock was never compared with the harness's")
    if error > MAX_CLOCK_ERROR_S:
        return inconclusive(
            f"{host}: its clock is known to {error * 1000:.0f} ms only, {MAX_CLOCK_ERROR_S * 1000:.0f} ms are allowed; "
            "is the connection to it slow?"
        )
    return passed(f"{host}: clock known to {error * 1000:.1f} ms")
