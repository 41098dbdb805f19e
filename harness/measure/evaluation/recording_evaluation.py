"""What a recording amounts to: every figure and every verdict of one measurement. Pure, so that a stored one can be judged again.

    evaluate(read(path)) -> Measured

A recording that was cut off is judged as far as it goes: a failure in it stands, anything else is inconclusive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.core.verdict import Outcome, Verdict, all_of, failed, inconclusive, passed
from harness.measure.evaluation import (
    attempt_attribution,
    disruption_traits,
    expected_responder,
    figure_wording,
    observation_gaps,
    outage_phases,
    series_outages,
    timing_quality,
)
from harness.measure.evaluation.attempt_attribution import Traces
from harness.measure.evaluation.chart import chart_rows, packet_lines
from harness.measure.evaluation.series_view import RecordingContext, SeriesView
from harness.measure.evaluation.verdicts.durability_verdict import judge_tokens
from harness.measure.evaluation.verdicts.series_verdict import judge_gaps, judge_series, look_at
from harness.measure.measurement_result import Boundary, Measured, SeriesResult, TokenResult
from harness.remote.recording.recording import NEW, PINNED, NodeEvent, Recording, Series

SYN_RETRANSMISSION_S = 1.0  # after so long Linux sends a SYN again
MEASURED_AFTER_RECOVERY_S = 1.0  # the measured time goes on so long after the last path has recovered
MARKS = {
    "begin": "the disruption begins",
    "done": "the disruption is done",
    "took-effect": "it was seen to have taken effect",
    "right": "seen by the harness",
    "not-right": "seen by the harness",
    "undo-begin": "the undoing begins",
    "undone": "it is undone",
    "whole": "the cluster is healthy again",
    "broken-off": "it did not come to its end",
    "counted-from": "the disruption is counted",
}


def evaluate(recording: Recording, *, budget_s: float | None = None, calibration: Verdict | None = None) -> Measured:
    """Judge a recording, by its own budget or another one in seconds.

    `calibration` is the meter's check against a known cut; None: none was made, which the notes say.
    """
    header = recording.header
    start, end = observation_gaps.extent(recording)
    begin = recording.mark("begin")
    anchor = start if begin is None else begin
    plain = attempt_attribution.trace(recording)
    after = _serving_node(recording, plain)
    traces = expected_responder.with_wrong_nodes(recording, plain, anchor)
    happened = disruption_traits.judge_effect(recording)
    doubts = [*([calibration] if calibration is not None else []), happened, _judge_completeness(recording, anchor, end)]
    own_budget_s, because = recording.budget
    budget = own_budget_s if budget_s is None else budget_s
    taken_over = expected_responder.other_began(recording, plain, anchor)
    case = RecordingContext(recording, anchor, end, after, taken_over, budget, (anchor, end), all_of(doubts), happened, {})
    case = replace(case, window=_measured_window(case, traces))
    case = replace(case, hosts=_judge_hosts(recording, case.window))
    views = [look_at(case, series, traces[series.id]) for series in header.series]
    all_series = [judge_series(view, traces[view.series.id]) for view in views]
    boundaries = outage_phases.boundaries(outage_phases.PhaseEvidence(recording, traces, all_series, anchor, after))
    tokens = judge_tokens(case, views, expected_responder.both_answered(recording, plain))
    ended = disruption_traits.judge_end(recording)
    return Measured(
        disruption=header.disruption,
        sentence=header.sentence,
        design=header.design,
        target=header.target,
        before=header.active,
        after=after,
        anchor=anchor,
        start=start,
        end=end,
        wall_minus_mono=header.wall_minus_mono,
        budget_s=budget,
        budget_because=because if budget_s is None else "given when it was judged again",
        series=all_series,
        boundaries=boundaries,
        chart_rows=chart_rows.chart_rows(recording, start, end),
        log=_log_rows(recording, [*(b.at for b in boundaries if b.at is not None), *_edges(all_series)]),
        timing=_judge_timing(case, views, [*doubts, ended]),
        tokens=tokens,
        verdict=_judge(case, views, all_series, tokens, ended),
        repeat=header.repeat,
        offset_s=header.offset_s,
        notes=_notes(case, all_series, boundaries, calibration),
        noise=_judge_noise(case, views),
        observations=[m.text for m in recording.marks if m.kind == "told"],
        expects=dict(header.expects),
    )


def _serving_node(recording: Recording, traces: Traces) -> str | None:
    """The node that answered last; a path from outside knows better than a node's own. None where it may be another, whom nobody saw:
    where a path from outside went on being answered after the last answer of which the node is known. Of what a flight recorder kept, whose
    hosts capture no packets, the node that has the VIP."""
    if recording.header.observed:
        vip_ups = sorted((e.at, e.host) for e in recording.events if e.kind == "vip-up")
        return vip_ups[-1][1] if vip_ups else recording.header.active or None
    answers = [
        (series.origin != attempt.node, attempt.ended_at, attempt.node)
        for series in recording.header.series
        for attempt in traces.get(series.id, ())
        if attempt.spoke and attempt.node is not None
    ]
    outside = [series for series in recording.header.series if series.kind == NEW and series.origin == recording.header.client]
    spoken = [attempt for series in outside for attempt in traces.get(series.id, ()) if attempt.spoke]
    if spoken:
        first_spoken_at, last_spoken_at = min(attempt.ended_at for attempt in spoken), max(attempt.ended_at for attempt in spoken)
        last_known_at = max((attempt.ended_at for attempt in spoken if attempt.node is not None), default=first_spoken_at)
        if last_spoken_at - last_known_at > timing_quality.arrives_s(min(series.period_s for series in outside)):
            return None
    if observation_gaps.unseen_nodes(recording):
        last = {series.id: [attempt for attempt in traces.get(series.id, ()) if attempt.spoke][-1:] for series in recording.header.series}
        if any(attempt.node is None for rows in last.values() for attempt in rows):
            return None
    return max(answers, default=(False, 0.0, None))[2]


def _measured_window(case: RecordingContext, traces: Traces) -> tuple[float, float]:
    """The measured time: from the disruption until shortly after the last path has recovered; without an outage, all of it."""
    ends = [run.end for series in _judged_series(case) for run in series_outages.runs_of_failure(series, traces[series.id])]
    finished = [stop for stop in ends if stop is not None and stop > case.anchor]
    if not finished or None in ends:
        return case.anchor, case.end
    return case.anchor, min(case.end, max(finished) + MEASURED_AFTER_RECOVERY_S)


def _judged_series(case: RecordingContext) -> list[Series]:
    """The series that must be measured and whose origin is not gone."""
    recording = case.recording
    return [t for t in recording.header.series if case.must_be_measured(t) and observation_gaps.gone_since(recording, t.origin) is None]


def _judge_completeness(recording: Recording, anchor: float, end: float) -> Verdict:
    if not recording.complete:
        return inconclusive(f"the recording was cut off {end - anchor:.2f} s after the disruption, so what came then is not known")
    return passed("the recording is complete")


def _judge_hosts(recording: Recording, window: tuple[float, float]) -> dict[str, Verdict]:
    """How well each origin kept its ticks. The target may have been taken away by the disruption itself; then its ticks say nothing."""
    header = recording.header
    origins = dict.fromkeys(series.origin for series in header.series)
    may_be_gone = header.target if disruption_traits.takes_away(header) else ""
    lost_origins = {o for o in origins if o == may_be_gone and any(a <= window[1] for a, _ in observation_gaps.lost_spans(recording, o))}
    return {origin: timing_quality.judge_host(recording, origin, *window) for origin in origins if origin not in lost_origins}


def _judge_timing(case: RecordingContext, views: Sequence[SeriesView], doubts: Sequence[Verdict]) -> Verdict:
    """May the figures be trusted? Paths of which nothing is demanded, and hosts that were lost, have no say."""
    judged = [view for view in views if view.series in _judged_series(case)]
    origins = {view.series.origin for view in judged}
    hosts = [verdict for host, verdict in case.hosts.items() if host in origins]
    overall = all_of([*doubts, *hosts, *(judge_gaps(view) for view in judged)])
    if overall.outcome is not Outcome.PASS:
        return overall
    return passed("; ".join(v.reason for v in [*doubts, *hosts]) + "; no gap in any series")


def _judge_noise(case: RecordingContext, views: Sequence[SeriesView]) -> Verdict:
    """Were the measuring hosts quiet, in the measured time and when a path was out before it? A measurement that was spoiled without noise
    was spoiled by the cluster, and is not to be done again until it is not."""
    judged = _judged_series(case)
    verdicts = [case.hosts[t.origin] for t in judged if t.origin in case.hosts]
    verdicts += [judge_gaps(view) for view in views if view.series in judged]
    for view in views:
        if view.runs_before:
            verdicts.append(timing_quality.judge_host(case.recording, view.series.origin, view.runs_before[0].start - 1.0, case.anchor))
    return all_of(verdicts)


def _judge(
    case: RecordingContext, views: Sequence[SeriesView], series: Sequence[SeriesResult], tokens: TokenResult | None, ended: Verdict
) -> Verdict:
    if case.happened.outcome is not Outcome.PASS:
        return inconclusive("; ".join([case.happened.reason, *_describe_effects(case, views)]))
    verdicts = [*(t.verdict for t in series), _judge_place(case), case.timing, ended]
    if tokens is not None:
        verdicts.append(tokens.verdict)
    overall = all_of(verdicts)
    return passed(_summarize(case, series, tokens)) if overall.outcome is Outcome.PASS else overall


def _describe_effects(case: RecordingContext, views: Sequence[SeriesView]) -> list[str]:
    """What happened though nothing was seen to be done: told, and blamed on nobody."""
    header, after = case.recording.header, case.after
    no_longer = f", and no longer {header.active}" if header.active else ""
    moved = [f"yet {after} answers in the end{no_longer}"] if after not in (None, header.active) else []
    return moved + [f"yet {view.describe(run)}" for view in views for run in view.due]


def _judge_place(case: RecordingContext) -> Verdict:
    """Does the right node serve in the end?"""
    header, after = case.recording.header, case.after
    if header.moves not in (True, False):
        return passed("the cluster might move or stay")
    if after is None:
        return inconclusive("no packet capture shows which node answered in the end")
    moved = after != header.active
    if moved == header.moves:
        return passed(f"{after} answers in the end")
    wanted = "the other node had to take over" if header.moves else "nothing had to move"
    if not case.recording.complete:
        return inconclusive(f"{after} answered last when the recording was cut off, and {wanted}")
    waited_s = (case.end if case.undo_begin is None else case.undo_begin) - case.anchor
    if header.moves and case.recording.mark("whole") is None and waited_s <= case.budget_s:
        return inconclusive(f"{after} answered last, and {wanted}; but only {waited_s:.2f} s were waited for that")
    return failed(f"{after} answers in the end, and {wanted}")


def _summarize(case: RecordingContext, all_series: Sequence[SeriesResult], tokens: TokenResult | None) -> str:
    """Passed: the worst figure, in a sentence."""
    outs = [(o, t) for t in all_series for o in t.outages if t.path and o.end is not None and o.end >= case.anchor]
    also = f"; {tokens.verdict.reason}" if tokens is not None else ""
    if not outs:
        widest = max((t.longest_gap_s for t in all_series if t.path), default=0.0)
        blind = f", with at most {widest:.2f} s between two of one series" if widest > 0 else ""
        return f"no path was out: {sum(t.attempts for t in all_series)} attempts on {len(all_series)} series{blind}{also}"
    worst, series = max(outs, key=lambda pair: pair[0].seconds)
    where = "" if case.after is None else f"; {case.after} serves in the end"
    least, most = (worst.seconds if bound is None else bound for bound in (worst.min_s, worst.max_s))
    figure = figure_wording.figure(worst.seconds, least, most, series.period_s)
    name = f"{series.path} path from {series.origin} to {series.service}" if series.path != "client" else f"client path to {series.service}"
    return f"every path did what it had to; longest out: {name}, {figure}, with {case.budget_s:.2f} s allowed{where}{also}"


def _edges(all_series: Sequence[SeriesResult]) -> list[float]:
    return [at for series in all_series for out in series.outages for at in (out.start, out.end) if at is not None]


def _log_rows(recording: Recording, moments: list[float]) -> list[tuple[float, str, str]]:
    """Log lines, events, marks, and the packets around the moments that matter, in order of time."""
    events = [e for e in recording.events if e.kind != "looks"]
    rows = [(e.at, e.host, e.text if e.kind == "log" else f"{e.kind} {_describe_event(e.text, e.data)}".strip()) for e in events]
    words = {**MARKS, "begin": "the incident begins"} if recording.header.observed else MARKS
    rows += [(m.at, "harness", f"{words.get(m.kind, m.kind)}{f': {m.text}' if m.text else ''}") for m in recording.marks]
    known_before = (recording.header.budget_s, recording.header.budget_because)
    later = [b for b in recording.budgets if (b.seconds, b.because) != known_before]
    rows += [(b.at, "harness", f"the budget is {b.seconds:.2f} s = {b.because}") for b in later]
    return sorted([*rows, *packet_lines.lines(recording, moments)], key=lambda row: row[0])


def _nodes_without_capture(recording: Recording) -> list[NodeEvent]:
    return list({e.host: e for e in recording.events if e.kind == "no-capture"}.values())


def _describe_event(text: str, data: dict) -> str:
    return " ".join([*([text] if text else []), *(f"{key} {value}" for key, value in data.items())])


def _unwatched_notes(recording: Recording) -> list[str]:
    """When which node's packets were not watched, as the capture told."""
    end, anchor = observation_gaps.extent(recording)[1], recording.mark("begin") or 0.0
    return [
        f"{node}: its packets were not all watched from {start - anchor:+.2f} s to {min(stop, end) - anchor:+.2f} s"
        for node in recording.header.nodes
        for start, stop in observation_gaps.uncaptured_spans(recording, node)
    ]


