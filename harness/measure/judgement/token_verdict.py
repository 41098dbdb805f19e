"""Tokens, judged: every acknowledged one must be there exactly once, and never may both nodes serve at once. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from harness.measure.measured import TokenResult
from harness.measure.recording import Recording, Token
from harness.verdict import Verdict, all_of, failed, inconclusive, passed

Span = tuple[float, float]
NAMED = 5  # of the lost or doubled ones, in the verdict; all of them stand in the result


def judge_tokens(recording: Recording, both: Sequence[Span], anchor: float, *, both_may_answer: bool = False) -> TokenResult | None:
    """What became of the tokens; None when none was to be written and never both nodes answered.

    `both_may_answer`: an isolated node may answer itself until it is fenced, so that two active nodes are told and not a failure by
    themselves; a token that is lost or doubled by it still is.
    A token that is there twice is wrong even when it was not acknowledged; one that is not there is only lost when it was.
    """
    kept_from = [e.text for e in recording.events if e.kind == "tokens"]  # what the database would not do
    if not recording.tokens and not kept_from and not both:
        return None
    found = recording.read_back
    acknowledged = [t for t in recording.tokens if t.acknowledged]
    lost = [_told(t, anchor, "lost") for t in acknowledged if found is not None and not found.get(t.value)]
    times = {t.value: (found or {}).get(t.value, 0) for t in recording.tokens}
    doubled = [_told(t, anchor, f"there {times[t.value]} times") for t in recording.tokens if times[t.value] > 1]
    verdicts = [_of_tokens(recording, len(acknowledged), lost, doubled, kept_from)] if recording.tokens or kept_from else []
    if both:
        verdicts.append(_of_both(recording, both, anchor, both_may_answer))
    return TokenResult(len(recording.tokens), len(acknowledged), lost, doubled, list(both), all_of(verdicts))


def _of_tokens(recording: Recording, acknowledged: int, lost: Sequence[str], doubled: Sequence[str], kept_from: Sequence[str]) -> Verdict:
    why = f": {kept_from[0]}" if kept_from else ""
    if not recording.tokens:
        return inconclusive(f"no token was written, so whether any would have been lost is not known{why}")
    told = f"{len(recording.tokens)} tokens written, {acknowledged} acknowledged"
    if lost or doubled:
        named = [*lost, *doubled]
        more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
        return failed(f"{told}, {len(lost)} lost, {len(doubled)} doubled: {'; '.join(named[:NAMED])}{more}")
    if recording.read_back is None:
        return inconclusive(f"{told}, but what the database holds was never read back, so whether any was lost is not known{why}")
    if not acknowledged:
        return inconclusive(f"{told}, so they prove nothing; could PostgreSQL be reached at all?")
    return passed(f"{told}, each acknowledged one is there exactly once")


def _of_both(recording: Recording, both: Sequence[Span], anchor: float, allowed: bool) -> Verdict:
    spans = ", ".join(f"{start - anchor:+.2f} to {end - anchor:+.2f} s" for start, end in both[:NAMED])
    told = f"both {' and '.join(recording.header.nodes)} answered at once, from {spans}{' …' if len(both) > NAMED else ''}"
    return passed(f"{told} (as an isolated node may until it is fenced)") if allowed else failed(f"{told}: two active nodes")


def _told(token: Token, anchor: float, fate: str) -> str:
    state = "acknowledged" if token.acknowledged else "not acknowledged"
    by = f"taken by {token.by}" if token.by else "it is not known which node took it"
    return f"token {token.value} from {token.origin}, {state} {token.at + token.seconds - anchor:+.3f} s from the disruption, {by}: {fate}"
