"""What begins a series of its own in the history, and what must not: each clause of what makes figures comparable, against the code."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from measure_sample import a_measured
from report_sample import a_cluster

from harness.config import cluster_config
from harness.core.verdict import failed
from harness.expectations import outage_budget
from harness.history.nightly_lines import Line, history
from harness.history.run_entry import RunHead, entry_of
from harness.history.stored_rows import StoredPoint, StoredRun, StoredSeries
from harness.lab.lifecycle import default_cluster
from harness.report.record.measurement_record import MeasurementRecord
from harness.report.record.run_record import (
    AuditRecord,
    CauseRecord,
    ClusterKind,
    HostNote,
    HostSummary,
    Judgement,
    Moment,
    RunRecord,
    ServiceSummary,
)
from harness.report.run_record_builder import summarise_cluster
from harness.report.statistics.series_figures import series_of
from harness.report.statistics.series_identity import changes, set_up_of

MEASURED = sorted({series.service for series in a_measured("switchover").series})
CLUSTER = summarise_cluster(a_cluster(), ClusterKind.ATTACHED)
CLUSTER.services = [ServiceSummary(name=name, kind="http", port=80) for name in MEASURED]
VERSIONS = {"lknode01": {"kernel": "6.1", "steeleye-lk": "9.8"}, "lknode02": {"kernel": "6.1", "steeleye-lk": "9.8"}}
Change = Callable[[RunRecord], object]


def a_run(number: int, *changes_made: Change) -> RunRecord:
    """One night with one measured switchover."""
    run = RunRecord.model_validate(
        {
            "run_id": f"2026010{number}T020000.000Z-0000",
            "state": "finished",
            "harness_version": "1.0",
            "command": ["pytest"],
            "started": Moment.now(),
            "verdict": {"outcome": "pass", "reason": "fine"},
            "exit_code": 0,
            "cluster": CLUSTER.model_copy(deep=True, update={"versions": VERSIONS, "file_sha256": "0" * 64}),
            "environment": {"python": "3.11", "platform": "Linux"},
        }
    )
    run.measurements = [a_record("switchover")]
    for change in changes_made:
        change(run)
    run.series = series_of(run)
    return run


def a_record(disruption: str, **changed: Any) -> MeasurementRecord:
    return MeasurementRecord.of(replace(a_measured(disruption), **changed), id=f"01-{disruption}", test="t")


def lines_of(*runs: RunRecord) -> list[Line]:
    """The history of these nights."""
    entries = [entry_of(run.run_id, "", RunHead.model_validate(run.model_dump(mode="json"), extra="ignore")) for run in runs]
    stored = [
        StoredRun(e.folder, e.folder, "", n, "2026-01-01", 1.0, "pass", "", 0, "finished", e.cluster, "x", "lab", {}, e.context)
        for n, e in enumerate(entries)
    ]
    points = [(e.folder, p) for e in entries for p in e.points]
    series = {p.series: StoredSeries(p.series, p.line, p.identity) for _, p in points}
    stored_points = [StoredPoint(folder, p.series, p.figures.model_dump(exclude_defaults=True)) for folder, p in points]
    return [line for cluster in history(stored, series.values(), stored_points).clusters for line in cluster.lines]


def of_cluster(**changed: Any) -> Change:
    def change(run: RunRecord) -> None:
        assert run.cluster is not None
        run.cluster = run.cluster.model_copy(update=changed)

    return change


def of_series(**changed: Callable[[Any], Any]) -> Change:
    def change(run: RunRecord) -> None:
        measured = run.measurements[0].measured
        series = [replace(s, **{name: make(getattr(s, name)) for name, make in changed.items()}) for s in measured.series]
        run.measurements = [a_record("switchover", series=series)]

    return change


BEGINS_A_SERIES: dict[str, tuple[Change, str]] = {
    "manager": (of_cluster(manager="pacemaker"), "manager lifekeeper → pacemaker"),
    "version": (
        of_cluster(versions={**VERSIONS, "lknode02": {"kernel": "6.1", "steeleye-lk": "9.9"}}),
        "steeleye-lk of lknode02 9.8 → 9.9",
    ),
    "design": (lambda run: setattr(run, "measurements", [a_record("switchover", design="floating")]), "design nat → floating"),
    "probe": (
        of_cluster(probe=CLUSTER.probe.model_copy(update={"interval_s": 15.0})),
        " in a row → tcp every 15 s, ",
    ),
    "heartbeats missed": (of_cluster(heartbeats_missed=9), "heartbeats missed 3 → 9"),
    "meter period": (of_series(period_s=lambda period: period * 5), "meter period 0."),
    "kind of service": (
        of_cluster(services=[service.model_copy(update={"kind": "other"}) for service in CLUSTER.services]),
        " → other",
    ),
    **{
        f"timer {name}": (of_cluster(timers={**CLUSTER.timers, name: value + 1.5}), f"timer {name} {value:g} → {value + 1.5:g}")
        for name, value in CLUSTER.timers.items()
    },
}


@pytest.mark.parametrize("name", BEGINS_A_SERIES)
def test_what_makes_figures_another_thing_begins_a_series_and_is_named(name: str) -> None:
    change, named = BEGINS_A_SERIES[name]
    lines = lines_of(a_run(1), a_run(2), a_run(3, change), a_run(4, change))
    assert lines
    for line in lines:
        (point,) = line.change_points
        assert point.run == 2 and point.new_series and any(named in reason for reason in point.because), (line.name, point)
        assert len({column.series for column in line.columns[:2]}) == 1 == len({column.series for column in line.columns[2:]})
        assert line.columns[1].series != line.columns[2].series


def more_tests(run: RunRecord) -> None:
    run.measurements += [a_record("power loss", before="lknode02", target="lknode02"), a_record("service crash", before="lknode02")]


def findings(run: RunRecord) -> None:
    run.causes = [CauseRecord(says="the manager was restarted 4 times", host="lknode01", certainty="certain", do="look")]
    run.host_notes = [HostNote(host="lknode01", text="the manager was restarted 4 times")]
    run.audits = [AuditRecord(name="the cluster is healthy", verdict=Judgement.of(failed("not whole")))]


BEGINS_NONE: dict[str, Change] = {
    "other disruptions in the run": more_tests,
    "findings, causes and audits": findings,
    "more repeats": lambda run: setattr(run, "measurements", run.measurements * 3),
    "an outage": lambda run: setattr(run, "measurements", [a_record("switchover", verdict=failed("out for long"))]),
    "the harness": lambda run: setattr(run, "harness_version", "2.0"),
    "a kernel": of_cluster(versions={**VERSIONS, "lknode01": {"kernel": "7.0", "steeleye-lk": "9.8"}}),
    "the cluster file": of_cluster(file_sha256="1" * 64),
    "the file's name": of_cluster(name="other"),
    "the order of nodes": of_cluster(nodes=CLUSTER.nodes[::-1]),
    "the client": of_cluster(client=HostSummary(name="other", address="10.20.1.99")),
    "the active node at the start": of_cluster(active_at_start="lknode02"),
    "the command": lambda run: setattr(run, "command", ["pytest", "-x"]),
    "versions that were not asked": of_cluster(versions={}),
    "a run of before, which knows fewer timers": of_cluster(timers={}, heartbeats_missed=None),
    "how it ended": lambda run: setattr(run, "exit_code", 1),
}


@pytest.mark.parametrize("name", BEGINS_NONE)
def test_what_leaves_figures_what_they_were_begins_no_series(name: str) -> None:
    lines = lines_of(a_run(1), a_run(2), a_run(3, BEGINS_NONE[name]), a_run(4))
    followed = [line for line in lines if line.disruption == "switchover"]
    assert len(followed) == len(lines_of(a_run(1))) and len(lines) >= len(followed)
    for line in followed:
        assert [column.run for column in line.columns] == [0, 1, 2, 3] and not line.change_points, (line.name, line.change_points)
        assert len({column.series for column in line.columns}) == 1


@pytest.mark.parametrize(
    "change",
    [
        of_cluster(vip="10.20.1.201"),
        of_cluster(nodes=[CLUSTER.nodes[0], HostSummary(name="lknode03", address="10.20.1.13")]),
        of_cluster(kind=ClusterKind.LAB),
        lambda run: setattr(run, "measurements", [a_record("power loss")]),
        lambda run: setattr(run, "measurements", [a_record("switchover", before="lknode02", target="lknode02")]),
        of_series(service="other {}".format),
    ],
    ids=["frontend", "node", "lab", "disruption", "direction", "service"],
)
def test_what_is_another_thing_altogether_is_another_line(change: Change) -> None:
    lines = lines_of(a_run(1), a_run(2, change))
    assert all(len(line.columns) == 1 for line in lines) and len(lines) == 2 * len(lines_of(a_run(1)))


def numbers_of(table: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The places of all numbers in a cluster file's data."""
    found = []
    for key, value in table.items():
        if isinstance(value, dict):
            found += numbers_of(value, (*path, key))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.append((*path, key))
    return found


