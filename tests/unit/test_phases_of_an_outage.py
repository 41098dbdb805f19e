"""Phases and chart rows: each boundary with its evidence, or with the reason why there is none."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import LISTENER, A, B, Script, a_header, a_switchover, marks, play

from harness.measure.evaluation.outage_phases import STILL_OUT, stack
from harness.measure.evaluation.recording_evaluation import evaluate
from harness.measure.measurement_result import PHASES, Boundary, Outage
from harness.remote.recording.recording import NodeEvent


def an_outage(start: float, seconds: float, *, ends: bool = True) -> Outage:
    return Outage("t", start, start + seconds if ends else None, seconds, 0.01, {"silent": 1}, {}, "out")


def boundaries_of(recording) -> dict[str, Boundary]:
    found = evaluate(recording).boundaries
    assert tuple(b.name for b in found) == PHASES
    return {b.name: b for b in found}


def test_every_boundary_of_a_switchover_is_where_its_evidence_is():
    found = boundaries_of(a_switchover())
    # the first answer is that of a path from outside, so it cannot come before the balancer has switched
    seen = [name for name in PHASES if name != "database ready"]  # no database said anything of the kind
    assert found["database ready"].at is None and "no database was seen to recover" in found["database ready"].evidence
    for name, at in zip(seen, (2.1, 2.6, 3.1, 3.2, 3.3, 3.7, 3.7, 3.7), strict=True):
        assert found[name].at == pytest.approx(at, abs=0.011), found[name]
    assert not [note for note in evaluate(a_switchover()).notes if "came before" in note]
    assert found["stopped"].source == A and found["vip moved"].source == B


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("noticed", "log", "no log line"),
        ("stopped", "vip-down", "VIP was not seen to go"),
        ("vip moved", "vip-up", "was not seen to appear"),
        ("service up", "listener-up", "not seen to begin listening"),
    ],
)
def test_without_evidence_a_boundary_is_not_observed(name, kind, said):
    recording = a_switchover()
    recording.events = [e for e in recording.events if e.kind != kind]
    found = boundaries_of(recording)
    assert found[name].at is None and found[name].evidence.startswith("not observed") and said in found[name].evidence
    assert found["all recovered"].at is not None


def test_without_packets_probe_and_balancer_are_not_observed():
    recording = a_switchover()
    recording.sightings = [s for s in recording.sightings if s.host != B]
    recording.events.append(NodeEvent(0.0, B, "no-capture", "not allowed"))
    found = boundaries_of(recording)
    assert found["probe answered"].at is None and "could not capture" in found["probe answered"].evidence
    assert found["balancer switched"].at is None


def test_another_order_is_told_as_it_was_seen():
    recording = a_switchover()
    recording.events = [e for e in recording.events if e.kind not in ("vip-down", "vip-up")]
    recording.events += [NodeEvent(3.05, A, "vip-down"), NodeEvent(3.01, B, "vip-up")]
    result = evaluate(recording)
    assert next(b.at for b in result.boundaries if b.name == "stopped") == 3.05
    assert "“vip moved” came before “stopped”: +1.010 s and +1.050 s" in result.notes


def test_a_service_that_is_mended_where_it_was():
    script = Script([(0, A)], [(0, A)], refusing=[(2.0, 3.0, A)])
    recording = marks(play(a_header(moves=None), script, end=6.0), begin=2.0)
    recording.events += [
        NodeEvent(2.0, A, "listener-down", data={"port": LISTENER}),
        NodeEvent(2.4, A, "log", "quickCheck failed", {"means": "noticed"}),
        NodeEvent(3.0, A, "listener-up", data={"port": LISTENER}),
    ]
    found = boundaries_of(recording)
    seen = {name: b.at for name, b in found.items() if b.at is not None}
    assert seen.keys() == {"noticed", "stopped", "service up", "first answer", "all recovered"}
    assert seen["first answer"] == pytest.approx(3.0, abs=0.02)
    assert found["vip moved"].evidence == "not observed: nothing moved"
    result = evaluate(recording)
    for series in result.series:  # also from the standby node, which sees its own SYN leave
        assert series.outages[0].outcomes.keys() == {"refused"} and f"all reached {A}" in series.outages[0].reason


def test_a_stack_is_cut_at_the_boundaries_inside_the_outage_only():
    seen = [Boundary(name, at, "") for name, at in (("noticed", 0.5), ("stopped", None), ("vip moved", 1.5), ("first answer", 3.1))]
    pieces = stack(seen, an_outage(1.0, 2.0))
    assert pieces == [("vip moved", pytest.approx(0.5)), ("first answer", pytest.approx(1.5))]
    assert stack([], an_outage(1.0, 2.0)) == [("all recovered", 2.0)]
    assert stack(seen[:3], an_outage(1.0, 2.0, ends=False))[-1] == (STILL_OUT, pytest.approx(1.5))


@given(st.lists(st.none() | st.floats(-5, 20), min_size=9, max_size=9), st.floats(0, 10), st.floats(0.001, 10))
def test_a_stack_adds_up_to_its_outage(times, start, seconds):
    pieces = stack([Boundary(name, at, "") for name, at in zip(PHASES, times, strict=True)], an_outage(start, seconds))
    assert sum(length for _, length in pieces) == pytest.approx(seconds) and all(length >= -1e-9 for _, length in pieces)


def test_chart_rows():
    recording = a_switchover()
    chart_rows = {
        chart_row.name: [(state, round(start, 1)) for start, _, state in chart_row.spans] for chart_row in evaluate(recording).chart_rows
    }
    assert chart_rows["VIP"] == [(A, 0.0), ("nobody", 2.6), (B, 3.1)]
    assert chart_rows["balancer"][-3:] == [(A, 0.0), ("nobody", 2.5), (B, 3.7)]
    assert chart_rows["probe"] == [("unknown", 0.0), (B, 3.3)]
    assert chart_rows[f"{A} services"] == [("listener", 0.0), ("none", 2.5)]
    assert chart_rows[f"{B} services"] == [("unknown", 0.0), ("listener", 3.2)]
    assert chart_rows[A][-1][0] == "up"
    for chart_row in evaluate(recording).chart_rows:
        assert all(a[1] == b[0] for a, b in pairwise(chart_row.spans))
