"""Lines of the judgement that one verdict alone rests on: each was found by breaking it, and no other test saw that.

As in test_judge_evidence.py: recordings made by hand, in which A is the active node until 2.0, when the disruption begins.
"""

from __future__ import annotations

import pytest
from recordings import CLIENT, A, B, Script, a_header, a_series, marks, play

from harness.core.verdict import Outcome
from harness.measure.evaluation.attempt_attribution import Traced
from harness.measure.evaluation.recording_evaluation import evaluate
from harness.measure.evaluation.series_outages import runs_of_failure
from harness.measure.evaluation.verdicts.unidentified_responders import unbridged_answers
from harness.remote.recording.recording import Token

FAIL, PASS, OPEN = Outcome.FAIL, Outcome.PASS, Outcome.INCONCLUSIVE
STAYS = Script([(0, A)], [(0, A)])
ENDS = Script([(0, A), (3.0, None)], [(0, A), (3.0, None)])
MOVES = Script([(0, A), (2.5, None), (3.5, B)], [(0, A), (2.5, None), (3.0, B)])


def every(effect: str) -> dict[str, str]:
    return dict.fromkeys(("client", "inside", "standby"), effect)


def test_what_never_came_back_is_not_blamed_on_what_nobody_saw_happen() -> None:
    recording = marks(play(a_header(disruption="service crash"), ENDS, end=40.0), begin=2.0, took_effect=None)
    result = evaluate(recording)
    assert result.verdict.outcome is OPEN and all(t.verdict.outcome is OPEN for t in result.series), result.verdict


@pytest.mark.parametrize(("effect", "name"), [("out", "azure NSG deny"), ("any", "shared disk full")])
@pytest.mark.parametrize(("undone", "outcome"), [(10.0, FAIL), (None, OPEN)])
def test_what_never_came_back_is_a_failure_once_it_was_undone(effect: str, name: str, undone: float | None, outcome: Outcome) -> None:
    """Waited for 30 s of 8.1 s allowed; but what may be in force still is out because of it."""
    recording = play(a_header(disruption=name, moves=False, expects=every(effect)), ENDS, end=40.0)
    result = evaluate(marks(recording, begin=2.0, undo_begin=10.0, undone=undone))
    client = next(t for t in result.series if t.origin == CLIENT)
    assert result.verdict.outcome is outcome and (client.verdict.outcome is FAIL) is (outcome is FAIL), client.verdict


@pytest.mark.parametrize(("effect", "outcome"), [("untouched", OPEN), ("recovers", PASS)])
def test_untouched_needs_attempts_closer_together_than_recovered(effect: str, outcome: Outcome) -> None:
    """Nothing for four periods and a half of 0.1 s: more than three, less than the six that are a gap anyhow."""
    series = tuple(a_series(origin, period=0.1) for origin in (CLIENT, A, B))
    recording = play(a_header(disruption="manager crash", moves=False, expects=every(effect), series=series), STAYS)
    recording.samples[series[0].id] = [s for s in recording.samples[series[0].id] if not 4.0 <= s.at < 4.4]
    result = evaluate(marks(recording, begin=2.0))
    assert result.verdict.outcome is outcome, result.verdict


@pytest.mark.parametrize(
    ("later", "unknown"),
    [(Traced(0.4, 0.0, "answered", A), 0), (Traced(1.2, 0.0, "answered", A), 1), (Traced(0.4, 0.0, "answered", B), 1)],
    ids=["the same node, close by", "the same node, a second later", "the other node"],
)
def test_an_answer_of_nobody_knows_whom_is_taken_for_the_one_around_it(later: Traced, unknown: int) -> None:
    answers = [Traced(0.0, 0.0, "answered", A), Traced(0.3, 0.0, "answered", None), later]
    assert len(unbridged_answers(answers, 0.01)) == unknown


def test_a_cluster_that_may_move_may_come_back() -> None:
    """From A to B, and to A again: each answered alone."""
    there_and_back = Script([(0, A), (2.5, None), (3.5, B), (5.0, None), (6.0, A)], [(0, A), (2.5, None), (3.0, B), (5.0, None), (5.5, A)])
    header = a_header(disruption="NIC down Subnet#2", moves=None, takes_away=False, lasts=False)
    result = evaluate(marks(play(header, there_and_back, end=12.0), begin=2.0))
    assert result.verdict.outcome is PASS, result.verdict


def test_writes_that_end_later_behind_a_right_path_are_a_failure() -> None:
    """Acknowledged again from 3.8 to 5.0, and never after: for 25 s of 4 s allowed, on paths that are right."""
    recording = play(a_header(), MOVES, end=30.0)
    times = [0.5, 1.0, 1.5, 3.8, 4.2, 4.6, 5.0]
    recording.tokens = [Token(at, CLIENT, f"t{at}", True, 0.01, A if at < 2 else B) for at in times]
    recording.tokens += [Token(6.0 + n, CLIENT, f"n{n}", False, 0.5, "") for n in range(23)]
    recording.read_back = {f"t{at}": 1 for at in times}
    result = evaluate(marks(recording, begin=2.0, took_effect=3.5), budget_s=4.0)
    assert result.tokens is not None and result.tokens.verdict.outcome is FAIL, result.tokens
    assert "none was acknowledged after +3.01 s" in result.tokens.verdict.reason


def test_an_outage_ends_where_the_next_one_begins() -> None:
    """An answer that waited for 0.9 s does not move the end beyond an attempt that failed meanwhile."""
    rows = [Traced(0.1 * n, 0.001, "answered", A) for n in range(5)]
    rows += [Traced(0.5 + 0.1 * n, 0.25, "silent", None) for n in range(5)]
    rows += [Traced(1.0, 0.9, "answered", A), Traced(1.1, 0.25, "silent", None), Traced(1.2, 0.25, "silent", None)]
    rows += [Traced(1.9 + 0.1 * n, 0.001, "answered", A) for n in range(5)]
    first, second = runs_of_failure(a_series(period=0.1, limit=1.0), rows)
    assert first.end is not None and first.end <= second.start == pytest.approx(1.1)
