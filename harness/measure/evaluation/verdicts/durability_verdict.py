"""Tokens, judged: every acknowledged one is there exactly once, writes go on within the budget, and only one node takes them. Pure.

A path is right when the service answers; whether the database takes writes (a standby that was not promoted answers, too, and a recovery
from its log comes after the first answer) only an acknowledged token shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.core.verdict import Outcome, Verdict, all_of, failed, inconclusive, passed
from harness.measure.evaluation import timing_quality
from harness.measure.evaluation.expected_responder import merge_spans
from harness.measure.evaluation.series_view import ANY, OUT, RecordingContext, SeriesView
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


def judge_tokens(case: RecordingContext, views: Sequence[SeriesView], both: Sequence[Span]) -> TokenResult | None:
    """What became of the tokens; None when none was to be written and never both nodes answered.

    Where the disruption isolates a node that may answer itself until it is fenced, two active nodes are told and not a failure as long as
    the budget allows; a token that is lost or doubled by it still is.
    A token that is there twice is wrong even when it was not acknowledged; one that is not there is only lost when it was.
    """
    recording = case.recording
    databases = _databases(recording)
    if not recording.tokens and not any(database.refusals for database in databases) and not both:
        return None
    lost_tokens = [sentence for database in databases for sentence in database.lost(case.anchor)]
    doubled_tokens = [sentence for database in databases for sentence in database.doubled(case.anchor)]
    verdicts = [verdict for database in databases for verdict in _judge_database(case, views, database)]
    if both:
        verdicts.append(_judge_both_active(case, both, "answered at once"))
    verdict = all_of(verdicts)
    if case.happened.outcome is not Outcome.PASS:
        verdict = inconclusive(f"{verdict.reason}; {case.happened.reason}")
    acknowledged = sum(t.acknowledged for t in recording.tokens)
    return TokenResult(len(recording.tokens), acknowledged, lost_tokens, doubled_tokens, list(both), verdict)


@dataclass(frozen=True)
class _Database:
    """What was written to one service and found there: `counts` None where it was never read back, `refusals` what it would not do.
    `service` is empty where it is the only one."""

    service: str
    tokens: list[Token]
    refusals: list[str]
    counts: dict[str, int] | None

    @property
    def acknowledged(self) -> list[Token]:
        return [t for t in self.tokens if t.acknowledged]

    def lost(self, anchor: float) -> list[str]:
        """The acknowledged ones that are not there, in sentences."""
        counts = self.counts
        return [] if counts is None else [_token_in_words(t, anchor, "lost") for t in self.acknowledged if not counts.get(t.value)]

    def doubled(self, anchor: float) -> list[str]:
        """Those that are there more than once, in sentences."""
        times = {t.value: (self.counts or {}).get(t.value, 0) for t in self.tokens}
        return [_token_in_words(t, anchor, f"there {times[t.value]} times") for t in self.tokens if times[t.value] > 1]


def _databases(recording: Recording) -> list[_Database]:
    """Each service that tokens were written to, or were to be: the writes to one say nothing about another's."""
    refusals = [(str(e.data.get("service", "")), e.text) for e in recording.events if e.kind == "tokens"]
    services = list(dict.fromkeys([*(t.service for t in recording.tokens), *(service for service, _ in refusals)])) or [""]
    databases = []
    for service in services:
        its_refusals = [text for name, text in refusals if name == service]
        counts = recording.read_back_of.get(service) if service else recording.read_back
        if counts is None and any(TABLE in refusal and "does not exist" in refusal for refusal in its_refusals):
            counts = {}  # where the table itself is gone, nothing is there: the database is another, or an older one
        databases.append(_Database(service, [t for t in recording.tokens if t.service == service], its_refusals, counts))
    return databases


def _judge_database(case: RecordingContext, views: Sequence[SeriesView], database: _Database) -> list[Verdict]:
    verdicts = []
    if database.tokens or database.refusals:
        verdicts.append(_judge_tokens(case, database))
        its_views = [view for view in views if not database.service or view.series.service == database.service]
        judged = [_judge_writes(case, its_views, origin, database) for origin in _origins(its_views)]
        verdicts += [verdict for verdict in judged if verdict is not None]
    if turns := spans_in_turn(database.tokens):
        verdicts.append(_judge_both_active(case, turns, "took tokens in turn"))
    if database.service:  # a pass on the writes that says only once that they go on
        verdicts = [Verdict(v.outcome, v.reason if v.reason == GO_ON else f"{database.service}: {v.reason}") for v in verdicts]
    return verdicts


def spans_in_turn(tokens: Sequence[Token]) -> list[Span]:
    """When one node took a token between two that another took. Both moments are the harness's own, so no clock has to be believed.

    A node that hands over to the other, and gets everything back, takes no token between two of the other's close together.
    """
    acknowledged = sorted((t for t in tokens if t.acknowledged and t.by), key=lambda t: t.at + t.seconds)
    spans: list[Span] = []
    for index, token in enumerate(acknowledged):
        ended = token.at + token.seconds
        others = [t for t in acknowledged[max(0, index - 60) : index + 60] if t.by != token.by]
        before = max((t.at + t.seconds for t in others if t.at + t.seconds <= token.at), default=None)
        after = min((t.at for t in others if t.at >= ended), default=None)
        if before is not None and after is not None and after - before <= MAX_SILENCE_S:
            spans.append((before, after))
    return merge_spans(spans)


def _judge_tokens(case: RecordingContext, database: _Database) -> Verdict:
    why = f": {database.refusals[0]}" if database.refusals else ""
    if not database.tokens:
        return inconclusive(f"no token was written, so whether any would have been lost is not known{why}")
    sentence = f"{len(database.tokens)} tokens written, {len(database.acknowledged)} acknowledged"
    lost_tokens, doubled_tokens = database.lost(case.anchor), database.doubled(case.anchor)
    if lost_tokens or doubled_tokens:
        wrong_tokens = [*lost_tokens, *doubled_tokens]
        more = f" and {len(wrong_tokens) - MAX_NAMED} more" if len(wrong_tokens) > MAX_NAMED else ""
        table_gone = "" if database.counts else "; the table itself is gone, or empty"
        return failed(
            f"{sentence}, {len(lost_tokens)} lost, {len(doubled_tokens)} doubled{table_gone}: {'; '.join(wrong_tokens[:MAX_NAMED])}{more}"
        )
    if database.counts is None:
        return inconclusive(f"{sentence}, but what the database holds was never read back, so whether any was lost is not known{why}")
    if not database.acknowledged:
        return inconclusive(f"{sentence}, so they prove nothing; could PostgreSQL be reached at all?")
    return passed(f"{sentence}, each acknowledged one is there exactly once")


def _origins(views: Sequence[SeriesView]) -> list[str]:
    return list(dict.fromkeys(view.series.origin for view in views))


def _judge_writes(case: RecordingContext, views: Sequence[SeriesView], origin: str, database: _Database) -> Verdict | None:
    """Are tokens from there acknowledged again within the budget? None where nothing is demanded, or none was before the disruption."""
    origin_views = [view for view in views if view.series.origin == origin and view.series.kind == NEW]
    acknowledged = sorted((t for t in database.acknowledged if t.origin == origin), key=lambda t: t.at)
    if (
        not origin_views
        or origin_views[0].effect == ANY
        or origin_views[0].gone is not None
        or case.may_be_gone(origin)
        or not any(t.at < case.anchor for t in acknowledged)
    ):
        return None
    view = origin_views[0]
    counted = case.undo_begin if view.effect == OUT else case.anchor
    if counted is None:
        return None  # the path's own verdict says that it is not known when it was undone
    name = f"tokens over the {view.path} path from {origin}" if view.path != "client" else "tokens over the client path"
    starts_at = [max(run.start, counted) for v in origin_views for run in v.due] or [counted]
    since = max(starts_at)
    later = [t for t in acknowledged if t.at >= since]
    end = max([t.at + t.seconds for t in database.tokens] + [m.at for m in case.recording.marks], default=case.end)
    if not later:  # where they were taken again after an earlier outage, only the last one was waited for
        recovered_before = any(t.at >= min(starts_at) for t in acknowledged)
        return _judge_no_more_writes(case, name, end - (since if recovered_before else counted), end, acknowledged)
    # an outage of the undoing's
    of_the_undoing = case.lasts and case.undo_begin is not None and since >= case.undo_begin - timing_quality.MAX_SAMPLE_DELAY_S
    took_s = later[0].at + later[0].seconds - (since if of_the_undoing else counted)
    worst = _judge_silence(case, name, took_s)
    for token, next_token in pairwise([t for t in acknowledged if t.at >= counted]):  # the database may recover behind a path that is right
        silence = next_token.at - (token.at + token.seconds)
        if silence > MAX_SILENCE_S:
            worst = all_of([worst, _judge_silence(case, name, silence + next_token.seconds)])
    quiet_s = end - (acknowledged[-1].at + acknowledged[-1].seconds)
    if quiet_s - TOKEN_RESOLUTION_S > case.budget_s:
        return all_of([worst, _judge_no_more_writes(case, name, quiet_s, end, acknowledged)])
    return worst


def _judge_silence(case: RecordingContext, name: str, took_s: float) -> Verdict:
    if took_s <= case.budget_s:
        return passed(GO_ON)
    sentence = f"{name} were acknowledged again only after {took_s:.2f} s, {case.budget_s:.2f} s allowed"
    if took_s - TOKEN_RESOLUTION_S > case.budget_s:
        return failed(f"{sentence}: the database took no writes")
    return inconclusive(f"{sentence}; a token may come {TOKEN_RESOLUTION_S:g} s after writes are taken")


def _judge_no_more_writes(case: RecordingContext, name: str, waited_s: float, end: float, acknowledged: Sequence[Token]) -> Verdict:
    last = acknowledged[-1].at + acknowledged[-1].seconds - case.anchor
    sentence = f"{name}: none was acknowledged after {last:+.2f} s, until {end - case.anchor:+.2f} s; {case.budget_s:.2f} s allowed"
    if waited_s - TOKEN_RESOLUTION_S > case.budget_s:
        return failed(f"{sentence}: the database takes no writes")
    return inconclusive(f"{sentence}, and only {max(0.0, waited_s):.2f} s could be waited")


def _judge_both_active(case: RecordingContext, both: Sequence[Span], what: str) -> Verdict:
    """Two active nodes. An isolated one may answer itself until it is fenced, but no longer than the budget: from the disruption, or from
    the undoing (the thaw) for what only began with that."""
    header = case.recording.header
    spans = ", ".join(f"{start - case.anchor:+.2f} to {end - case.anchor:+.2f} s" for start, end in both[:MAX_NAMED])
    sentence = f"both {' and '.join(header.nodes)} {what}, from {spans}{' …' if len(both) > MAX_NAMED else ''}"
    if not (header.both_may_answer or (bool(header.expects) and all(effect == ANY for effect in header.expects.values()))):
        return failed(f"{sentence}: two active nodes")
    longest = max(
        end - (case.undo_begin if case.undo_begin is not None and start >= case.undo_begin else case.anchor) for start, end in both
    )
    if longest > case.budget_s:
        return failed(
            f"{sentence}: two active nodes, for longer than the {case.budget_s:.2f} s in which an isolated one must have been fenced"
        )
    return passed(f"{sentence} (as an isolated node may until it is fenced)")


def _token_in_words(token: Token, anchor: float, fate: str) -> str:
    state = "acknowledged" if token.acknowledged else "not acknowledged"
    by = f"taken by {token.by}" if token.by else "it is not known which node took it"
    to = f" to {token.service}" if token.service else ""
    return (
        f"token {token.value} from {token.origin}{to}, {state} {token.at + token.seconds - anchor:+.3f} s from the disruption, {by}: {fate}"
    )
