"""The judge of what must be out: from the balancer's verdict to the undoing, all of it or the half that the hash decides."""

from __future__ import annotations

import pytest
from judge_sample import FAIL, OPEN, PASS, series_of
from recordings import CLIENT, A, Script, a_header, a_series, marks, play

from harness.measure.evaluation.recording_evaluation import evaluate
from harness.remote.recording.recording import Recording

OUT = {"client": "out", "inside": "untouched", "standby": "untouched"}


def deny(*spans: tuple[float, float], **changes) -> Recording:
    """A disruption that took effect at 2.1 and lasts until 6.0; the balancer needs 1.5 s to notice. Clients are out in the spans."""
    balancer = [(0.0, A), *((at, who) for a, b in spans for at, who in ((a, None), (b, A)))]
    header = {"disruption": "azure NSG deny", "moves": False, "expects": OUT, "settles_s": 1.5, **changes}
    script = Script([(0, A)], [(0, A)])
    recording = play(a_header(**header), script, end=12.0)
    series = a_series().id
    at = [row for row in balancer]

    def silent(moment: float) -> bool:
        return next(who for since, who in reversed(at) if since <= moment) is None

    recording.samples[series] = [s._replace(outcome="silent", seconds=0.25) if silent(s.at) else s for s in recording.samples[series]]
    return marks(recording, begin=2.0, took_effect=2.1, undo_begin=6.0)


@pytest.mark.parametrize(
    ("spans", "outcome"),
    [
        ([(3.0, 6.5)], PASS),  # from before the verdict until after the undoing
        ([(3.0, 3.01)], FAIL),  # one attempt of 390
        ([(2.2, 2.3)], FAIL),  # and then answered for 3.7 s
        ([(3.0, 5.0)], FAIL),  # back before the undoing
        ([(4.5, 6.5)], FAIL),  # answered for 0.9 s after the balancer must have noticed
    ],
)
def test_what_must_be_out_is_out_from_the_verdict_to_the_undoing(spans, outcome):
    result = evaluate(deny(*spans))
    assert series_of(result, CLIENT).verdict.outcome is outcome, series_of(result, CLIENT).verdict
    assert series_of(result, CLIENT).recovered_after_s != 0.0


def test_a_few_attempts_do_not_show_that_the_balancer_shares_connections_out():
    """One of 15 that failed would be about every other connection (a host without Python, or --period 250)."""
    recording = deny((3.0, 3.01), (4.0, 4.01), shares=True, disruption="responder up on both nodes")
    series = a_series().id
    kept = [s for s in recording.samples[series] if not 2.1 <= s.at <= 6.0]
    few = [s for s in recording.samples[series] if 2.1 <= s.at <= 6.0][::26]
    few[3] = few[3]._replace(outcome="silent", seconds=0.25)
    recording.samples[series] = sorted(kept + few, key=lambda s: s.at)
    verdict = series_of(evaluate(recording), CLIENT).verdict
    assert len(few) == 15 and verdict.outcome is OPEN and "too few" in verdict.reason, verdict


@pytest.mark.parametrize(("every", "outcome"), [(2, PASS), (100, FAIL), (1, FAIL)])
def test_where_the_hash_decides_about_half_is_out(every, outcome):
    spans = [(3.0, 6.2)] if every == 1 else [(2.5 + n * 0.01 * every, 2.5 + n * 0.01 * every + 0.0099) for n in range(int(350 / every))]
    verdict = series_of(evaluate(deny(*spans, shares=True, disruption="responder up on both nodes")), CLIENT).verdict
    assert verdict.outcome is outcome, verdict