def test_every_number_that_a_budget_follows_from_begins_a_series() -> None:
    """Whatever of the cluster file moves any budget must be among what is compared."""
    data = cluster_config.parse(default_cluster.cluster_data(None, {}), Path("x")).model_dump(mode="json", exclude={"lab"})
    data["manager"] |= {"hc_timeout_s": 9.0, "check_limit_s": 20.0}
    data["budget"]["recovery_s"] = 3.0
    functions = [value for _, value in inspect.getmembers(outage_budget, inspect.isfunction) if value.__module__ == outage_budget.__name__]
    budgets = [function for function in functions if not function.__name__.startswith("_")]
    before = cluster_config.Cluster.model_validate(data)
    moved = set()
    for section in ("manager", "load_balancer", "budget"):
        for path in numbers_of(data[section], (section,)):
            changed = before.model_dump(mode="json")
            table = changed
            for key in path[:-1]:
                table = table[key]
            table[path[-1]] += 1
            after = cluster_config.Cluster.model_validate(changed)
            if any(budget(before) != budget(after) for budget in budgets):
                moved.add(path[-1])
                set_ups = [set_up_of(summarise_cluster(cluster, ClusterKind.LAB)) for cluster in (before, after)]
                assert changes(*set_ups), f"{'.'.join(path)} moves a budget and begins no series"
    assert {"heartbeats_missed", "hc_timeout_s", "check_limit_s", "recovery_s", "threshold", "takeover_s"} <= moved


def test_a_recovery_time_that_is_asked_for_later_is_a_change() -> None:
    data = default_cluster.cluster_data(None, {})
    with_none, later = (
        cluster_config.parse(default_cluster.merge_tables(data, {"budget": {"recovery_s": value}}), Path("x")) for value in (0.0, 30.0)
    )
    set_ups = [set_up_of(summarise_cluster(cluster, ClusterKind.LAB)) for cluster in (with_none, later)]
    assert changes(*set_ups) == ["timer budget.recovery_s 0 → 30"]
