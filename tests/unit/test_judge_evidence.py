"""A verdict needs its evidence, whole: recordings made by hand, each with the right answer worked out beside it.

In all of them a client and two nodes are measured every 10 ms, and A is the active node until 2.0, when the disruption begins.
"""

from __future__ import annotations

import pytest
from judge_sample import FAIL, OPEN, PASS, R3, STAYS, U3, series_of
from recordings import ADDRESSES, CLIENT, LISTENER, RTT, A, B, Script, a_header, a_series, a_switchover, during_a_freeze, marks, play

from harness.measure.evaluation.recording_evaluation import evaluate
from harness.remote.recording.recording import PINNED, CapturedPacket, Mark, NodeEvent, Recording, Sample


def lost(recording: Recording, host: str, start: float, end: float | None) -> None:
    """The host is gone from the wire, and the harness notices 0.4 s later."""
    recording.noise = [n for n in recording.noise if n.host != host or not start < n.at < (end or 1e9)]
    recording.events.append(NodeEvent(start + 0.4, host, "host-lost", "no answer"))
    if end is not None:
        recording.events.append(NodeEvent(end, host, "host-back"))


# --- a node that dies of what takes none away


@pytest.mark.parametrize("back", [6.0, None])
def test_a_loser_that_halts_is_no_failure_where_nobody_saw_which_node_serves_in_the_end(back):
    """Without packets from the nodes the one that was active before is taken for the one that still is."""
    takes_over = [(0, A), (4.0, B)]
    header = a_header(disruption="all comm paths cut", target=B, moves=None, both_may_answer=True, expects=R3 | {"standby": "any"})
    recording = play(header, Script(takes_over, takes_over, dead=[(3.0, back or 99.0, A)]), end=32.0, blind=(A, B))
    lost(recording, A, 3.0, back)
    result = evaluate(marks(recording, begin=2.0))
    assert series_of(result, A).verdict.outcome is OPEN, series_of(result, A).verdict
    assert result.verdict.outcome is not FAIL, result.verdict
    assert "may not be the node that serves in the end, which nobody saw" in series_of(result, A).verdict.reason


def test_a_loser_that_halts_passes_where_the_nodes_saw_which_one_serves():
    takes_over = [(0, A), (4.0, B)]
    header = a_header(disruption="all comm paths cut", target=B, moves=None, both_may_answer=True, expects=R3 | {"standby": "any"})
    recording = play(header, Script(takes_over, takes_over, dead=[(3.0, 6.0, A)]), end=32.0)
    lost(recording, A, 3.0, 6.0)
    result = evaluate(marks(recording, begin=2.0))
    assert series_of(result, A).verdict.outcome is PASS and result.verdict.outcome is not FAIL, result.verdict


@pytest.mark.parametrize("back", [26.0, None])
def test_a_standby_that_is_fenced_where_nothing_may_be_touched_is_a_failure(back):
    script = Script([(0, A)], [(0, A)], dead=[(4.0, back or 99.0, B)])
    recording = play(a_header(disruption="one comm path cut", target=B, moves=False, expects=U3), script, end=32.0)
    lost(recording, B, 4.0, back)
    result = evaluate(marks(recording, begin=2.0))
    standby = series_of(result, B)
    assert result.verdict.outcome is FAIL and standby.verdict.outcome is FAIL, result.verdict
    assert f"{B} itself was lost, from +2.0" in standby.verdict.reason and "takes no node away" in standby.verdict.reason
    # out from its last attempt (4.0) to its first (26.0), which the table says, too: 24 s after the disruption
    assert standby.recovered_after_s == (pytest.approx(24.0, abs=0.011) if back else None)
    assert standby.path == "standby" and standby.unknown == ("" if back else "never came back")


def test_a_node_that_panics_of_a_service_crash_is_a_failure_and_its_boot_is_time_out():
    """Gone from 2.0 to 50.0; its path must have recovered within 8.1 s, and nothing is known of it for 48."""
    script = Script([(0, A), (2.0, None), (5.0, B)], [(0, A), (2.0, None), (4.0, B)], dead=[(2.0, 50.0, A)])
    recording = play(a_header(disruption="service crash", moves=None), script, end=56.0)
    lost(recording, A, 2.0, 50.0)
    result = evaluate(marks(recording, begin=2.0))
    assert series_of(result, CLIENT).verdict.outcome is PASS and result.verdict.outcome is FAIL
    assert series_of(result, A).recovered_after_s == pytest.approx(48.0, abs=0.011)


@pytest.mark.parametrize("says", [True, None])
def test_a_node_whose_power_is_cut_may_be_gone(says):
    """Also by a recording of before, whose header does not say that it takes the node away, but what it was called."""
    script = Script([(0, A), (2.0, None), (4.0, B)], [(0, A), (2.0, None), (3.5, B)], dead=[(2.0, 30.0, A)])
    expects = {"client": "recovers", "inside": "recovers", "standby": "any"}
    recording = play(a_header(disruption="power loss", takes_away=says, expects=expects), script, end=36.0)
    lost(recording, A, 2.0, 30.0)
    result = evaluate(marks(recording, begin=2.0, undo_begin=20.0))
    assert result.verdict.outcome is PASS, result.verdict
    gone = series_of(result, A)
    assert gone.recovered_after_s is None and gone.unknown.startswith("not measured for 28.0")  # never a zero


