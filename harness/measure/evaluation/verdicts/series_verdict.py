"""One series, judged: did its path do what it had to? Pure.

A failure that is a figure (out for too long, an attempt lost where none may be) is only a failure where the timing may be trusted.
A failure that is none stands whatever the timing: a path that never came back, a wrong node that answered where none may, a node that was
lost of what takes none away. Where the disruption was not seen to take effect, nothing is judged, and what was seen is told.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.core.verdict import Outcome, Verdict, all_of, failed, inconclusive, passed
from harness.measure.evaluation import observation_gaps, series_outages, timing_quality
from harness.measure.evaluation.attempt_attribution import WRONG_NODE, Traced
from harness.measure.evaluation.series_outages import Run
from harness.measure.evaluation.series_view import ANY, OUT, UNTOUCHED, RecordingContext, SeriesView
from harness.measure.evaluation.verdicts import unidentified_responders
from harness.measure.evaluation.verdicts.expected_outage import judge_being_out
from harness.measure.measurement_result import SeriesResult
from harness.remote.recording.recording import PINNED, Series


def look_at(case: RecordingContext, series: Series, attempts: Sequence[Traced]) -> SeriesView:
    """The series with its attempts and outages, as it is judged."""
    runs = series_outages.runs_of_failure(series, attempts)
    return SeriesView(
        case,
        series,
        [attempt for attempt in attempts if attempt.evidence],
        runs,
        observation_gaps.gone_since(case.recording, series.origin),
    )


def judge_series(view: SeriesView, attempts: Sequence[Traced]) -> SeriesResult:
    """All about one series; `attempts` with those that are no evidence."""
    series, out = view.series, view.counted_figure
    return SeriesResult(
        id=series.id,
        path=view.path,
        origin=series.origin,
        service=series.service,
        kind=series.kind,
        period_s=series.period_s,
        segments=series_outages.segments(series, attempts),
        outages=[
            series_outages.outage(
                series,
                run,
                until=view.until,
                reason=view.describe(run),
                expected=view.is_due(run) and view.effect != UNTOUCHED,
                begun_unseen=view.begun_unseen(run),
            )
            for run in view.runs
        ],
        recovered_after_s=None if out is None else out.seconds,
        verdict=_judge(view),
        attempts=len(view.attempts),
        unmeasured_s=view.unmeasured_s,
        unmeasured_before_s=view.unmeasured_before_s,
        min_s=None if out is None else out.least,
        max_s=None if out is None else out.most,
        counted_from="" if out is None else out.since,
        unknown=view.unknown,
        longest_gap_s=view.longest_gap_s,
        stalled_s=view.stall[1],
    )


def judge_gaps(view: SeriesView) -> Verdict:
    """Is anything missing in the measured time, or for long after it? The absence of a host that the disruption took away is excused."""
    case, series = view.case, view.series
    excused = observation_gaps.lost_spans(case.recording, series.origin) if case.may_be_gone(series.origin) else []
    closest = max(timing_quality.MAX_UNMEASURED_PERIODS * series.period_s, timing_quality.MIN_GAP_S) if view.effect == UNTOUCHED else None
    start, end = case.window
    afterwards = max(timing_quality.MIN_MEASURED_AFTER_RECOVERY_S, timing_quality.bearable_s(series.period_s))
    return all_of(
        [
            timing_quality.judge_series_gaps(series, view.attempts, start, end, case.anchor, excused=excused, longest=closest),
            timing_quality.judge_series_gaps(series, view.attempts, start, case.end, case.anchor, excused=excused, longest=afterwards),
        ]
    )


def _judge(view: SeriesView) -> Verdict:
    if view.case.happened.outcome is not Outcome.PASS:
        return inconclusive(f"{view.summary if view.attempts else view.name}; {view.case.happened.reason}")
    if view.gone is not None and not view.absences:
        return _judge_lost_origin(view, view.gone)
    if view.effect == ANY:
        return _judge_undemanded(view)
    if not view.attempts:
        return inconclusive(f"{view.name}: no attempt was recorded; did the agent run on {view.series.origin}?")
    hard, soft, doubts = _judge_facts(view), _judge_figures(view), all_of(_judge_doubts(view))
    if doubts.outcome is Outcome.PASS:
        return all_of([*hard, soft])
    if soft.outcome is Outcome.FAIL:
        soft = inconclusive(f"{soft.reason}; but the timing may not be trusted: {doubts.reason}")
    return all_of([*hard, soft, doubts])


def _judge_lost_origin(view: SeriesView, lost_at: float) -> Verdict:
    sentence = f"{view.name}: not judged, {view.series.origin} was lost {lost_at - view.case.anchor:+.2f} s from the disruption"
    if view.excused:
        return passed(f"{sentence}, as what was done to it may do")
    return inconclusive(f"{sentence} and was not measured from again, though nothing was done to it")


def _judge_undemanded(view: SeriesView) -> Verdict:
    """Nothing is demanded while it lasts; but all paths must come back when it is undone."""
    if view.attempts and view.due and view.due[-1].end is None:
        returned = _judge_no_return(view, view.due[-1])
        if returned.outcome is Outcome.FAIL:
            return returned
    sentence = view.summary if view.attempts else f"{view.name}: no attempt was recorded"
    verdict = passed(f"{sentence}; nothing is demanded of this path here")
    return all_of([verdict, *_judge_measuring(view)]) if view.case.must_be_measured(view.series) else verdict


def _judge_facts(view: SeriesView) -> list[Verdict]:
    """Failures that no doubt about the timing excuses."""
    verdicts = []
    wrong = [attempt for attempt in view.attempts if attempt.outcome == WRONG_NODE]
    if wrong and not view.case.recording.header.both_may_answer:  # where both may, it is time out, and the budget says how long
        nodes = " and ".join(sorted({attempt.node or "?" for attempt in wrong}))
        first, last = wrong[0].at - view.case.anchor, wrong[-1].at - view.case.anchor
        share = f"{len(wrong)} of {len(view.attempts)} {view.noun}"
        verdicts.append(failed(f"{view.name}: the wrong node, {nodes}, answered {share}, from {first:+.2f} s to {last:+.2f} s"))
    verdicts += [_judge_absence(view, run) for run in view.absences]
    if view.due and view.due[-1].end is None and view.effect != UNTOUCHED:
        verdicts.append(_judge_no_return(view, view.due[-1]))
    return verdicts


def _judge_absence(view: SeriesView, run: Run) -> Verdict:
    """A node that dies where nothing may be touched, or of what is no more than a service's crash, is what such a disruption is to find.

    Where either node may serve in the end, it may be the other one.
    """
    if _may_be_the_loser(view):
        return inconclusive(f"{view.name}: {view.failures(run)}; it may not be the node that serves in the end, which nobody saw")
    return failed(f"{view.name}: {view.failures(run)}, and {view.case.recording.header.disruption} takes no node away")


def _may_be_the_loser(view: SeriesView) -> bool:
    """Either node may serve in the end, nothing is demanded of the other's path, and nobody saw which one does."""
    header = view.case.recording.header
    return view.case.after is None and header.moves is None and header.expects.get("standby") == ANY


