"""One track, judged: did its path do what it had to? Pure.

A failure that is a figure (out for too long, an attempt lost where none may be) is only a failure where the timing may be trusted.
A failure that is none stands whatever the timing: a path that never came back, a wrong node that answered where none may.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.measure.judgement import noise, outages, presence
from harness.measure.judgement.attribution import WRONG_NODE, Traced
from harness.measure.judgement.outages import Run
from harness.measure.judgement.track_view import ANY, OUT, UNTOUCHED, Case, View
from harness.measure.measured import TrackResult
from harness.measure.recording import PINNED, Track
from harness.verdict import Outcome, Verdict, all_of, failed, inconclusive, passed


def judge_track(case: Case, track: Track, attempts: Sequence[Traced]) -> TrackResult:
    """All about one track."""
    runs = outages.runs_of_failure(track, attempts)
    reached = [one for one in attempts if one.evidence]
    view = View(case, track, reached, runs, presence.gone_since(case.recording, track.origin))
    return TrackResult(
        id=track.id,
        path=view.path,
        origin=track.origin,
        service=track.service,
        kind=track.kind,
        period_s=track.period_s,
        segments=outages.segments(track, attempts),
        outages=[
            outages.outage(track, run, until=view.until, reason=view.told(run), expected=view.is_due(run) and view.effect != UNTOUCHED)
            for run in runs
        ],
        out_s=view.out_s,
        verdict=_verdict(view),
        attempts=len(reached),
        unmeasured_s=view.unmeasured_s,
    )


def of_gaps(case: Case, track: Track, attempts: Sequence[Traced]) -> Verdict:
    """Is anything missing in the measured time? The absence of the host that the disruption was done to is excused."""
    excused = presence.lost_spans(case.recording, track.origin) if track.origin == case.recording.header.target else []
    return noise.of_track(track, attempts, *case.window, case.anchor, excused=excused)


def _verdict(view: View) -> Verdict:
    if view.gone is not None:
        return _of_gone(view, view.gone)
    if view.effect == ANY:
        return _of_any(view)
    if not view.attempts:
        return inconclusive(f"{view.name}: no attempt was recorded; did the agent run on {view.track.origin}?")
    hard, soft, doubts = _facts(view), _figures(view), all_of(_doubts(view))
    if doubts.outcome is Outcome.PASS:
        return all_of([*hard, soft])
    if soft.outcome is Outcome.FAIL:
        soft = inconclusive(f"{soft.reason}; but the timing may not be trusted: {doubts.reason}")
    return all_of([*hard, soft, doubts])


def _of_gone(view: View, gone: float) -> Verdict:
    told = f"{view.name}: not judged, {view.track.origin} was lost {gone - view.case.anchor:+.2f} s from the disruption"
    if view.track.origin == view.case.recording.header.target or view.effect == ANY:
        return passed(f"{told}, as what was done to it may do")
    return inconclusive(f"{told} and was not measured from again, though nothing was done to it")


def _of_any(view: View) -> Verdict:
    """Nothing is demanded while it lasts; but all paths must come back when it is undone."""
    if view.attempts and view.due and view.due[-1].end is None:
        returned = _of_no_return(view, view.due[-1])
        if returned.outcome is Outcome.FAIL:
            return returned
    told = view.summary if view.attempts else f"{view.name}: no attempt was recorded"
    return passed(f"{told}; nothing is demanded of this path here")


def _facts(view: View) -> list[Verdict]:
    """Failures that no doubt about the timing excuses."""
    found = []
    wrong = [one for one in view.attempts if one.outcome == WRONG_NODE]
    if wrong and not view.case.recording.header.both_may_answer:  # where both may, it is time out, and the budget says how long
        nodes = " and ".join(sorted({one.node or "?" for one in wrong}))
        first, last = wrong[0].at - view.case.anchor, wrong[-1].at - view.case.anchor
        of = f"{len(wrong)} of {len(view.attempts)} {view.noun}"
        found.append(failed(f"{view.name}: the wrong node, {nodes}, answered {of}, from {first:+.2f} s to {last:+.2f} s"))
    if view.due and view.due[-1].end is None and view.effect != UNTOUCHED:
        found.append(_of_no_return(view, view.due[-1]))
    return found


def _of_no_return(view: View, run: Run) -> Verdict:
    waited = view.took(run, view.until)
    told = f"{view.told(run)}; {view.s(view.case.budget_s)} allowed"
    if waited is not None and waited > view.case.budget_s:
        return failed(f"{told} and {view.s(waited)} waited")
    return inconclusive(f"{told}, but only {view.s(waited or 0.0)} could be waited")


def _figures(view: View) -> Verdict:
    """What the figures say, if they are right."""
    if view.effect == UNTOUCHED:
        return failed(f"{view.summary}; no {view.noun[:-1]} may fail here") if view.due else passed(view.summary)
    verdicts = [_of_budget(view, run, run.end) for run in view.due if run.end is not None]
    if view.effect == OUT and view.track.kind != PINNED:  # what is demanded is demanded of new connections
        verdicts.append(_of_being_out(view))
    whole = all_of(verdicts or [passed(view.summary)])
    return passed(view.summary) if whole.outcome is Outcome.PASS else whole


def _of_budget(view: View, run: Run, end: float) -> Verdict:
    """The true figure lies in an interval: wholly over the budget fails, wholly within it passes."""
    took, budget = view.took(run, end), view.case.budget_s
    if took is None:
        return inconclusive(f"{view.summary}; the recording does not say when it was undone, so the budget cannot be applied")
    if took <= budget:
        return passed(view.summary)
    if took - run.uncertainty(view.track.period_s) > budget:
        return failed(view.summary)
    return inconclusive(f"{view.summary}; the budget lies within the measuring error: measure with a shorter period")


def _of_being_out(view: View) -> Verdict:
    """Attempts had to fail while it lasted: all of them, or, where the balancer's hash decides, some."""
    recording = view.case.recording
    begin, end = recording.mark("took-effect"), view.case.undone
    if begin is None or end is None:
        return inconclusive(f"{view.name}: had to be out, but the recording does not say from when until when")
    meanwhile = [one for one in view.attempts if begin <= one.at <= end]
    if not meanwhile:
        return inconclusive(f"{view.name}: had to be out, but no attempt was made while it lasted")
    failing = [one for one in meanwhile if not one.spoke]
    if failing:
        return passed(f"{view.name}: {len(failing)} of {len(meanwhile)} attempts failed while it lasted")
    nodes = " and ".join(sorted({one.node or "a node that nobody watched" for one in meanwhile}))
    span = f"{begin - view.case.anchor:+.2f} s to {end - view.case.anchor:+.2f} s"
    return failed(f"{view.name}: had to be out while it lasted, but {nodes} answered all {len(meanwhile)} attempts from {span}")


def _doubts(view: View) -> list[Verdict]:
    """What makes this track's figures uncertain."""
    found = [view.case.timing, of_gaps(view.case, view.track, view.attempts)]
    host = view.case.hosts.get(view.track.origin)
    if host is not None:
        found.append(host)
    before = [run for run in view.runs if not view.is_due(run)]
    if before:
        found.append(inconclusive(f"out before the disruption already: {view.told(before[-1])}"))
    return [*found, *_unseen(view)]


def _unseen(view: View) -> list[Verdict]:
    """Did anybody see who answered in the end? A kept connection may be older than the recording, so that its SYN is not in it."""
    since = view.runs[-1].end if view.runs else view.case.anchor
    answers = [one for one in view.attempts if one.good and since is not None and one.at >= since]
    if not answers or view.track.kind == PINNED or any(one.node for one in answers):
        return []
    blind = presence.blind_nodes(view.case.recording)
    why = f"{' and '.join(blind)} could not capture packets" if blind else "no witness saw their packets"
    return [inconclusive(f"{view.name}: which node answered its last {len(answers)} attempts is not known: {why}")]