def test_a_node_that_only_the_harness_lost_went_on_measuring():
    recording = play(a_header(disruption="one comm path cut", target=B, moves=False, expects=U3), STAYS, end=10.0)
    recording.events += [NodeEvent(4.0, B, "host-lost"), NodeEvent(7.0, B, "host-back")]
    assert evaluate(marks(recording, begin=2.0)).verdict.outcome is PASS


# --- a disruption that did not happen


def test_what_was_not_seen_to_take_effect_gets_no_verdict():
    """The power command fails: nothing happens, so that nothing had to move; and it is not passed either."""
    recording = play(a_header(disruption="power loss"), STAYS)
    marks(recording, begin=2.0, took_effect=None, whole=None)
    recording.marks.append(Mark(2.1, "broken-off", "power.off exits 1: Please run 'az login'"))
    result = evaluate(recording)
    assert result.verdict.outcome is OPEN and "az login" in result.verdict.reason, result.verdict
    assert result.timing.outcome is OPEN  # so that no comparison takes its figures
    assert all(t.recovered_after_s is None and t.verdict.outcome is OPEN for t in result.series)


def test_what_moved_all_the_same_is_told():
    recording = a_switchover()
    recording.marks = [m for m in recording.marks if m.kind != "took-effect"]
    result = evaluate(recording)
    assert result.verdict.outcome is OPEN
    assert f"yet {B} answers in the end" in result.verdict.reason and "client path to listener: out 1.20 s" in result.verdict.reason


@pytest.mark.parametrize(("missing", "said"), [("undone", "not seen to be undone"), ("whole", "not seen to be healthy")])
def test_without_its_end_nothing_passes_and_a_failure_stands(missing, said):
    recording = a_switchover()
    recording.marks = [m for m in recording.marks if m.kind != missing]
    result = evaluate(recording)
    assert result.verdict.outcome is OPEN and said in result.verdict.reason and result.timing.outcome is OPEN
    assert evaluate(recording, budget_s=1.0).verdict.outcome is FAIL  # out for 1.2 s


def test_a_switchover_that_was_interrupted_at_once_is_no_failure_to_move():
    recording = marks(play(a_header(), STAYS, end=3.5), begin=2.0, undo_begin=2.6, undone=2.6, whole=None)
    result = evaluate(recording)
    assert result.verdict.outcome is OPEN and "only 0.60 s were waited" in result.verdict.reason


# --- who answered


def unseen(recording: Recording, node: str, since: float) -> None:
    recording.sightings = [s for s in recording.sightings if s.host != node or s.at < since]


@pytest.mark.parametrize("told", [False, True])
def test_a_perfect_switchover_to_a_node_that_nobody_watches_is_no_failure(told):
    recording = a_switchover()
    unseen(recording, B, 0.0)
    if told:
        recording.events.append(NodeEvent(0.0, B, "witness-lost", data={"from": 0.0}))
    result = evaluate(recording)
    assert result.verdict.outcome is OPEN and "no packet capture shows which node answered in the end" in result.verdict.reason
    assert ("none reached a node that was watching" in series_of(result, CLIENT).outages[0].reason) is told
    assert result.after is None


@pytest.mark.parametrize("told", [False, True])
def test_a_split_brain_behind_a_witness_that_ended_does_not_pass(told):
    """A keeps VIP and service and answers itself for ever; clients go to B from 3.0 on. A's witness ends at 2.4."""
    script = Script([(0, A), (3.0, B)], [(0, A)])
    expects = {"client": "recovers", "inside": "any", "standby": "recovers"}
    recording = marks(play(a_header(moves=None, expects=expects), script, end=10.0), begin=2.0)
    assert evaluate(recording).verdict.outcome is FAIL
    unseen(recording, A, 2.4)
    if told:
        recording.events.append(NodeEvent(2.4, A, "witness-lost", "500000 packets came", {"from": 2.4, "dropped": 0}))
    result = evaluate(recording)
    assert result.verdict.outcome is OPEN and f"standby path from {A}" in result.verdict.reason, result.verdict
    assert "which node answered" in result.verdict.reason
    assert (f"the packets of {A} were not watched then" in result.verdict.reason) is told


def test_a_sighting_that_is_missing_here_and_there_is_bridged():
    recording = a_switchover()
    recording.sightings = [s for n, s in enumerate(recording.sightings) if n % 7]
    assert evaluate(recording).verdict.outcome is PASS


