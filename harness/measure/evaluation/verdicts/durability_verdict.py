"""Tokens, judged: every acknowledged one is there exactly once, writes go on within the budget, and only one node takes them. Pure.

A path is right when the service answers; whether the database takes writes (a standby that was not promoted answers, too, and a recovery
from its log comes after the first answer) only an acknowledged token shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from harness.core.verdict import Outcome, Verdict, all_of, failed, inconclusive, passed
from harness.measure.evaluation import timing_quality
from harness.measure.evaluation.expected_responder import merged
from harness.measure.evaluation.series_context import ANY, OUT, Case, View
from harness.measure.measurement_result import TokenResult
from harness.remote.recording.recording import NEW, Recording, Token

Span = tuple[float, float]
MAX_NAMED = 5  # of the lost or doubled ones, in the verdict; all of them stand in the result
TOKEN_RESOLUTION_S = (
    1.1  # a token is given up after 1 s, and the next one comes 0.1 s later: writes may go on so much before one is acknowledged
)
MAX_SILENCE_S = 2.0  # without an acknowledged token, and writes were out
GO_ON = "they were taken again within the budget"
TABLE = "lkharness_tokens"


def judge_tokens(case: Case, views: Sequence[View], both: Sequence[Span]) -> TokenResult | None:
    """What became of the tokens; None when none was to be written and never both nodes answered.

    Where the disruption isolates a node that may answer itself until it is fenced, two active nodes are told and not a failure as long as
    the budget allows; a token that is lost or doubled by it still is.
    A token that is there twice is wrong even when it was not acknowledged; one that is not there is only lost when it was.
    """
    recording = case.recording
    kept_from = [e.text for e in recording.events if e.kind == "tokens"]  # what the database would not do
    turns = in_turn(recording.tokens)
    if not recording.tokens and not kept_from and not both:
        return None
    found = _read_back(recording, kept_from)
    acknowledged = [t for t in recording.tokens if t.acknowledged]
    lost = [_token_in_words(t, case.anchor, "lost") for t in acknowledged if found is not None and not found.get(t.value)]
    times = {t.value: (found or {}).get(t.value, 0) for t in recording.tokens}
    doubled = [_token_in_words(t, case.anchor, f"there {times[t.value]} times") for t in recording.tokens if times[t.value] > 1]
    verdicts: list[Verdict] = []
    if recording.tokens or kept_from:
        verdicts.append(_of_tokens(recording, found, len(acknowledged), lost, doubled, kept_from))
        verdicts += [told for told in (_of_writes(case, views, origin) for origin in _origins(views)) if told is not None]
    if turns:
        verdicts.append(_of_both(case, turns, "took tokens in turn"))
    if both:
        verdicts.append(_of_both(case, both, "answered at once"))
    whole = all_of(verdicts)
    if case.happened.outcome is not Outcome.PASS:
        whole = inconclusive(f"{whole.reason}; {case.happened.reason}")
    return TokenResult(len(recording.tokens), len(acknowledged), lost, doubled, list(both), whole)


def in_turn(tokens: Sequence[Token]) -> list[Span]:
    """When one node took a token between two that another took. Both moments are the harness's own, so no clock has to be believed.

    A node that hands over to the other, and gets everything back, takes no token between two of the other's close together.
    """
    taken = sorted((t for t in tokens if t.acknowledged and t.by), key=lambda t: t.at + t.seconds)
    found: list[Span] = []
    for place, one in enumerate(taken):
        ended = one.at + one.seconds
        others = [t for t in taken[max(0, place - 60) : place + 60] if t.by != one.by]
        before = max((t.at + t.seconds for t in others if t.at + t.seconds <= one.at), default=None)
        after = min((t.at for t in others if t.at >= ended), default=None)
        if before is not None and after is not None and after - before <= MAX_SILENCE_S:
            found.append((before, after))
    return merged(found)


def _read_back(recording: Recording, kept_from: Sequence[str]) -> dict[str, int] | None:
    """What was read back. Where the table itself is gone, nothing is there: the database is another, or an older one."""
    if recording.read_back is None and any(TABLE in said and "does not exist" in said for said in kept_from):
        return {}
    return recording.read_back


def _of_tokens(
    recording: Recording,
    found: dict[str, int] | None,
    acknowledged: int,
    lost: Sequence[str],
    doubled: Sequence[str],
    kept_from: Sequence[str],
) -> Verdict:
    why = f": {kept_from[0]}" if kept_from else ""
    if not recording.tokens:
        return inconclusive(f"no token was written, so whether any would have been lost is not known{why}")
    told = f"{len(recording.tokens)} tokens written, {acknowledged} acknowledged"
    if lost or doubled:
        named = [*lost, *doubled]
        more = f" and {len(named) - MAX_NAMED} more" if len(named) > MAX_NAMED else ""
        gone = "" if found else "; the table itself is gone, or empty"
        return failed(f"{told}, {len(lost)} lost, {len(doubled)} doubled{gone}: {'; '.join(named[:MAX_NAMED])}{more}")
    if found is None:
        return inconclusive(f"{told}, but what the database holds was never read back, so whether any was lost is not known{why}")
    if not acknowledged:
        return inconclusive(f"{told}, so they prove nothing; could PostgreSQL be reached at all?")
    return passed(f"{told}, each acknowledged one is there exactly once")


def _origins(views: Sequence[View]) -> list[str]:
    return list(dict.fromkeys(view.series.origin for view in views))


def _of_writes(case: Case, views: Sequence[View], origin: str) -> Verdict | None:
    """Are tokens from there acknowledged again within the budget? None where nothing is demanded, or none was before the disruption."""
    mine = [view for view in views if view.series.origin == origin and view.series.kind == NEW]
    taken = sorted((t for t in case.recording.tokens if t.acknowledged and t.origin == origin), key=lambda t: t.at)
    if (
        not mine
        or mine[0].effect == ANY
        or mine[0].gone is not None
        or case.may_be_gone(origin)
        or not any(t.at < case.anchor for t in taken)
    ):
        return None
    view = mine[0]
    counted = case.undone if view.effect == OUT else case.anchor
    if counted is None:
        return None  # the path's own verdict says that it is not known when it was undone
    name = f"tokens over the {view.path} path from {origin}" if view.path != "client" else "tokens over the client path"
    starts = [max(run.start, counted) for v in mine for run in v.due] or [counted]
    since = max(starts)
    later = [t for t in taken if t.at >= since]
    over = max([t.at + t.seconds for t in case.recording.tokens] + [m.at for m in case.recording.marks], default=case.end)
    if not later:  # where they were taken again after an earlier outage, only the last one was waited for
        mended = any(t.at >= min(starts) for t in taken)
        return _of_none(case, name, over - (since if mended else counted), over, taken)
    own = case.lasts and case.undone is not None and since >= case.undone - timing_quality.MAX_SAMPLE_DELAY_S  # an outage of the undoing's
    took = later[0].at + later[0].seconds - (since if own else counted)
    worst = _of_again(case, name, took)
    for one, again in pairwise([t for t in taken if t.at >= counted]):  # the database may recover behind a path that is right
        silence = again.at - (one.at + one.seconds)
        if silence > MAX_SILENCE_S:
            worst = all_of([worst, _of_again(case, name, silence + again.seconds)])
    quiet = over - (taken[-1].at + taken[-1].seconds)
    if quiet - TOKEN_RESOLUTION_S > case.budget_s:
        return all_of([worst, _of_none(case, name, quiet, over, taken)])
    return worst


def _of_again(case: Case, name: str, took: float) -> Verdict:
    if took <= case.budget_s:
        return passed(GO_ON)
    told = f"{name} were acknowledged again only after {took:.2f} s, {case.budget_s:.2f} s allowed"
    if took - TOKEN_RESOLUTION_S > case.budget_s:
        return failed(f"{told}: the database took no writes")
    return inconclusive(f"{told}; a token may come {TOKEN_RESOLUTION_S:g} s after writes are taken")


def _of_none(case: Case, name: str, waited: float, over: float, taken: Sequence[Token]) -> Verdict:
    last = taken[-1].at + taken[-1].seconds - case.anchor
    told = f"{name}: none was acknowledged after {last:+.2f} s, until {over - case.anchor:+.2f} s; {case.budget_s:.2f} s allowed"
    if waited - TOKEN_RESOLUTION_S > case.budget_s:
        return failed(f"{told}: the database takes no writes")
    return inconclusive(f"{told}, and only {max(0.0, waited):.2f} s could be waited")


def _of_both(case: Case, both: Sequence[Span], what: str) -> Verdict:
    """Two active nodes. An isolated one may answer itself until it is fenced, but no longer than the budget: from the disruption, or from
    the undoing (the thaw) for what only began with that."""
    header = case.recording.header
    spans = ", ".join(f"{start - case.anchor:+.2f} to {end - case.anchor:+.2f} s" for start, end in both[:MAX_NAMED])
    told = f"both {' and '.join(header.nodes)} {what}, from {spans}{' …' if len(both) > MAX_NAMED else ''}"
    if not (header.both_may_answer or (bool(header.expects) and all(effect == ANY for effect in header.expects.values()))):
        return failed(f"{told}: two active nodes")
    longest = max(end - (case.undone if case.undone is not None and start >= case.undone else case.anchor) for start, end in both)
    if longest > case.budget_s:
        return failed(f"{told}: two active nodes, for longer than the {case.budget_s:.2f} s in which an isolated one must have been fenced")
    return passed(f"{told} (as an isolated node may until it is fenced)")


def _token_in_words(token: Token, anchor: float, fate: str) -> str:
    state = "acknowledged" if token.acknowledged else "not acknowledged"
    by = f"taken by {token.by}" if token.by else "it is not known which node took it"
    return f"token {token.value} from {token.origin}, {state} {token.at + token.seconds - anchor:+.3f} s from the disruption, {by}: {fate}"
