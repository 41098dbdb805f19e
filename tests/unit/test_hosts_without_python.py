"""What is judged where a host has no Python: outcomes without a way, attempts without a port, and what the report says of it. Pure."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from recordings import ADDRESSES, CLIENT, LISTENER, VIP, A, B, a_header, a_series

from harness.config.cluster_config import Design
from harness.core.verdict import Outcome
from harness.expectations.connectivity_matrix import Origin, PathObservation, Situation, expectation, judge_outcomes
from harness.measure.evaluation import attempt_attribution, observation_gaps, timing_quality
from harness.measure.evaluation.recording_evaluation import evaluate
from harness.pytest_plugin.cluster_fixture import ClusterFixture
from harness.remote.host_capabilities import FORWARDED, FULL, POWERSHELL, SHELL
from harness.remote.recording.recording import NEW, PINNED, CapturedPacket, Clock, Mark, NodeEvent, Noise, Recording, Sample

HEALTHY = expectation(Design.NAT, Origin.CLIENT)
BOUND = expectation(Design.NAT, Origin.CLIENT, Situation.BOUND_TO_VIP)
MIXED = expectation(Design.NAT, Origin.CLIENT, Situation.BOTH_UP)


def tried(outcome: str) -> PathObservation:
    return PathObservation(outcome, "W?", None, f"it was {outcome}")


@pytest.mark.parametrize(
    ("expected", "outcomes", "verdict", "because"),
    [
        (HEALTHY, ["answered"] * 3, Outcome.PASS, "how they travelled was not seen: no port"),
        (HEALTHY, ["answered", "refused"], Outcome.FAIL, "it was refused"),
        (HEALTHY, [], Outcome.INCONCLUSIVE, "no attempt"),
        (BOUND, ["refused"] * 3, Outcome.INCONCLUSIVE, "how they travelled was not seen: no port"),
        (BOUND, ["answered"], Outcome.FAIL, "it was answered"),
        (MIXED, ["answered", "refused"], Outcome.INCONCLUSIVE, "no port"),
        (MIXED, ["silent"], Outcome.FAIL, "it was silent"),
    ],
)
def test_outcomes_alone_prove_little(expected, outcomes, verdict, because):
    found = judge_outcomes(expected, [tried(o) for o in outcomes], "no port")
    assert found.outcome is verdict and because in found.reason


def a_recording(samples: list[Sample], answers: list[tuple[float, str]]) -> Recording:
    """`answers`: SYN-ACKs to the client, when and by which node."""
    series = a_series(period=0.25)
    sightings = [
        CapturedPacket(at, node, "eth0", "syn-ack", ADDRESSES[node][0], LISTENER, ADDRESSES[CLIENT][0], 40000 + i, True)
        for i, (at, node) in enumerate(answers)
    ]
    clocks = [Clock(host, 0.0, 0.0, 0.001) for host in (CLIENT, A, B)]
    return Recording(a_header(series=(series,)), {series.id: samples}, sightings, clocks=clocks)


@pytest.mark.parametrize(
    ("answers", "node"),
    [([(10.001, A)], A), ([(10.001, B), (10.003, B)], B), ([(10.001, A), (10.002, B)], None), ([(10.1, A)], None), ([], None)],
)
def test_an_answer_without_a_port_is_the_only_answering_node_s(answers, node):
    recording = a_recording([Sample(10.0, 0.003, "answered", 0)], answers)
    (rows,) = attempt_attribution.trace(recording).values()
    assert [row.node for row in rows] == [node]


def test_a_failed_attempt_without_a_port_reached_nobody_that_is_known():
    recording = a_recording([Sample(10.0, 0.25, "silent", 0)], [(10.001, A)])
    (rows,) = attempt_attribution.trace(recording).values()
    assert [row.node for row in rows] == [None]


@pytest.mark.parametrize(("coarse", "after"), [(B, None), (CLIENT, A)])
def test_a_node_that_nobody_watched_may_be_the_one_that_serves(coarse, after):
    """It took over unseen: the other one must not be said to have kept serving."""
    rows = [Sample(10.0, 0.003, "answered", 0), Sample(11.0, 0.003, "answered", 0)]
    recording = replace(a_recording(rows, [(10.001, A)]), events=[NodeEvent(1.0, coarse, "coarse", "no Python")], complete=True)
    recording = replace(recording, marks=[Mark(10.5, "begin")])
    found = evaluate(recording)
    assert found.after == after
    assert "had to take over" not in found.verdict.reason or after == A


def test_the_recording_keeps_what_is_left():
    recording = a_recording([], [])
    assert observation_gaps.limited_hosts(recording) == {}
    sentence = SHELL.sentence(CLIENT, 0.01)
    assert observation_gaps.limited_hosts(replace(recording, events=[NodeEvent(1.0, CLIENT, "coarse", sentence)])) == {CLIENT: sentence}


def test_a_sentence_names_host_fallback_and_resolution():
    for capabilities, words in ((SHELL, "shell"), (POWERSHELL, "PowerShell"), (FORWARDED, "direct-tcpip")):
        said = capabilities.sentence("lkclient", 0.01)
        assert said.startswith("lkclient ") and words in said and f"{capabilities.least_period_s * 1000:g} ms instead of the 10 ms" in said
    assert "instead" not in SHELL.sentence("lkclient", 0.25) and FULL.sentence("lkclient", 0.01) == ""
    assert VIP not in SHELL.sentence("lkclient", 0.01)


def test_steal_that_nobody_knows_is_not_told_as_a_figure():
    line = Noise(1.0, CLIENT, 10, 0, 0.0, -1.0, -1.0)
    found = timing_quality.judge_ticks(CLIENT, [line], 0.1)
    assert found.outcome is Outcome.PASS and "-100" not in found.reason and "not known" in found.reason


def test_the_inside_path_is_not_called_blind_where_nobody_can_capture():
    """It is skipped, with the reason; a capture that saw nothing would be another matter."""
    fixture = ClusterFixture(SimpleNamespace(cluster=SimpleNamespace(services=()), active=A, unwatchable=lambda: [A]), None, None, None)
    with pytest.raises(pytest.skip.Exception, match=f"without Python the packets of {A} cannot be watched"):
        fixture.inside_path_stays_inside(None)


OWN, OTHER = ADDRESSES[A][0], ADDRESSES[B][0]


def inside(sample: Sample, *more: CapturedPacket, events: tuple[NodeEvent, ...] = (), until: float = 12.0) -> str | None:
    """Which node an attempt from A reached, whose NICs were captured from 8 s to `until` and whose loopback interface was not."""
    return reached([sample], *more, events=events, until=until)[0]


def reached(
    samples: list[Sample], *more: CapturedPacket, events: tuple[NodeEvent, ...] = (), until: float = 12.0, kind: str = NEW
) -> list[str | None]:
    series = a_series(A, kind=kind)
    around = [CapturedPacket(at, A, "Ethernet", "syn", OTHER, 50000, OWN, LISTENER, False) for at in (8.0, until)]
    events = (NodeEvent(1.0, A, "no-loopback"), *events)
    clocks = [Clock(host, 0.0, 0.0, 0.001) for host in (CLIENT, A, B)]
    recording = Recording(a_header(series=(series,)), {series.id: samples}, [*around, *more], events=list(events), clocks=clocks)
    (found,) = attempt_attribution.trace(recording).values()
    return [one.node for one in found]


def test_what_no_nic_saw_leave_was_answered_inside():
    answered = Sample(10.0, 0.002, "answered", 40000)
    left = CapturedPacket(10.001, A, "Ethernet", "syn", OWN, 40000, VIP, LISTENER, True)
    assert inside(answered) == A and inside(answered._replace(outcome="refused")) == A
    assert inside(answered, left) is None  # it left, and no other node saw it
    assert inside(answered, left._replace(at=10.5)) is None  # stamped late
    assert inside(answered, left._replace(at=4.0)) == A  # the port's last use
    assert inside(answered, left, left._replace(host=B, outgoing=False, dst=OTHER)) == B


def test_a_kept_connection_is_where_it_was_opened():
    beats = [Sample(9.0 + i / 10, 0.0003, "answered", port) for i, port in enumerate([40000, 40000, 40001, 40001, 40002, 40002])]
    left = [CapturedPacket(9.2, A, "Ethernet", "syn", OWN, 40001, VIP, LISTENER, True)]
    assert reached(beats, *left, kind=PINNED) == [None, None, None, None, A, A]  # the first one is older than the recording
    beats[0] = beats[0]._replace(detail="reconnected because a recording began")
    assert reached(beats, *left, kind=PINNED) == [A, A, None, None, A, A]


def test_a_kept_connection_is_not_where_an_older_one_from_its_port_was():
    """Else a node that answers itself after a failover is taken for the one that is gone: two active nodes."""
    older = [
        CapturedPacket(8.5, A, "Ethernet", "syn", OWN, 40000, VIP, LISTENER, True),
        CapturedPacket(8.501, B, "Ethernet", "syn", OWN, 40000, OTHER, LISTENER, False),
        CapturedPacket(8.502, B, "Ethernet", "syn-ack", OTHER, LISTENER, OWN, 40000, True),
    ]
    beats = [Sample(10.0, 0.01, "answered", 40000, "reconnected"), Sample(10.1, 0.001, "answered", 40000)]
    assert reached(beats, *older, kind=PINNED) == [A, A]
    opened = CapturedPacket(10.001, A, "Ethernet", "syn", OWN, 40000, VIP, LISTENER, True)
    assert reached(beats, *older, opened, opened._replace(host=B, dst=OTHER, outgoing=False), kind=PINNED) == [B, B]


@pytest.mark.parametrize("outcome", ["silent", "unreachable", "skipped"])
def test_what_got_no_answer_may_have_been_dropped_before_it_could_leave(outcome):
    assert inside(Sample(10.0, 0.002, outcome, 40000)) is None


def test_a_capture_that_did_not_see_everything_then_proves_nothing():
    answered = Sample(10.0, 0.002, "answered", 40000)
    lost = (NodeEvent(9.5, A, "witness-lost", data={"from": 9.5}), NodeEvent(10.5, A, "witness-back", data={"from": 9.5, "until": 10.5}))
    assert inside(answered, events=lost) is None
    assert inside(answered, until=10.5) is None  # what is stamped then may have been sent before
    ended = NodeEvent(10.4, A, "witness-end", data={"from": 10.4})
    assert inside(answered, until=10.5, events=(ended,)) == A  # all of it was there by then
    assert inside(answered, until=10.5, events=(replace(ended, at=10.0),)) is None
    assert inside(answered._replace(port=0)) is None


def test_a_node_whose_packets_were_captured_is_not_one_that_nobody_saw():
    recording = replace(a_recording([], []), events=[NodeEvent(1.0, B, "coarse", "no log")])
    assert observation_gaps.unseen_nodes(recording) == [B]
    recording.events.append(NodeEvent(1.0, B, "no-loopback"))
    assert observation_gaps.unseen_nodes(recording) == []


def test_how_often_a_node_was_looked_at_is_what_its_agent_told():
    rows = [Sample(10.0, 0.003, "answered", 40000), Sample(11.0, 0.003, "answered", 40001)]
    looked = [(0.02, 0.1, 0.2), (0.01, 0.3, 0.1), (0.03, 0.05, 0.06)]
    events = [NodeEvent(10 + i, A, "looks", data={"every": a, "longest": b, "vip_longest": c}) for i, (a, b, c) in enumerate(looked)]
    recording = replace(a_recording(rows, [(10.001, A)]), events=events, complete=True, marks=[Mark(10.5, "begin")])
    assert observation_gaps.look_intervals(recording) == {A: (0.02, 0.3)}
    found = evaluate(recording)
    assert any("looked at every 20 ms, at worst after 300 ms" in note for note in found.notes)
    assert not any(text.startswith("looks") for _, _, text in found.log)
