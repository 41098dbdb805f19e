"""A verdict needs its evidence, whole: recordings made by hand, each with the right answer worked out beside it.

In all of them a client and two nodes are measured every 10 ms, and A is the active node until 2.0, when the disruption begins.
"""

from __future__ import annotations

import pytest
from recordings import ADDRESSES, CLIENT, LISTENER, RTT, A, B, Script, a_header, a_series, a_switchover, during_a_freeze, marks, play

from harness.core.verdict import Outcome
from harness.measure.evaluation.recording_evaluation import evaluate
from harness.remote.recording.recording import PINNED, CapturedPacket, Clock, Mark, NodeEvent, Noise, Recording, Sample, Token

U3 = {"client": "untouched", "inside": "untouched", "standby": "untouched"}
R3 = {"client": "recovers", "inside": "recovers", "standby": "recovers"}
A3 = {"client": "any", "inside": "any", "standby": "any"}
STAYS = Script([(0, A)], [(0, A)])
FAIL, PASS, OPEN = Outcome.FAIL, Outcome.PASS, Outcome.INCONCLUSIVE


def series_of(result, origin, kind="new"):
    return next(t for t in result.series if t.origin == origin and t.kind == kind)


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


# --- what must be out

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


@pytest.mark.parametrize(("every", "outcome"), [(2, PASS), (100, FAIL), (1, FAIL)])
def test_where_the_hash_decides_about_half_is_out(every, outcome):
    spans = [(3.0, 6.2)] if every == 1 else [(2.5 + n * 0.01 * every, 2.5 + n * 0.01 * every + 0.0099) for n in range(int(350 / every))]
    verdict = series_of(evaluate(deny(*spans, shares=True, disruption="responder up on both nodes")), CLIENT).verdict
    assert verdict.outcome is outcome, verdict


# --- tokens


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


def test_a_hiccup_before_is_noise_only_where_the_host_was_noisy():
    recording = with_client_out(a_switchover(), 1.0, 1.2)
    assert evaluate(recording).noise.outcome is PASS
    recording.noise.append(Noise(1.5, CLIENT, 100, 60, 0.4, 0.5, 2.0))
    assert evaluate(recording).noise.outcome is OPEN
