"""A whole recording, judged: what happened to which path, by whom, and whether that may be."""

from __future__ import annotations

import pytest
from recordings import (
    ADDRESSES,
    CLIENT,
    LISTENER,
    VIP,
    A,
    B,
    Script,
    a_header,
    a_series,
    a_switchover,
    marks,
    play,
    store,
)

from harness.core.verdict import Outcome, inconclusive, passed
from harness.measure.evaluation.attempt_attribution import trace
from harness.measure.evaluation.recording_evaluation import evaluate
from harness.remote.recording.recording import PINNED, CapturedPacket, Clock, NodeEvent, Noise, Sample, Token, read

UNTOUCHED = {"client": "untouched", "inside": "untouched", "standby": "untouched"}
STAYS = Script(balancer=[(0, A)], holder=[(0, A)])


def series_of(result, origin):
    return next(t for t in result.series if t.origin == origin)


def quiet(**changes):
    """Nothing is done, and nothing happens."""
    return marks(play(a_header(moves=False, expects=UNTOUCHED, **changes), STAYS, end=6.0), begin=2.0, took_effect=2.0, undo_begin=4.0)


def test_a_switchover():
    result = evaluate(a_switchover())
    assert result.verdict.outcome is Outcome.PASS, result.verdict
    assert result.timing.outcome is Outcome.PASS, result.timing
    assert (result.before, result.after, result.anchor) == (A, B, 2.0)
    client, old, new = (series_of(result, origin) for origin in (CLIENT, A, B))
    assert (client.path, old.path, new.path) == ("client", "standby", "inside")
    (outage,) = client.outages
    assert outage.seconds == pytest.approx(1.2, abs=0.011) and outage.attributed == {"": outage.outcomes["silent"]}
    assert client.recovered_after_s == pytest.approx(1.7, abs=0.011)
    assert new.outages[0].seconds == pytest.approx(0.7, abs=0.011)
    assert "none reached a node" in outage.reason and "client path to listener: out 1.2" in outage.reason
    assert "of 8.10 s allowed" in client.verdict.reason
    assert [s.node for s in client.segments] == [A, None, B]


def test_a_budget_given_later_counts():
    result = evaluate(a_switchover(), budget_s=1.0)
    assert result.verdict.outcome is Outcome.FAIL
    assert "client path to listener" in result.verdict.reason and "1.00 s allowed" in result.verdict.reason
    assert "again" in result.budget_because


def test_a_budget_within_the_measuring_error_decides_nothing():
    recording = a_switchover()
    out = series_of(evaluate(recording), CLIENT).recovered_after_s
    verdict = series_of(evaluate(recording, budget_s=out - 0.004), CLIENT).verdict
    assert verdict.outcome is Outcome.INCONCLUSIVE and "shorter period" in verdict.reason


def test_a_path_that_never_came_back_fails_even_when_the_timing_may_not_be_trusted():
    script = Script(balancer=[(0, A), (2.5, None)], holder=[(0, A), (2.5, None), (3.2, B)])
    recording = marks(play(a_header(budget_s=3.0), script), begin=2.0, undo_begin=6.0)
    recording.noise += [Noise(3.0, CLIENT, 100, 50, 3.0, 0.5, 2.0)]
    result = evaluate(recording)
    client = series_of(result, CLIENT)
    assert client.recovered_after_s is None and client.verdict.outcome is Outcome.FAIL
    assert "still out" in client.verdict.reason and "3.00 s allowed" in client.verdict.reason
    assert result.verdict.outcome is Outcome.FAIL and result.timing.outcome is Outcome.INCONCLUSIVE


def test_one_that_was_not_waited_for_long_enough_is_inconclusive():
    script = Script(balancer=[(0, A), (2.5, None)], holder=[(0, A)])
    recording = marks(play(a_header(moves=None), script), begin=2.0)
    assert series_of(evaluate(recording, budget_s=60.0), CLIENT).verdict.outcome is Outcome.INCONCLUSIVE


