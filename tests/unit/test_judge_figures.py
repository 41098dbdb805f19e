"""How long an outage was, by recordings made by hand: what counts from when, how certain it is, and what belongs to the disruption."""

from __future__ import annotations

import pytest
from judge_sample import A3, FAIL, OPEN, PASS, R3, STAYS, U3, series_of
from recordings import CLIENT, A, B, Script, a_header, a_series, a_switchover, during_a_freeze, marks, play

from harness.measure.evaluation.recording_evaluation import evaluate
from harness.remote.recording.recording import Clock, Noise, Recording, Sample

# --- what was out before, and what comes after


def with_client_out(recording: Recording, start: float, end: float) -> Recording:
    series = a_series().id
    recording.samples[series] = [
        s._replace(outcome="silent", seconds=0.25) if start <= s.at < end else s for s in recording.samples[series]
    ]
    return recording


@pytest.mark.parametrize(("start", "end"), [(0.5, 2.1), (1.0, 1.6), (1.8, 1.81), (0.5, 99.0)])
def test_what_began_before_or_was_over_by_then_is_not_the_disruptions(start, end):
    """Out from 0.5 to 2.1 is 1.5 s of somebody else's outage; the kept-back attempt of 1.8 was answered at 1.81."""
    recording = with_client_out(play(a_header(disruption="manager crash", moves=False, expects=U3), STAYS), start, end)
    result = evaluate(marks(recording, begin=2.0))
    assert result.verdict.outcome is OPEN and "out before the disruption already" in result.verdict.reason, result.verdict
    assert series_of(result, CLIENT).recovered_after_s == (0.0 if end < 2.0 else None)


def test_an_attempt_that_was_under_way_is_the_disruptions():
    recording = with_client_out(play(a_header(disruption="manager crash", moves=False, expects=U3), STAYS), 1.9, 2.2)
    assert evaluate(marks(recording, begin=2.0)).verdict.outcome is FAIL


FLAP = Script([(0, A), (2.5, None), (3.7, B), (5.2, None), (12.5, B)], [(0, A), (2.5, None), (3.2, B)])


def test_where_nothing_is_undone_everything_counts_from_the_disruption():
    """Right at +1.7, out again from +3.2 to +10.5, and the (empty) undoing began at +3.0: 10.5 s of 8.1 allowed."""
    recording = marks(play(a_header(), FLAP, end=18.0), begin=2.0, undo_begin=5.0)
    result = evaluate(recording)
    client = series_of(result, CLIENT)
    assert client.verdict.outcome is FAIL and "recovered 10.5" in client.verdict.reason and "after the disruption" in client.verdict.reason
    assert (client.recovered_after_s, client.counted_from) == (pytest.approx(10.5, abs=0.011), "the disruption")


def test_what_is_out_in_the_last_moment_was_not_waited_for():
    """A switchover is right at +1.7; the last attempt of the recording, 16 s after it, was under way when the measuring ended."""
    script = Script([(0, A), (2.5, None), (3.7, B), (17.99, None)], [(0, A), (2.5, None), (3.2, B)])
    result = evaluate(marks(play(a_header(), script, end=18.0), begin=2.0, undo_begin=5.0))
    assert result.verdict.outcome is OPEN and "just before that" in result.verdict.reason, result.verdict


@pytest.mark.parametrize(("end", "outcome"), [(30.3, PASS), (40.0, FAIL)])
def test_an_outage_after_an_undoing_is_held_to_its_own_length(end, outcome):
    """The cut lasts until 20.0; at 30.0 the path is out once more, for 0.3 s or for 10 s, of 8.1 s allowed."""
    script = Script([(0, A), (30.0, None), (end, A)], [(0, A)])
    expects = {"client": "recovers", "inside": "untouched", "standby": "any"}
    recording = play(a_header(disruption="probe blocked", lasts=True, moves=False, expects=expects), script, end=45.0)
    client = series_of(evaluate(marks(recording, begin=2.0, undo_begin=20.0)), CLIENT)
    assert client.verdict.outcome is outcome and client.counted_from == "its own beginning"
    assert client.recovered_after_s == pytest.approx(end - 30.0, abs=0.011)


