"""What must not be compared is refused with the reason, and what one side does not know or did not measure is named. Pure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from gate_sample import a_measurement, a_whole_run

from harness.core.verdict import inconclusive
from harness.gate.gate_file import Gate, LoadedGate
from harness.gate.gate_verdict import judge_gate
from harness.report.record.measurement_record import MeasurementRecord
from harness.report.record.run_record import HostSummary, ProbeSummary, RunRecord, ServiceSummary
from harness.report.statistics.comparability import not_known_whether_comparable, why_not_comparable

OUT = [1.00, 1.02, 1.01, 1.03, 0.99, 1.04, 1.05, 0.98]
NODES = [HostSummary(name="a", address="10.0.0.1"), HostSummary(name="b", address="10.0.0.2")]


def a_repeat(out: float, before: str = "a") -> dict:
    boundaries = {"stopped": out / 4, "balancer switched": out / 2}
    return {"before": before, "paths": {"client": out, "inside": out + 0.01, "standby": out - 0.01}, "boundaries": boundaries}


def a_run(id: str, outs=OUT, disruption: str = "switchover", before: str = "a", **cluster) -> RunRecord:
    run = a_whole_run({"switchover": [a_repeat(out, before) for out in outs]}, id, 5.0)
    run.measurements = [
        a_measurement(a_repeat(out, before), number, disruption).model_copy(update={"id": f"{number:02d}-{disruption}"})
        for number, out in enumerate(outs)
    ]
    asked = {"nodes": NODES, "timers": {"manager.heartbeat_s": 5.0}, "versions": {"a": {"lifekeeper": "9.9.1", "kernel": "5.14"}}}
    return run.model_copy(update={"cluster": run.cluster.model_copy(update={**asked, **cluster})})


def gate_of(**parts) -> LoadedGate:
    return LoadedGate(gate=Gate.model_validate(parts), path=Path("gate.toml"), sha256="0" * 64)


def changed(record: MeasurementRecord, path: str, **series) -> MeasurementRecord:
    """The record with something else said of one path's series; None takes the series away."""
    kept = [s if s.path != path else replace(s, **series) for s in record.measured.series if series or s.path != path]
    return record.model_copy(update={"measured": replace(record.measured, series=kept)})


@pytest.mark.parametrize(
    ("cluster", "why"),
    [
        ({"vip": "10.20.1.201"}, "the cluster differs: 10.20.1.200 of a (10.0.0.1), b (10.0.0.2) and 10.20.1.201 of"),
        ({"nodes": [NODES[0], HostSummary(name="c", address="10.0.0.3")]}, "the cluster differs"),
        ({"nodes": NODES[::-1], "name": "other"}, ""),
        ({"timers": {"manager.heartbeat_s": 6.0}}, "the set-up differs: timer manager.heartbeat_s 5 → 6"),
        ({"versions": {"a": {"lifekeeper": "9.9.2"}}}, "the set-up differs: lifekeeper of a 9.9.1 → 9.9.2"),
        ({"versions": {"a": {"lifekeeper": "9.9.1", "kernel": "6.0"}}}, ""),
        ({"versions": {}}, ""),
        ({"probe": ProbeSummary(protocol="tcp", port=59999, interval_s=5.0, threshold=3)}, "the set-up differs: probe tcp every 5 s, 2"),
        ({"manager": "pacemaker"}, "the cluster manager differs: lifekeeper and pacemaker"),
        ({"kind": "attached"}, "what was measured differs: lab and attached"),
    ],
)
def test_another_cluster_or_set_up_is_no_baseline(cluster, why):
    changes = {**cluster, **({"kind": type(a_run("x").cluster.kind)(cluster["kind"])} if "kind" in cluster else {})}
    found = why_not_comparable(a_run("one"), a_run("other", **changes))
    assert len(found) == bool(why) and all(why in one for one in found), found


def test_another_kind_of_service_another_period_and_the_same_run_are_none():
    oracle, sql = ([ServiceSummary(name="db", kind=kind, port=1)] for kind in ("oracle", "sqlserver"))
    assert why_not_comparable(a_run("one", services=oracle), a_run("two", services=sql)) == [
        "the set-up differs: kind of db oracle → sqlserver"
    ]
    slow = a_run("other")
    slow.measurements[0] = changed(slow.measurements[0], "client", period_s=0.1)
    (why,) = why_not_comparable(a_run("one"), slow)
    assert why == "the meter's period differs for listener new: 0.01 s and 0.01 s, 0.1 s"
    assert why_not_comparable(a_run("one"), a_run("one")) == ["it is the same run twice, one"]