def test_nothing_done_and_nothing_happened():
    result = evaluate(quiet())
    assert result.verdict.outcome is Outcome.PASS, result.verdict
    assert "no path was out" in result.verdict.reason
    assert all(t.recovered_after_s == 0.0 and not t.outages for t in result.series)
    assert all(b.at is None and b.evidence.startswith("not observed") for b in result.boundaries)


def test_one_lost_attempt_fails_an_untouched_path():
    recording = quiet()
    rows = recording.samples[a_series().id]
    place = next(i for i, row in enumerate(rows) if row.at > 3.0)
    rows[place] = rows[place]._replace(outcome="silent", seconds=0.25)
    result = evaluate(recording)
    assert series_of(result, CLIENT).verdict.outcome is Outcome.FAIL and result.verdict.outcome is Outcome.FAIL
    assert f"1 attempt silent, it reached {A}" in result.verdict.reason and "no attempt may fail" in result.verdict.reason
    assert not series_of(result, CLIENT).outages[0].expected
    recording.noise.append(Noise(3.0, CLIENT, 100, 40, 0.4, 0.0, 1.0))
    assert evaluate(recording).verdict.outcome is Outcome.INCONCLUSIVE


def test_an_answer_by_the_wrong_node_is_no_answer():
    """The hash sends one attempt in four to the node that must not serve."""
    script = Script(balancer=[(0, A)], holder=[(0, A)], hash_decides=lambda at: B if at > 2.5 and int(at * 100) % 4 == 0 else A)
    recording = marks(play(a_header(moves=False, expects=UNTOUCHED), script, end=6.0), begin=2.0)
    result = evaluate(recording)
    client = series_of(result, CLIENT)
    assert any(s.outcome == "wrong-node" and s.node == B for s in client.segments)
    assert client.verdict.outcome is Outcome.FAIL and f"wrong node, {B}" in client.verdict.reason
    assert "answered by the wrong node" in client.outages[0].reason


def test_before_the_disruption_only_the_active_node_may_answer():
    recording = marks(play(a_header(), Script(balancer=[(0, A), (1.0, B)], holder=[(0, A)]), end=6.0), begin=2.0)
    client = series_of(evaluate(recording), CLIENT)
    assert next(s for s in client.segments if s.start >= 1.0).outcome == "wrong-node"


def test_split_brain():
    """From 3.0 on the other node serves too: the balancer has moved, and the old node still answers itself."""
    script = Script(balancer=[(0, A), (3.0, B)], holder=[(0, A)])
    recording = marks(play(a_header(), script, end=6.0), begin=2.0, undo_begin=5.0)
    recording.tokens = [
        Token(3.0 + n / 10, origin, f"{origin}-{n}", True, 0.01, by) for n in range(5) for origin, by in ((CLIENT, B), (A, A))
    ]
    recording.read_back = {f"{CLIENT}-{n}": 1 for n in range(5)} | {f"{A}-0": 2}
    result = evaluate(recording)
    assert result.tokens is not None
    ((start, end),) = result.tokens.both_answered
    assert start == pytest.approx(3.0, abs=0.05) and end == pytest.approx(6.0, abs=0.05)
    assert len(result.tokens.lost) == 4 and len(result.tokens.doubled) == 1
    assert f"{A}-3 from {A}" in result.tokens.lost[2] and f"taken by {A}" in result.tokens.lost[2]
    assert series_of(result, A).verdict.outcome is Outcome.FAIL  # the old node answers after the new one has begun
    assert "two active nodes" in result.verdict.reason and "4 lost, 1 doubled" in result.verdict.reason


def test_where_nothing_is_demanded_two_active_nodes_are_told_and_do_not_fail():
    recording = marks(
        play(a_header(expects=dict.fromkeys(UNTOUCHED, "any"), moves=None), Script([(0, A), (3.0, B)], [(0, A)]), end=6.0), begin=2.0
    )
    result = evaluate(recording)
    assert result.tokens is not None and result.tokens.both_answered and result.verdict.outcome is Outcome.PASS, result.verdict


