"""Nights of runs for the tests of the history: run.json files as runs write them, without the runs."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from report_sample import a_cluster

from harness.history.nightly_lines import history
from harness.history.page.history_page import html
from harness.history.run_import import catch_up
from harness.history.store import FILE, Store
from harness.report.record.run_record import ClusterKind
from harness.report.record.series_record import SeriesRecord
from harness.report.run_record_builder import summarise_cluster

FIRST = datetime(2026, 1, 1, 2, 0, tzinfo=UTC)
PATHS = ("client", "inside", "standby")


def some_figures(values: list[float], *, path="client", disruption="switchover", budget=4.5, failed=0, kind="new", service="listener"):
    """The figures of one series of one night."""
    ordered = sorted(values)
    return SeriesRecord(
        disruption=disruption,
        design="nat",
        before="lknode01",
        target="lknode01",
        path=path,
        service=service,
        kind=kind,
        period_s=0.01,
        budget_s=budget,
        n=len(values),
        values_s=[round(v, 3) for v in values],
        outcomes={"pass": len(values) - failed, **({"fail": failed} if failed else {})},
        median_s=ordered[len(ordered) // 2],
        p95_s=ordered[-1],
        max_s=ordered[-1],
    )


def a_night(
    reports: Path, number: int, series: list[SeriesRecord], *, outcome="pass", heartbeat=0.2, harness="1.0", kernel="6.1", name="demo"
) -> Path:
    """One run's folder with nothing but its run.json."""
    at = FIRST + timedelta(days=number)
    cluster = summarise_cluster(a_cluster(name), ClusterKind.ATTACHED, active="lknode01")
    cluster.timers = {**cluster.timers, "manager.heartbeat_s": heartbeat}
    cluster.versions = {"lknode01": {"kernel": kernel, "LifeKeeper": "9.8"}, "lknode02": {"kernel": kernel, "LifeKeeper": "9.8"}}
    folder = reports / f"{at:%Y%m%dT%H%M%S}.000Z-{number & 0xFFFF:04x}"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(a_record(folder.name, at, cluster, series, outcome=outcome, harness=harness)))
    return folder


def a_record(run_id: str, at: datetime, cluster, series: list[SeriesRecord], *, outcome="pass", harness="1.0") -> dict[str, Any]:
    """The run.json of a run that ended."""
    moment = {"iso": at.isoformat().replace("+00:00", "Z"), "epoch": at.timestamp(), "at": 1.0}
    return {
        "schema_version": 2,
        "run_id": run_id,
        "state": "finished",
        "harness_version": harness,
        "command": ["pytest"],
        "started": moment,
        "ended": moment,
        "seconds": 100.0,
        "verdict": {"outcome": outcome, "reason": "all 4 executed tests passed" if outcome == "pass" else "1 of 4 tests failed"},
        "exit_code": 0 if outcome == "pass" else 1,
        "counts": {"passed": 4 if outcome == "pass" else 3, "failed": 0 if outcome == "pass" else 1},
        "cluster": cluster.model_dump(mode="json"),
        "series": [s.model_dump(mode="json") for s in series],
        "environment": {"python": "3.11", "platform": "Linux"},
    }


def a_night_without_figures(
    reports: Path, number: int, *, command: tuple[str, ...] = ("pytest", "tests/failover"), tests: tuple[str, ...] = (), state="unusable"
) -> Path:
    """One run's folder that measured nothing: by default its nodes could not be reached. `tests`: ids of those that it came to."""
    folder = a_night(reports, number, [], outcome="inconclusive")
    data = json.loads((folder / "run.json").read_text())
    moment, verdict = data["started"], {"outcome": "inconclusive", "reason": "lknode01 could not be reached"}
    made = [{"id": id, "title": "t", "started": moment, "verdict": verdict} for id in tests]
    data |= {"command": list(command), "state": state, "tests": made, "verdict": verdict, "exit_code": 3 if tests else 4}
    (folder / "run.json").write_text(json.dumps(data))
    return folder


def nights(
    reports: Path, count: int, *, series: int = 3, repeat: int = 4, slower_from: int | None = None, seed: int = 1, **changes
) -> list[Path]:
    """`count` nights of `series` series; from night `slower_from` on everything takes 0.5 s longer, and `changes` are in force."""
    dice = random.Random(seed)
    made = []
    for number in range(count):
        late = slower_from is not None and number >= slower_from
        found = []
        for index in range(series):
            base = 1.5 + 0.1 * index + (0.5 if late else 0.0)
            values = [base + dice.gauss(0, 0.08) for _ in range(repeat)]
            found.append(some_figures(values, path=PATHS[index % 3], disruption=f"disruption {index // 3 + 1}"))
        made.append(a_night(reports, number, found, **(changes if late else {})))
    return made


def write_page(reports: Path) -> Path:
    """The history of the nights there, and its page."""
    with Store(reports / FILE) as store:
        catch_up(reports, store)
        found = history(store.runs(), store.series(), store.points())
    page = reports / "index.html"
    page.write_text(html(found, {run.folder for run in found.runs[1:]}))
    return page
