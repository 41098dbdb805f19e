"""Which node may answer when; and when both nodes answered at once. Pure.

An answer is right when it comes from the node that may answer at that time:
- before the disruption: the node that was active;
- after it, where the cluster must stay: the same node still;
- after it, where the cluster must or may move: either, until the other node has begun to answer on any path; from then on the other
  one. Where the cluster may move or stay, it may also come back: there an answer of the old node is wrong only while both answer.
An answer that no capture saw leave a node is taken as right, because the service itself spoke; the verdict says how many there were.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

from harness.measure.evaluation.attempt_attribution import MIN_TOLERANCE_S, UNKNOWN_CLOCK_ERROR_S, WRONG_NODE, Traced, Traces, clock_errors
from harness.remote.recording.recording import Recording, Series

Span = tuple[float, float]
MAX_BETWEEN_S = 0.5  # a node that answered twice within this time (or five periods) is taken to have been answering in between
PERIODS_TOGETHER = 5


def with_wrong_nodes(recording: Recording, traces: Traces, anchor: float) -> Traces:
    """The same traces, where an answer by a node that may not answer at that time is called wrong-node."""
    header = recording.header
    errors = clock_errors(recording)
    taken_over = other_began(recording, traces, anchor)
    both = both_answered(recording, traces)

    def is_wrong(attempt: Traced, slack: float) -> bool:
        if not attempt.is_answered or attempt.node is None:
            return False
        if attempt.node != header.active:
            return attempt.at < anchor - slack or header.moves is False
        if taken_over is None or header.moves is False or attempt.at <= taken_over + slack:
            return False
        return header.moves is True or any(start <= attempt.at <= end for start, end in both)

    marked: Traces = {}
    for series in header.series:
        slack = MIN_TOLERANCE_S + 2 * errors.get(series.origin, UNKNOWN_CLOCK_ERROR_S)
        rows = traces.get(series.id, [])
        marked[series.id] = [attempt._replace(outcome=WRONG_NODE) if is_wrong(attempt, slack) else attempt for attempt in rows]
    return marked


def other_began(recording: Recording, traces: Traces, anchor: float) -> float | None:
    """When the node that was not active first answered anybody after the disruption."""
    began = (
        attempt.ended_at
        for rows in traces.values()
        for attempt in rows
        if attempt.spoke and attempt.node is not None and attempt.node != recording.header.active and attempt.ended_at >= anchor
    )
    return min(began, default=None)


def both_answered(recording: Recording, traces: Traces) -> list[Span]:
    """When both nodes answered at once, by the moments at which their answers came; overlaps within the clocks' error do not count."""
    errors = clock_errors(recording)
    slack = MIN_TOLERANCE_S + 2 * max([errors.get(t.origin, UNKNOWN_CLOCK_ERROR_S) for t in recording.header.series], default=0.0)
    spans = [_answering_spans(recording.header.series, traces, node) for node in recording.header.nodes]
    overlaps = [(max(a[0], b[0]), min(a[1], b[1]), a, b) for first, second in combinations(spans, 2) for a in first for b in second]
    return sorted((start, end) for start, end, *pair in overlaps if start <= end and _is_certain(start, end, slack, pair))


def _is_certain(start: float, end: float, slack: float, pair: list[Span]) -> bool:
    """A single answer in the midst of the other node's counts, however short; a brush at a change-over does not."""
    return end - start > slack or any(begin < start - slack and end + slack < stop for begin, stop in pair)


def _answering_spans(all_series: Iterable[Series], traces: Traces, node: str) -> list[Span]:
    """The times in which a node answered, over all series."""
    spans: list[Span] = []
    for series in all_series:
        reach = max(MAX_BETWEEN_S, PERIODS_TOGETHER * series.period_s)
        moments = sorted(attempt.ended_at for attempt in traces.get(series.id, ()) if attempt.spoke and attempt.node == node)
        spans += runs(moments, reach)
    return merge_spans(spans)


def runs(moments: Iterable[float], reach: float) -> list[Span]:
    """Ordered moments, as spans in which none is further than `reach` from the one before."""
    spans: list[Span] = []
    for moment in moments:
        if spans and moment - spans[-1][1] <= reach:
            spans[-1] = (spans[-1][0], moment)
        else:
            spans.append((moment, moment))
    return spans


def merge_spans(spans: Iterable[Span]) -> list[Span]:
    """The same times, with spans that touch made one."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined
