"""The judge of writes: tokens that are lost, not taken any more, or taken by two nodes; by recordings made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from judge_sample import FAIL, OPEN, PASS, STAYS
from recordings import CLIENT, A, B, Script, a_header, a_series, a_switchover, marks, play

from harness.measure.evaluation.recording_evaluation import evaluate
from harness.remote.recording.recording import Mark, NodeEvent, Recording, Token


def written(*spans: tuple[float, float, str, str], begin: float = 2.0) -> Recording:
    """A switchover with a token every 0.1 s in each span: from, until, origin, the node that acknowledged it ("": it did not)."""
    recording = a_switchover()
    recording.tokens = [
        Token(start + n / 10, origin, f"{origin}-{start:g}-{n}", bool(by), 0.01, by)
        for start, end, origin, by in spans
        for n in range(int((end - start) * 10))
    ]
    recording.read_back = {t.value: 1 for t in recording.tokens if t.acknowledged}
    return recording


BEFORE = (0.0, 2.4, CLIENT, A)


@pytest.mark.parametrize("after", [[(3.8, 9.8, CLIENT, "")], []])
def test_no_write_after_the_failover_is_a_failure(after):
    """Read-only from then on, or every log-in refused; waited for 8 s (to the end of the recording) of 4 s allowed."""
    recording = written(BEFORE, *after)
    recording.marks.append(Mark(9.9, "right"))
    result = evaluate(recording, budget_s=4.0)
    assert result.tokens.verdict.outcome is FAIL and "none was acknowledged after +0.3" in result.tokens.verdict.reason, (
        result.tokens.verdict
    )
    assert result.verdict.outcome is FAIL
    assert evaluate(recording, budget_s=9.0).verdict.outcome is OPEN  # that long was not waited


def test_an_attempt_that_is_lost_at_the_very_end_is_not_a_database_that_takes_no_writes():
    """Writes were taken until then, and for what begins in the last tenth of a second nobody waited."""
    recording = written(BEFORE, (3.8, 9.8, CLIENT, B))
    series = a_series().id
    recording.samples[series] = [s._replace(outcome="silent", seconds=0.05) if s.at >= 9.85 else s for s in recording.samples[series]]
    result = evaluate(recording, budget_s=4.0)
    assert result.tokens.verdict.outcome is OPEN, result.tokens.verdict


@pytest.mark.parametrize(("again", "outcome"), [(5.0, PASS), (9.5, FAIL), (6.8, OPEN)])
def test_writes_must_go_on_within_the_budget(again, outcome):
    """The listener answers at 3.7, the database takes writes at 5.0, 6.8 or 9.5: 3.0, 4.8 or 7.5 s of 4 s allowed, known to 1.1 s."""
    result = evaluate(written(BEFORE, (again, 9.9, CLIENT, B)), budget_s=4.0)
    assert result.tokens.verdict.outcome is outcome, result.tokens.verdict


def test_a_database_that_recovers_behind_a_path_that_was_never_out():
    """The server accepts and does not serve from 2.1 to 9.0, so that no path is out."""
    recording = play(a_header(disruption="service crash", moves=None, budget_s=4.0), STAYS)
    recording.tokens = written((0.0, 2.1, CLIENT, A), (9.0, 9.9, CLIENT, A)).tokens
    recording.read_back = {t.value: 1 for t in recording.tokens}
    assert evaluate(marks(recording, begin=2.0)).verdict.outcome is FAIL


def test_a_table_that_is_gone_is_every_token_lost():
    recording = written(BEFORE, (3.8, 9.8, CLIENT, B))
    recording.read_back = None
    recording.events.append(
        NodeEvent(9.9, CLIENT, "tokens", 'did not answer the query: ERROR: relation "lkharness_tokens" does not exist LINE 1: select …')
    )
    result = evaluate(recording)
    assert result.tokens.verdict.outcome is FAIL and len(result.tokens.lost) == result.tokens.acknowledged
    assert "the table itself is gone" in result.tokens.verdict.reason


def test_two_nodes_that_take_tokens_in_turn_are_two_active_nodes():
    result = evaluate(written(BEFORE, (2.4, 6.5, A, A), (3.8, 9.8, CLIENT, B)))
    assert result.tokens.verdict.outcome is FAIL and "took tokens in turn" in result.tokens.verdict.reason
    assert evaluate(written(BEFORE, (3.8, 9.8, CLIENT, B))).tokens.verdict.outcome is PASS


@pytest.mark.parametrize(("until", "outcome"), [(8.0, PASS), (58.0, FAIL)])
def test_an_isolated_node_may_answer_itself_no_longer_than_the_budget(until, outcome):
    """All paths cut at 2.0, undone at 8.0; A serves itself until 8.0 (6 s of 8.1 allowed) or 58.0."""
    script = Script([(0, A), (3.2, B)], [(0, A)], dead=[])
    expects = {"client": "recovers", "inside": "recovers", "standby": "any"}
    often_enough = tuple(a_series(origin, period=0.1) for origin in (CLIENT, A, B))
    plain = a_header(disruption="all comm paths cut", target=B, moves=None, both_may_answer=True, expects=expects, series=often_enough)
    recording = play(plain, script, end=62.0)
    series = a_series(A).id
    recording.samples[series] = [s for s in recording.samples[series] if s.at < until]
    result = evaluate(marks(recording, begin=2.0, undo_begin=8.0))
    assert result.tokens.verdict.outcome is outcome, result.tokens.verdict


def two_databases(**second: Any) -> Recording:
    """A switchover of a cluster with two databases; both go on, unless `second` says otherwise of the second."""
    recording = written(BEFORE, (3.8, 9.8, CLIENT, B))
    first = [replace(t, service="orders") for t in recording.tokens]
    others = [replace(t, service="stock") for t in written(BEFORE, *second.get("after", ((3.8, 9.8, CLIENT, B),))).tokens]
    recording.header = replace(recording.header, series=(*(replace(s, service="orders") for s in recording.header.series),))
    recording.tokens = [*first, *others]
    recording.read_back = None
    recording.read_back_of = {
        "orders": {t.value: 1 for t in first if t.acknowledged},
        "stock": second.get("found", {t.value: 1 for t in others if t.acknowledged}),
    }
    if second.get("unread"):
        del recording.read_back_of["stock"]
    return recording


@pytest.mark.parametrize(
    ("second", "outcome", "why"),
    [
        ({}, PASS, "stock: "),
        ({"found": {}}, FAIL, "stock: "),  # it came up on an older disk
        ({"unread": True}, OPEN, "acknowledged, but what the database holds was never read back"),
    ],
)
def test_of_two_databases_each_ones_writes_are_proven(second: dict[str, Any], outcome: Any, why: str):
    result = evaluate(two_databases(**second), budget_s=4.0).tokens
    assert result.verdict.outcome is outcome and why in result.verdict.reason, result.verdict
    assert result.written == len(two_databases(**second).tokens) and (outcome is not PASS or "orders: " in result.verdict.reason)


def test_the_second_database_that_was_refused_is_told():
    recording = two_databases()
    recording.tokens = [t for t in recording.tokens if t.service == "orders"]
    del recording.read_back_of["stock"]
    recording.events.append(NodeEvent(1.0, CLIENT, "tokens", "stock could not be asked", {"service": "stock"}))
    verdict = evaluate(recording, budget_s=4.0).tokens.verdict
    assert verdict.outcome is OPEN and "stock: no token was written" in verdict.reason and "stock could not be asked" in verdict.reason


def test_a_second_database_that_takes_no_writes_any_more_is_a_failure():
    """It answers, read-only; the first one's tokens say nothing of it."""
    recording = two_databases(after=())
    recording.header = replace(
        recording.header, series=(*recording.header.series, *(replace(s, id=f"{s.id}2", service="stock") for s in recording.header.series))
    )
    recording.samples |= {f"{name}2": rows for name, rows in recording.samples.items()}
    recording.marks.append(Mark(9.9, "right"))
    verdict = evaluate(recording, budget_s=4.0).tokens.verdict
    assert verdict.outcome is FAIL and "stock: " in verdict.reason and "takes no writes" in verdict.reason, verdict