def test_a_version_that_one_night_could_not_be_asked_is_no_difference_and_is_named():
    asked, silent = a_run("one"), a_run("other", versions={})
    assert not_known_whether_comparable(asked, silent) == ["lifekeeper of a (one)"]
    said = judge_gate(gate_of(baseline={"last_good": 1}), silent, [asked])
    assert any(one.about == "slowdown: the baseline" and "lifekeeper of a (one)" in one.reason for one in said.findings)


def word(run: RunRecord, base=(), left_out=(), **parts):
    said = judge_gate(gate_of(**parts), run, base, left_out)
    return said.outcome, " | ".join(f"{one.about}: {one.reason}" for one in said.findings if one.outcome != "pass"), said


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"recovered_after_s": None, "outages": [], "unknown": "not measured for 35.00 s"}, "listener: not measured for 35.00 s"),
        ({}, "it was not measured on that path"),
    ],
)
def test_a_budget_is_not_kept_by_what_is_not_known(change, why):
    run = a_run("one")
    run.measurements[3] = changed(run.measurements[3], "client", **change)
    for path in ("client", "*"):
        outcome, reason, _ = word(run, budget=[{"path": path, "seconds": 9}])
        assert outcome == "refused" and f"not known, first 03-switchover, client path: {why}" in reason, reason
    assert word(run, budget=[{"path": "inside", "seconds": 9}])[0] == "pass"
    assert word(run, budget=[{"path": "client", "seconds": 1.02}])[0] == "fail"  # what was seen stands
    assert word(run, budget=[{"disruption": "power loss", "seconds": 9}])[0] == "refused"


def test_a_series_that_is_not_known_is_not_hidden_by_a_path_that_has_another():
    run = a_run("one")
    one = run.measurements[2]
    web = replace(one.measured.series[0], service="web", recovered_after_s=None, outages=[], unknown="not measured for 9.00 s")
    run.measurements[2] = one.model_copy(update={"measured": replace(one.measured, series=[*one.measured.series, web])})
    outcome, reason, _ = word(run, budget=[{"path": "client", "seconds": 9}])
    assert outcome == "refused" and "1 of 9 figures not known, first 02-switchover, client path: web: not measured for 9.00 s" in reason
    _, reason, _ = word(run, [a_run("base")], baseline={"last_good": 1})
    assert "8 repeats of the baseline against 7" in reason and "1 more repeat of the run without a figure" in reason


def test_a_phase_that_nobody_saw_or_a_figure_without_timing_keeps_no_budget():
    run = a_run("one")
    run.measurements = [MeasurementRecord.of(one.measured, id=one.id, test="t") for one in run.measurements]
    phase = {"phase": "stopped", "seconds": 9}
    assert word(run, budget=[phase])[0] == "pass"
    blind = run.measurements[5]
    run.measurements[5] = MeasurementRecord.of(replace(blind.measured, boundaries=blind.measured.boundaries[1:]), id=blind.id, test="t")
    outcome, reason, _ = word(run, budget=[phase])
    assert outcome == "refused" and "05-switchover, client path: nobody saw 'stopped'" in reason
    late = a_run("two")
    measured = replace(late.measurements[1].measured, timing=inconclusive("the ticks came late"))
    late.measurements[1] = late.measurements[1].model_copy(update={"measured": measured})
    assert "its timing could not be relied on: the ticks came late" in word(late, budget=[{"seconds": 9}])[1]


def test_what_only_one_side_measured_is_named():
    base, run = a_run("base"), a_run("run")
    base.measurements += a_run("x", disruption="power loss").measurements
    outcome, reason, _ = word(run, [base], baseline={"last_good": 1})
    assert outcome == "refused" and "slowdown: power loss: the baseline measured it, this run did not" in reason
    outcome, _, said = word(run, [base], baseline={"last_good": 1}, disruptions=["switchover"])
    assert outcome == "pass" and "slowdown: power loss" in [one.about for one in said.findings]
    assert "slowdown: power loss: this run measured it, the baseline did not" in word(base, [run], baseline={"last_good": 1})[1]
    base.measurements = a_run("x").measurements + a_run("x", before="b").measurements
    said = word(run, [base], baseline={"last_good": 1})[2]
    assert any("from b only the baseline measured it" in one.reason for one in said.findings)
    outcome, reason, _ = word(run, [], ["night 1: it did not pass", "night 2: it did not pass"], baseline={"last_good": 1})
    assert outcome == "refused" and "2 runs left out, first night 1: it did not pass" in reason
