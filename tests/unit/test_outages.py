"""Outages of known cuts, measured by an open loop: within one period, none missed."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from recordings import A, B, a_series, during_a_cut, during_a_freeze, open_loop

from harness.measure.evaluation.attempt_attribution import Traced
from harness.measure.evaluation.series_outages import outage, runs_of_failure, segments
from harness.remote.recording.recording import PINNED

PERIODS = (0.001, 0.01, 0.05, 0.1, 0.25)
SLACK = 0.001


def traced(samples) -> list[Traced]:
    return [Traced(s.at, s.seconds, s.outcome, None, s.detail) for s in samples]


def measure(period, fate, *, phase, until, jitter=0.0, limit=0.25, seed=0):
    series, random_ = a_series(period=period, limit=limit), random.Random(seed)
    late = (lambda: random_.random() * jitter) if jitter else (lambda: 0.0)
    return series, runs_of_failure(series, traced(open_loop(series, fate, start=phase * period, end=until, late=late)))


@settings(max_examples=150, deadline=None)
@given(
    period=st.sampled_from(PERIODS),
    cut=st.sampled_from((0.05, 0.5, 1.2, 2.5)) | st.floats(0.05, 5.0),
    phase=st.floats(0, 1, exclude_max=True),
    begin=st.floats(0.6, 0.9),
    rtt=st.floats(0.0001, 0.0008),
)
def test_a_known_cut_is_measured_within_one_period(period, cut, phase, begin, rtt):
    assume(period >= 0.01 or cut <= 1.2)  # only to be quick
    _, found = measure(period, during_a_cut(begin, cut, rtt=rtt), phase=phase, until=begin + cut + 1.0)
    if not found:
        assert cut < period  # it fell between two attempts: only a shorter period can see it
        return
    (run,) = found
    assert abs(run.seconds(0.0) - cut) <= period + SLACK
    # its end is told late by less than a period, and never early
    assert begin + cut - SLACK <= run.end <= begin + cut + period + SLACK
    assert run.start >= begin - rtt - 1e-9


@settings(max_examples=60, deadline=None)
@given(period=st.sampled_from(PERIODS[1:4]), hang=st.floats(0.35, 3.0), phase=st.floats(0, 1, exclude_max=True))
def test_a_frozen_service_that_answers_late_is_not_taken_for_one_that_came_back_early(period, hang, phase):
    _, (run,) = measure(period, during_a_freeze(1.0, hang), phase=phase, until=2.0 + hang)
    assert abs(run.seconds(0.0) - hang) <= period + SLACK
    assert run.end - run.uncertainty(period) - SLACK <= 1.0 + hang <= run.end + SLACK


@settings(max_examples=60, deadline=None)
@given(period=st.sampled_from((0.001, 0.01, 0.05)), hang=st.floats(0.35, 3.0), phase=st.floats(0, 1, exclude_max=True))
def test_the_end_of_a_hang_is_known_to_a_period(period, hang, phase):
    """Not to the limit of an attempt: those that began in the last 0.25 s were all answered at once, so that none was before."""
    _, (run,) = measure(period, during_a_freeze(1.0, hang), phase=phase, until=2.0 + hang)
    assert run.uncertainty(period) <= period + 1e-9


def test_who_answers_slowly_at_first_may_have_recovered_when_the_first_of_them_began():
    """Each attempt takes 0.2 s of its own for the first second: no burst, so that 0.2 s stay open."""

    def fate(at):
        return ("silent", 0.25) if 0.5 <= at < 1.0 else ("answered", 0.2 if 1.0 <= at < 2.0 else 0.0004)

    _, (run,) = measure(0.01, fate, phase=0, until=6.0)
    assert run.uncertainty(0.01) == pytest.approx(0.21, abs=0.011) and run.end - run.uncertainty(0.01) <= 1.0


def test_heartbeats_that_one_connection_answers_together_may_wait_for_a_packet_that_is_sent_again():
    """Back at 1.5, and the lost heartbeat is sent again at 1.9: all are answered then, whenever it was back."""

    def fate(at):
        return ("silent", 1.0) if 0.5 <= at < 0.9 else ("answered", 1.9 - at) if 0.9 <= at < 1.9 else ("answered", 0.0004)

    series = a_series(kind=PINNED, period=0.1, limit=1.0)
    (run,) = runs_of_failure(series, traced(open_loop(series, fate, start=0.0, end=6.0)))
    assert run.end - run.uncertainty(0.1) <= 1.5


@settings(max_examples=30, deadline=None)
@given(cut=st.floats(2.1, 5.0), phase=st.floats(0, 1, exclude_max=True))
def test_with_a_long_limit_a_syn_that_was_sent_again_does_not_end_the_outage_early(cut, phase):
    limit = 2.0
    _, (run,) = measure(0.01, during_a_cut(1.0, cut, limit=limit), phase=phase, until=cut + 4.0, limit=limit)
    assert abs(run.seconds(0.0) - cut) <= 0.01 + SLACK


def test_one_lost_attempt_is_an_outage_of_one_period():
    _, (run,) = measure(0.01, lambda at: ("silent", 0.25) if 0.5 <= at < 0.51 else ("answered", 0.0004), phase=0.5, until=1.0)
    assert run.seconds(0.0) == pytest.approx(0.01) and run.outcomes == {"silent": 1}


def test_an_outage_without_an_end_lasts_until_the_evidence_ends():
    series, (run,) = measure(0.01, during_a_cut(0.5, 99), phase=0, until=2.0)
    told = outage(series, run, until=2.0, reason="out", expected=True)
    assert told.end is None and told.seconds == pytest.approx(1.5, abs=0.011)


def test_skipped_attempts_are_no_evidence_and_widen_the_interval():
    def fate(at):
        return ("skipped", 0.0) if 0.8 <= at < 1.0 else ("silent", 0.25) if 0.5 <= at < 0.8 else ("answered", 0.0004)

    series, (run,) = measure(0.01, fate, phase=0, until=2.0)
    assert run.outcomes == {"silent": 30}
    assert run.seconds(0.0) == pytest.approx(0.5, abs=0.011)
    assert run.uncertainty(series.period_s) == pytest.approx(0.21, abs=0.011)  # it may have been recovered at any time in the gap


def test_an_outage_that_changes_its_face_stays_one_and_becomes_several_segments():
    def fate(at):
        return ("silent", 0.25) if 0.5 <= at < 0.7 else ("refused", 0.0004) if 0.7 <= at < 0.9 else ("answered", 0.0004)

    series = a_series()
    rows = [s._replace(node=A if s.at < 0.8 else B) for s in traced(open_loop(series, fate, start=0.001, end=1.5))]
    (run,) = runs_of_failure(series, rows)
    assert run.outcomes == {"silent": 20, "refused": 20} and run.attributed == {A: 30, B: 10}
    found = segments(series, rows)
    assert [(s.outcome, s.node) for s in found] == [("answered", A), ("silent", A), ("refused", A), ("refused", B), ("answered", B)]
    assert all(a.end == b.start for a, b in pairwise(found))
    assert sum(s.count for s in found) == len(rows)


def test_a_segment_does_not_reach_over_a_hole():
    series = a_series()
    rows = traced(open_loop(series, lambda at: ("answered", 0.0004), start=0, end=2.0))
    first, second = segments(series, [r for r in rows if not 0.5 <= r.at < 1.0])
    assert first.end == pytest.approx(0.5, abs=0.011) and second.start == pytest.approx(1.0, abs=0.011)