def _judge_no_return(view: SeriesView, run: Run) -> Verdict:
    """A path that must be out, or of which nothing is demanded, is waited for from the undoing, once that was done."""
    if view.effect != ANY and view.absences and _may_be_the_loser(view):
        return inconclusive(f"{view.describe(run)}; it may not be the node that serves in the end, which nobody saw")
    until = view.until
    figure = view.figure(run, until)
    undone = view.case.undo_begin
    waited_s = 0.0 if figure is None else figure.seconds
    if view.effect == ANY:
        waited_s = 0.0 if undone is None else max(0.0, until - max(undone, run.start))
    if view.effect in (ANY, OUT) and view.case.recording.mark("undone") is None:
        return inconclusive(f"{view.describe(run)}; it was not seen to be undone")
    if view.gone is None and until - run.start <= timing_quality.arrives_s(
        view.series.period_s
    ):  # perhaps the attempts that were under way then
        return inconclusive(f"{view.describe(run)}; it began just before that, so whether it would have come back is not known")
    sentence = f"{view.describe(run)}; {view.s(view.case.budget_s)} allowed"
    if waited_s > view.case.budget_s:
        return failed(f"{sentence} and {view.s(waited_s)} waited")
    return inconclusive(f"{sentence}, but only {view.s(waited_s)} could be waited")


def _judge_figures(view: SeriesView) -> Verdict:
    """What the figures say, if they are right."""
    if view.effect == UNTOUCHED:
        return failed(f"{view.summary}; no {view.noun[:-1]} may fail here") if view.due else passed(view.summary)
    verdicts = [_judge_budget(view, run, run.end) for run in view.due if run.end is not None]
    if view.effect == OUT and view.series.kind != PINNED:  # what is demanded is demanded of new connections
        verdicts.append(judge_being_out(view))
    verdict = all_of(verdicts or [passed(view.summary)])
    return passed(view.summary) if verdict.outcome is Outcome.PASS else verdict


def _judge_budget(view: SeriesView, run: Run, end: float) -> Verdict:
    """The true figure lies in an interval: wholly over the budget fails, wholly within it passes."""
    figure, budget = view.figure(run, end), view.case.budget_s
    if figure is None:
        return inconclusive(f"{view.summary}; the recording does not say when it was undone, so the budget cannot be applied")
    if figure.most <= budget:
        return passed(view.summary)
    if figure.least > budget:
        return failed(view.summary)
    if figure.most == math.inf:
        return inconclusive(f"{view.summary}; how long it was out before that is not known")
    bounds = f"{view.s(figure.least)} to {view.s(figure.most)}"
    return inconclusive(
        f"{view.summary}; the budget lies within the measuring error ({bounds}): measure with a shorter period, or closer clocks"
    )


def _judge_doubts(view: SeriesView) -> list[Verdict]:
    """What makes this series's figures uncertain."""
    verdicts = _judge_measuring(view)
    if view.runs_before:
        verdicts.append(inconclusive(f"out before the disruption already: {view.describe(view.runs_before[-1])}"))
    return [*verdicts, *unidentified_responders.judge_unidentified(view)]


def _judge_measuring(view: SeriesView) -> list[Verdict]:
    """Was it measured throughout, by a host that kept its ticks?"""
    host = view.case.hosts.get(view.series.origin)
    return [view.case.timing, judge_gaps(view), *([host] if host is not None else [])]