def _notes(
    case: RecordingContext, all_series: Sequence[SeriesResult], boundaries: Sequence[Boundary], calibration: Verdict | None
) -> list[str]:
    recording = case.recording
    notes = [
        f"{e.host} could not capture packets, so who answered is known of few attempts: {e.text}" for e in _nodes_without_capture(recording)
    ]
    notes += observation_gaps.limited_hosts(recording).values()
    notes += [
        f"{host}: its VIP and listeners were looked at every {every * 1000:.0f} ms, at worst after {longest * 1000:.0f} ms: when they came "
        "and went is known to that"
        for host, (every, longest) in observation_gaps.look_intervals(recording).items()
    ]
    notes += [f"{recording.header.disruption} is counted from {m.text}" for m in recording.marks if m.kind == "counted-from"]
    notes += _unwatched_notes(recording)
    if calibration is None:
        notes.append("the meter was not checked against a known cut")
    for host, verdict in case.hosts.items():
        if verdict.outcome is not Outcome.PASS and host == recording.header.target:
            notes.append(f"{verdict.reason} (it is what the disruption was done to)")
    for series in recording.header.series:
        if series.kind == NEW and series.limit_s >= SYN_RETRANSMISSION_S:
            notes.append(f"{series.id}: within its limit of {series.limit_s:g} s a SYN sent again is answered, so shorter cuts are missed")
    for result in all_series:
        answered = [s for s in result.segments if s.outcome == attempt_attribution.ANSWERED and s.start >= case.anchor]
        unknown = sum(s.count for s in answered if s.node is None)
        if unknown and result.kind != PINNED:  # its SYN may be older than the recording
            notes.append(f"{result.id}: no packet capture shows who answered {unknown} of {result.attempts} attempts")
    period = min((series.period_s for series in recording.header.series), default=0.0)
    return [*notes, *outage_phases.out_of_order(boundaries, case.anchor, period)]
