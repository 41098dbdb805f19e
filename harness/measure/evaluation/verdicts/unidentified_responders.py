"""Answers of which nobody saw which node gave them: may they be taken as right? Pure.

The service spoke, so the path is not out; but whether the right node answered is not known. It matters from when another node answered too
(or from the disruption on, where nothing may move; or, where no other was seen, since the last outage): before, only one node serves.
An answer between two others of one known node, close together, is taken to be that node's as well (`expected_responder.MAX_BETWEEN_S`).
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.verdict import Verdict, inconclusive
from harness.measure.evaluation import observation_gaps
from harness.measure.evaluation.attempt_attribution import MIN_TOLERANCE_S, UNKNOWN_CLOCK_ERROR_S, Traced, clock_errors
from harness.measure.evaluation.expected_responder import MAX_BETWEEN_S, PERIODS_TOGETHER
from harness.measure.evaluation.series_view import SeriesView
from harness.measure.evaluation.timing_quality import arrives_s
from harness.remote.recording.recording import PINNED


def judge_unidentified(view: SeriesView) -> list[Verdict]:
    """Empty, or the reason why it is not known who answered."""
    since = _matters_since(view)
    if since is None:
        return []
    answers = [attempt for attempt in view.attempts if attempt.spoke]
    later = [attempt for attempt in answers if attempt.at > since]
    until = view.case.end - arrives_s(view.series.period_s)  # what a capture saw last may still have been on its way
    unknown = [attempt for attempt in unbridged_answers(answers, view.series.period_s) if since < attempt.at and attempt.ended_at < until]
    if (
        view.case.recording.header.both_may_answer
    ):  # at worst it was the isolated node: time out, that the figure and the budget hold anyhow
        unknown = [attempt for attempt in unknown if attempt.ended_at > _out_anyhow_until(view)]
    if not unknown:
        return []
    span = f"{unknown[0].at - view.case.anchor:+.2f} s to {unknown[-1].at - view.case.anchor:+.2f} s"
    sentence = f"{view.name}: which node answered {len(unknown)} of {len(later)} {view.noun}, from {span}, is not known"
    return [inconclusive(f"{sentence}: {_why(view, unknown)}")]


def unbridged_answers(answers: Sequence[Traced], period_s: float) -> list[Traced]:
    """Those of unknown nodes that are not between two answers of one known node, close together."""
    reach = max(MAX_BETWEEN_S, PERIODS_TOGETHER * period_s)
    unknown: list[Traced] = []
    waiting: list[Traced] = []
    last: Traced | None = None
    for attempt in answers:
        if attempt.node is None:
            waiting.append(attempt)
            continue
        if waiting and (last is None or last.node != attempt.node or attempt.at - last.at > reach):
            unknown += waiting
        waiting, last = [], attempt
    return [*unknown, *waiting]


def _matters_since(view: SeriesView) -> float | None:
    """From when on it matters who answered; None where it does not."""
    case = view.case
    slack = MIN_TOLERANCE_S + 2 * clock_errors(case.recording).get(view.series.origin, UNKNOWN_CLOCK_ERROR_S)
    moves = case.recording.header.moves
    if case.recording.header.observed:  # a flight recorder captures no packets, and its notes say so
        return None
    if view.series.kind == PINNED:  # it may be older than the recording: only where another node serves now, it may be the wrong one
        return None if case.taken_over is None or moves is False else case.taken_over + slack
    if moves is False:
        return case.anchor
    if case.taken_over is not None:
        return case.taken_over + slack
    return view.runs[-1].end if view.runs else case.anchor


def _out_anyhow_until(view: SeriesView) -> float:
    """Until when the path is taken to have been out anyhow, within its budget."""
    out = max((run.end for run in view.due if run.end is not None), default=view.case.anchor)
    return min(out, view.case.anchor + view.case.budget_s)


def _why(view: SeriesView, unknown: Sequence[Traced]) -> str:
    recording = view.case.recording
    blind = observation_gaps.unwatched_nodes(recording)
    if blind:
        return f"{' and '.join(blind)} could not capture packets"
    if view.series.kind == PINNED:
        return "its connection is older than the recording, and another node has taken over since"
    unwatched_nodes = [
        node
        for node in recording.header.nodes
        if any(a <= unknown[-1].ended_at and unknown[0].at <= b for a, b in observation_gaps.uncaptured_spans(recording, node))
    ]
    return (
        f"the packets of {' and '.join(unwatched_nodes)} were not watched then"
        if unwatched_nodes
        else "no packet capture shows their packets"
    )