@pytest.mark.parametrize("fenced, outcome", [(3.6, Outcome.PASS), (5.5, Outcome.FAIL)])
def test_an_isolated_node_that_answers_until_it_is_fenced_is_time_out_and_the_budget_says_how_long(fenced, outcome):
    """Between 3.0 and its fencing, the hash sends one attempt in four to the old node, as the balancer holds both for whole."""
    script = Script(
        balancer=[(0, A), (3.0, B)],
        holder=[(0, A), (3.0, B)],
        hash_decides=lambda at: A if 3.0 < at < fenced and int(at * 100) % 4 == 0 else B if at >= 3.0 else A,
    )
    recording = marks(play(a_header(both_may_answer=True, moves=None, budget_s=3.0), script, end=8.0), begin=2.0, undo_begin=7.0)
    client = series_of(evaluate(recording), CLIENT)
    assert client.verdict.outcome is outcome, client.verdict
    assert "answered by the wrong node" in client.outages[-1].reason and client.outages[-1].end == pytest.approx(fenced, abs=0.1)


def test_a_switchover_without_overlap_is_no_split_brain():
    result = evaluate(a_switchover())
    assert result.tokens is not None and result.tokens.both_answered == [] and result.tokens.verdict.outcome is Outcome.PASS


def test_a_lost_token_is_named():
    recording = a_switchover()
    recording.read_back = {"t0": 1, "t2": 1, "t3": 1, "t4": 1}
    result = evaluate(recording)
    assert result.verdict.outcome is Outcome.FAIL
    assert f"token t1 from {CLIENT}, acknowledged +0.010 s from the disruption, taken by {A}: lost" in result.verdict.reason


def test_tokens_that_were_never_read_back_prove_nothing():
    recording = a_switchover()
    recording.read_back = None
    result = evaluate(recording)
    assert result.tokens is not None and result.tokens.verdict.outcome is Outcome.INCONCLUSIVE
    assert result.verdict.outcome is Outcome.INCONCLUSIVE and "read back" in result.verdict.reason


def test_a_cluster_that_did_not_move_fails_where_it_had_to():
    recording = marks(play(a_header(), STAYS, end=6.0), begin=2.0)
    assert "had to take over" in evaluate(recording).verdict.reason
    assert evaluate(recording).verdict.outcome is Outcome.FAIL


def test_a_node_that_lost_power_is_not_judged():
    script = Script([(0, A), (2.0, None), (4.0, B)], [(0, A), (2.0, None), (3.5, B)], dead=[(2.0, 99.0, A)])
    recording = marks(play(a_header(disruption="power loss"), script), begin=2.0, took_effect=2.1, undo_begin=6.0)
    recording.events += [NodeEvent(0.0, A, "vip-up"), NodeEvent(2.4, A, "host-lost", "no answer"), NodeEvent(3.5, B, "vip-up")]
    recording.noise = [n for n in recording.noise if n.host != A or n.at < 2.0]
    result = evaluate(recording)
    gone = series_of(result, A)
    assert gone.path == "" and "lknode01 was lost +0.40 s" in gone.verdict.reason
    assert result.verdict.outcome is Outcome.PASS, result.verdict
    stopped = next(b for b in result.boundaries if b.name == "stopped")
    assert stopped.at is None and "was lost" in stopped.evidence
    states = {chart_row.name: [state for *_, state in chart_row.spans] for chart_row in result.chart_rows}
    assert states[A][-1] == "lost" and states["VIP"] == [A, "unknown", B]


