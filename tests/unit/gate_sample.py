"""Whole runs out of the figures that were measured on the lab (gate_figures.json), for measuring the gate. Pure."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.core.verdict import passed
from harness.gate.gate_file import Gate, LoadedGate
from harness.gate.gate_verdict import judge_gate
from harness.measure.measurement_result import Boundary, Measured, Outage, SeriesResult
from harness.report.record.gate_record import GateRecord
from harness.report.record.measurement_record import MeasurementRecord
from harness.report.record.run_record import (
    ClusterKind,
    ClusterSummary,
    Counts,
    HostSummary,
    Judgement,
    Moment,
    ProbeSummary,
    RunRecord,
    RunState,
    TestRecord,
)

FIGURES = json.loads((Path(__file__).with_name("gate_figures.json")).read_text())
NIGHT = 8
"""Repeats of one night, and of the run that is judged."""
GATE = LoadedGate(gate=Gate.model_validate({"baseline": {"last_good": 10}}), path=Path("gate.toml"), sha256="0" * 64)
ANCHOR = 1000.0
HOSTS = {"client": "lkclient", "inside": "lknode02", "standby": "lknode01"}

Repeat = Mapping[str, Any]
"""As in gate_figures.json: `before`, seconds until each of `paths` was right, and of each of `boundaries`."""


def later(repeat: Repeat, seconds: float, boundary: str = "") -> Repeat:
    """The repeat with everything from one boundary on made later; without one, only the paths, all of them."""
    at = repeat["boundaries"].get(boundary, float("inf"))
    moved = {name: when + seconds if when >= at else when for name, when in repeat["boundaries"].items()}
    return {**repeat, "boundaries": moved, "paths": {path: out + seconds for path, out in repeat["paths"].items()}}


@functools.cache
def _verdict() -> Any:
    return passed("in time")


def a_measurement(repeat: Repeat, number: int, disruption: str = "switchover") -> MeasurementRecord:
    """One repeat as run.json has it, with what the gate looks at."""
    series = [
        SeriesResult(
            f"{HOSTS[path]}/listener/new",
            path,
            HOSTS[path],
            "listener",
            "new",
            0.01,
            [],
            [Outage("", ANCHOR, ANCHOR + out, out, 0.01, {}, {}, "out")],
            out,
            _verdict(),
        )
        for path, out in repeat["paths"].items()
    ]
    measured = Measured(
        disruption=disruption,
        sentence="",
        design="nat",
        target=repeat["before"],
        before=repeat["before"],
        after=None,
        anchor=ANCHOR,
        start=ANCHOR - 1,
        end=ANCHOR + max(repeat["paths"].values()) + 3,
        wall_minus_mono=0.0,
        budget_s=60.0,
        budget_because="",
        series=series,
        boundaries=[Boundary(name, ANCHOR + at, "seen") for name, at in repeat["boundaries"].items()],
        chart_rows=[],
        log=[],
        timing=_verdict(),
        tokens=None,
        verdict=_verdict(),
        expects=dict.fromkeys(repeat["paths"], "recovers"),
    )
    return MeasurementRecord.model_construct(id=f"{number:02d}-{disruption}", recording="", test="t", measured=measured, phases=[])


def a_whole_run(repeats: Sequence[Repeat], id: str, probe_interval_s: float) -> RunRecord:
    """A finished run that passed."""
    moment = Moment(iso="2026-11-29T01:00:00Z", epoch=1.8e9, at=1.0)
    said = Judgement(outcome="pass", reason="every path had recovered")
    cluster = ClusterSummary.model_construct(
        name="lab",
        kind=ClusterKind.LAB,
        design="nat",
        vip="10.20.1.200",
        client=HostSummary(name="lkclient", address="10.20.1.20"),
        nodes=[],
        services=[],
        probe=ProbeSummary(protocol="tcp", port=59999, interval_s=probe_interval_s, threshold=2),
        timers={},
        manager="lifekeeper",
        versions={},
        file_sha256="",
    )
    return RunRecord.model_construct(
        run_id=id,
        state=RunState.FINISHED,
        state_reason="",
        started=moment,
        verdict=said,
        exit_code=0,
        counts=Counts(passed=1),
        cluster=cluster,
        tests=[TestRecord.model_construct(id="t", title="t", started=moment, verdict=said, disruptions=[], checks=[])],
        audits=[],
        measurements=[a_measurement(one, number) for number, one in enumerate(repeats)],
        set_aside=[],
        causes=[],
        host_notes=[],
        evidence_faults=[],
        gate=None,
    )


def word_on_a_split(profile: str, dice: random.Random, seconds: float = 0.0, boundary: str = "") -> GateRecord:
    """The whole gate's word on eight random repeats, four of each direction, held against the rest as nights of eight."""
    pool, interval = FIGURES[profile]["disruptions"]["switchover"], FIGURES[profile]["probe_interval_s"]
    taken: set[int] = set()
    for direction in sorted({one["before"] for one in pool}):
        those = [number for number, one in enumerate(pool) if one["before"] == direction]
        taken |= set(dice.sample(those, NIGHT // 2))
    rest = [one for number, one in enumerate(pool) if number not in taken]
    dice.shuffle(rest)
    now = [later(one, seconds, boundary) if seconds else one for number, one in enumerate(pool) if number in taken]
    nights = [rest[begin : begin + NIGHT] for begin in range(0, len(rest), NIGHT)]
    baseline = [a_whole_run(night, f"night {number}", interval) for number, night in enumerate(nights)]
    return judge_gate(GATE, a_whole_run(now, "tonight", interval), baseline)


def share_failed(profile: str, splits: int, seconds: float = 0.0, boundary: str = "", seed: int = 1) -> float:
    """How many of so many splits the gate fails."""
    dice = random.Random(seed)
    return sum(word_on_a_split(profile, dice, seconds, boundary).outcome == "fail" for _ in range(splits)) / splits