def test_dropped_packets_are_time_in_which_nobody_watched():
    recording = a_switchover()
    recording.events.append(NodeEvent(2.0, A, "witness-lost", "12 packets dropped", {"from": 2.0, "dropped": 12}))
    recording.events.append(NodeEvent(3.0, A, "witness-back", "no more are dropped", {"from": 2.0, "until": 3.0, "dropped": 12}))
    result = evaluate(recording)
    assert "none reached a node that was watching" in series_of(result, CLIENT).outages[0].reason
    assert f"{A}: its packets were not all watched from +0.00 s to +1.00 s" in result.notes


def kept(recording: Recording, *, made: float | None, by: str) -> None:
    """The client's kept connection: answered throughout, made before the recording or at a moment in it."""
    series = a_series(kind=PINNED, period=0.1, limit=1.0)
    recording.samples[series.id] = [Sample(n / 10, 0.0004, "answered", 60001) for n in range(100)]
    if made is not None:
        ends = (ADDRESSES[by][0], LISTENER, ADDRESSES[CLIENT][0], 60001)
        recording.sightings.append(CapturedPacket(made, by, "eth0", "syn-ack", *ends, True))


def test_a_kept_connection_of_unknown_age_is_not_right_after_a_move():
    header = a_header(series=(*a_header().series, a_series(kind=PINNED, period=0.1, limit=1.0)))
    recording = a_switchover(series=header.series)
    kept(recording, made=None, by=A)
    result = evaluate(recording)
    assert result.verdict.outcome is OPEN and "older than the recording" in result.verdict.reason
    kept(recording, made=0.01, by=A)
    assert evaluate(recording).verdict.outcome is FAIL  # the node that had to be left still serves it


# --- times in which nothing was measured


@pytest.mark.parametrize(("period", "blind"), [(0.01, 0.06), (0.1, 0.6), (0.25, 1.5)])
def test_untouched_is_not_concluded_from_attempts_far_apart(period, blind):
    series = tuple(a_series(origin, period=period) for origin in (CLIENT, A, B))
    recording = play(a_header(disruption="manager crash", moves=False, expects=U3, series=series), STAYS)
    recording.samples[series[0].id] = [s for s in recording.samples[series[0].id] if not 4.0 <= s.at < 4.0 + blind - 1e-9]
    result = evaluate(marks(recording, begin=2.0))
    assert result.verdict.outcome is OPEN and "nothing was measured from" in result.verdict.reason
    assert series_of(result, CLIENT).longest_gap_s == pytest.approx(blind, abs=period + 0.001)


def test_never_out_says_for_how_long_nobody_looked():
    recording = play(a_header(disruption="service crash", moves=None), STAYS)
    series = a_series().id
    recording.samples[series] = [s for s in recording.samples[series] if not 4.0 <= s.at < 4.035]
    client = series_of(evaluate(marks(recording, begin=2.0)), CLIENT)
    assert client.verdict.outcome is PASS and "never out for longer than 0.0" in client.verdict.reason
    assert client.recovered_after_s == 0.0 and client.max_s == client.longest_gap_s == pytest.approx(0.045, abs=0.011)


@pytest.mark.parametrize(("withheld", "out", "stalled"), [(0.02, 0.0, 0.0), (0.12, 0.0, 0.12), (0.24, 0.0, 0.24), (0.26, 0.26, 0.0)])
def test_never_out_says_for_how_long_answers_were_withheld(withheld: float, out: float, stalled: float):
    """A stopped process, a live migration: nothing fails that is answered within its limit, and the figure says what that leaves open."""
    recording = play(a_header(disruption="service crash", moves=None), STAYS)
    freeze = during_a_freeze(4.0, withheld)
    rows = recording.samples[a_series().id]
    for place, one in enumerate(rows):
        outcome, seconds = freeze(one.at)
        if seconds != RTT:
            rows[place] = one._replace(outcome=outcome, seconds=seconds)
    client = series_of(evaluate(marks(recording, begin=2.0)), CLIENT)
    assert client.stalled_s == pytest.approx(stalled, abs=0.011)
    assert sum(o.seconds for o in client.outages) == pytest.approx(out, abs=0.011)
    if not out:
        assert client.verdict.outcome is PASS and client.max_s == pytest.approx(stalled, abs=0.011)
        assert ("answers were withheld for" in client.verdict.reason) is bool(stalled)


def test_what_was_not_measured_after_the_last_recovery_is_not_right():
    """Nothing is asked from +4 to +34 s, and the old node is powered on at +6."""
    recording = play(a_header(), Script([(0, A), (2.5, None), (3.7, B)], [(0, A), (2.5, None), (3.2, B)]), end=40.0)
    series = a_series().id
    recording.samples[series] = [s for s in recording.samples[series] if not 6.0 <= s.at < 36.0]
    result = evaluate(marks(recording, begin=2.0, undo_begin=8.0))
    assert result.verdict.outcome is OPEN and "nothing was measured from +3.99 s to +34.0" in result.verdict.reason, result.verdict
    assert result.timing.outcome is OPEN