def test_a_path_that_must_be_out_and_was():
    script = Script([(0, A), (2.5, None), (6.3, A)], [(0, A)])
    expects = {"client": "out", "inside": "untouched", "standby": "out"}
    recording = marks(play(a_header(moves=False, expects=expects), script), begin=2.0, took_effect=2.6, undo_begin=6.0)
    result = evaluate(recording)
    assert result.verdict.outcome is Outcome.PASS, result.verdict
    assert series_of(result, CLIENT).recovered_after_s == pytest.approx(0.3, abs=0.011)  # from the undoing
    stays = marks(play(a_header(moves=False, expects=expects), STAYS), begin=2.0, took_effect=2.6, undo_begin=6.0)
    verdict = series_of(evaluate(stays), CLIENT).verdict
    assert verdict.outcome is Outcome.FAIL and f"had to be out while it lasted, but {A} answered all" in verdict.reason


def test_no_capture_at_the_node_that_serves_leaves_open_who_answered():
    recording = marks(play(a_header(moves=False, expects=UNTOUCHED), STAYS, end=6.0, blind=(A,)), begin=2.0)
    result = evaluate(recording)
    assert result.verdict.outcome is Outcome.INCONCLUSIVE and f"{A} could not capture packets" in result.verdict.reason
    assert result.after is None and all(s.node is None for s in series_of(result, CLIENT).segments)
    assert any(note.startswith(f"{A} could not capture") for note in result.notes)


def test_a_calibration_that_failed_makes_figures_inconclusive_and_one_that_passed_does_not():
    recording = a_switchover()
    assert evaluate(recording, calibration=inconclusive("a cut of 0.3 s was measured as 0.9 s")).verdict.outcome is Outcome.INCONCLUSIVE
    assert evaluate(recording, calibration=passed("measured within a period")).verdict.outcome is Outcome.PASS
    assert "the meter was not checked against a known cut" in evaluate(recording).notes


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        (Noise(3.0, CLIENT, 100, 90, 0.02, 0.0, 1.0), "late"),
        (Noise(3.0, CLIENT, 100, 1, 0.2, 0.0, 1.0), "gap"),
        (Noise(3.0, CLIENT, 100, 0, 0.0, 0.9, 1.0), "steal"),
    ],
)
def test_noise_beyond_the_limits_makes_figures_inconclusive(noise, said):
    recording = a_switchover()
    recording.noise.append(noise)
    result = evaluate(recording)
    assert result.timing.outcome is Outcome.INCONCLUSIVE and said in result.timing.reason
    assert result.verdict.outcome is Outcome.INCONCLUSIVE
    assert series_of(result, CLIENT).recovered_after_s == pytest.approx(1.7, abs=0.011)  # the figure is told all the same


def test_noise_after_the_measured_time_does_not_matter():
    recording = a_switchover()
    recording.noise.append(Noise(8.0, CLIENT, 100, 90, 2.0, 1.0, 9.0))
    assert evaluate(recording).timing.outcome is Outcome.PASS


def test_a_gap_in_the_measuring_and_a_clock_that_was_never_compared():
    recording = a_switchover()
    series = a_series().id
    recording.samples[series] = [s for s in recording.samples[series] if not 2.8 <= s.at < 3.2]
    result = evaluate(recording)
    assert "nothing was measured from +0.79 s to +1.2" in result.timing.reason and result.timing.outcome is Outcome.INCONCLUSIVE
    other = a_switchover()
    other.clocks = [Clock(A, 0, 0, 0.001), Clock(B, 0, 0, 0.2)]
    assert f"{CLIENT}: its clock was never compared" in evaluate(other).timing.reason
    assert f"{B}: its clock is known to 200 ms only" in evaluate(other).timing.reason


def test_a_path_that_was_out_before_is_inconclusive():
    script = Script([(0, A), (1.0, None), (1.5, A), (2.5, None), (3.7, B)], [(0, A), (2.5, None), (3.2, B)])
    result = evaluate(marks(play(a_header(), script), begin=2.0))
    assert "out before the disruption" in result.verdict.reason and result.verdict.outcome is Outcome.INCONCLUSIVE
    assert [o.expected for o in series_of(result, CLIENT).outages] == [False, True]