# --- figures


def test_where_nothing_is_demanded_the_figure_is_the_outage_all_the_same():
    """All paths out from +1 to +61 s, undone at +68: 61 s after the disruption, and never "no outage"."""
    script = Script([(0, A), (3.0, None), (63.0, A)], [(0, A), (3.0, None), (63.0, A)])
    recording = play(a_header(disruption="shared disk full", moves=None, expects=A3), script, end=75.0)
    result = evaluate(marks(recording, begin=2.0, undo_begin=70.0))
    client = series_of(result, CLIENT)
    assert result.verdict.outcome is PASS
    assert (client.recovered_after_s, client.counted_from) == (pytest.approx(61.0, abs=0.011), "the disruption")
    assert client.min_s <= 61.0 <= client.max_s


def test_a_hang_is_as_long_as_its_burst_of_answers_says():
    """Hung from 2.0 to 10.3, of 8.1 s allowed: all that waited at 10.3 were answered then, so that none was by 10.1."""
    recording = marks(play(a_header(disruption="service hang", moves=None, expects=R3), STAYS, end=16.0), begin=2.0)
    rows, freeze = recording.samples[a_series().id], during_a_freeze(2.0, 8.3)
    rows[:] = [s._replace(outcome=freeze(s.at)[0], seconds=freeze(s.at)[1]) for s in rows]
    client = series_of(evaluate(recording), CLIENT)
    assert client.recovered_after_s == pytest.approx(8.3, abs=0.011) and client.max_s - client.min_s <= 0.015
    assert client.verdict.outcome is FAIL and "shorter period" not in client.verdict.reason


def test_clocks_that_are_off_widen_the_figure():
    """Truly recovered 8.09 s after the disruption of 8.10 allowed; the client's clock is 45 ms ahead, and known to 45 ms."""
    script = Script([(0, A), (2.5, None), (10.09 + 0.045, B)], [(0, A), (2.5, None), (3.2, B)])
    recording = marks(play(a_header(), script, end=15.0), begin=2.0)
    recording.clocks.append(Clock(CLIENT, 1.0, 0.0, 0.045))
    client = series_of(evaluate(recording), CLIENT)
    assert client.verdict.outcome is OPEN and "closer clocks" in client.verdict.reason
    assert client.min_s <= 8.09 <= client.max_s


@pytest.mark.parametrize(("cut", "period", "phase"), [(0.298, 0.1, 0.001), (0.748, 0.25, 0.001), (0.302, 0.1, 0.099)])
def test_the_length_of_an_outage_is_uncertain_at_both_ends(cut, period, phase):
    series = a_series(period=period)
    start = 3.0 + phase  # right after an attempt, or right before one
    script = Script([(0, A), (start, None), (start + cut, A)], [(0, A)])
    recording = play(a_header(disruption="x", moves=False, expects={"client": "recovers"}, series=(series,)), script)
    recording.samples[series.id] = [
        Sample(n * period, *((0.25, "silent") if start <= n * period < start + cut else (0.0004, "answered")), 20000 + n)
        for n in range(int(10 / period))
    ]
    (outage,) = series_of(evaluate(marks(recording, begin=2.0)), CLIENT).outages
    assert outage.min_s <= cut <= outage.max_s
    assert outage.max_s - outage.min_s == pytest.approx(2 * period)
    assert f"({outage.min_s:.2f} to {outage.max_s:.2f} s)" in outage.reason


def test_a_hiccup_before_is_noise_only_where_the_host_was_noisy():
    recording = with_client_out(a_switchover(), 1.0, 1.2)
    assert evaluate(recording).noise.outcome is PASS
    recording.noise.append(Noise(1.5, CLIENT, 100, 60, 0.4, 0.5, 2.0))
    assert evaluate(recording).noise.outcome is OPEN