def test_a_kept_connection_that_is_older_than_the_recording_is_judged_by_its_answers():
    series = a_series(kind=PINNED, period=0.1, limit=1.0)
    recording = quiet(series=(*a_header().series, series))
    recording.sightings = [s for s in recording.sightings if not (s.src == ADDRESSES[CLIENT][0] and s.dport == LISTENER and s.at < 1.0)]
    recording.samples[series.id] = [Sample(n / 10, 0.0004, "answered", 60001) for n in range(60)]
    result = evaluate(recording)
    assert result.verdict.outcome is Outcome.PASS, result.verdict
    rows = recording.samples[series.id]
    rows[30] = rows[30]._replace(outcome="silent", seconds=1.0)
    del rows[31:40]  # it waits for an answer, and sends no other heartbeat meanwhile
    again = evaluate(recording)
    assert again.timing.outcome is Outcome.PASS, again.timing
    assert next(t for t in again.series if t.kind == PINNED).outages[0].seconds == pytest.approx(1.0)


def test_ports_that_are_used_again_are_told_apart_by_their_time():
    recording = quiet()
    port, series = 20000, a_series().id
    recording.samples[series] = [
        Sample(1.0, 0.0004, "answered", port),
        Sample(3.0, 0.0004, "answered", port),
        Sample(5.0, 0.0004, "answered", port),
    ]
    recording.sightings = [
        CapturedPacket(at, node, "eth0", what, *ends, out)
        for at, node in ((1.0, A), (3.0, B))
        for what, ends, out in (
            ("syn", ("10.20.1.20", port, "10.20.1.11", LISTENER), False),
            ("syn-ack", ("10.20.1.11", LISTENER, "10.20.1.20", port), True),
        )
    ]
    assert [one.node for one in trace(recording)[series]] == [A, B, None]


def test_a_syn_that_comes_back_to_its_origin_was_received_there_and_not_answered():
    recording = quiet()
    recording.samples[f"{A}/listener/new"] = [Sample(3.0, 0.25, "silent", 33333)]
    recording.sightings = [
        CapturedPacket(3.0, A, "eth0", "syn", "10.20.1.11", 33333, VIP, LISTENER, True),
        CapturedPacket(3.0002, A, "eth0", "syn", "10.20.1.11", 33333, "10.20.1.11", LISTENER, False),
    ]
    (one,) = trace(recording)[f"{A}/listener/new"]
    assert (one.outcome, one.node) == ("silent", A)


def test_a_recording_that_was_cut_off_is_judged_as_far_as_it_goes(tmp_path):
    """Cut at every line and at some bytes between: never an exception, never a pass, but the whole one passes."""
    whole = store(a_switchover(series=(a_series(period=0.1), a_series(A, period=0.1))), tmp_path / "recording.jsonl")
    assert evaluate(read(whole)).verdict.outcome is Outcome.PASS
    data = whole.read_bytes()
    lines = [i + 1 for i, byte in enumerate(data) if byte == ord("\n")]
    part = tmp_path / "part.jsonl"
    for place in sorted({*lines[:-1], *(len(data) * n // 97 for n in range(97))}):
        part.write_bytes(data[:place])
        if place < lines[0] - 1:
            with pytest.raises(ValueError, match="cut off"):
                read(part)
            continue
        result = evaluate(read(part))
        assert result.verdict.outcome is not Outcome.PASS and result.verdict.reason
        assert result.timing.outcome is Outcome.INCONCLUSIVE


def test_a_failure_stands_in_a_recording_that_was_cut_off():
    recording = a_switchover()
    recording.complete = False
    assert evaluate(recording).verdict.outcome is Outcome.INCONCLUSIVE
    recording.read_back = {}
    assert evaluate(recording).verdict.outcome is Outcome.FAIL
