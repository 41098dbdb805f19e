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
from harness.measure.measurement_result import PHASES, Boundary, Measured, Outage, SeriesResult
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
NAMES = ["switchover", *(f"disruption {number}" for number in range(2, 23))]
"""As many as there are."""
NIGHT = 8
"""Repeats of one night, and of the run that is judged."""
ANCHOR = 1000.0
HOSTS = {"client": "lkclient", "inside": "lknode02", "standby": "lknode01"}

Repeat = Mapping[str, Any]
"""As in gate_figures.json: `before`, seconds until each of `paths` was right, and of each of `boundaries`."""


SHOWN_BY = {"database ready": "first answer"}
"""What is later where a moment is later that nobody saw in that repeat: nothing answers before the database is ready."""


def later(repeat: Repeat, seconds: float, boundary: str = "") -> Repeat:
    """The repeat with everything from one boundary on made later; without one, only the paths, all of them.

    Of two that were seen in one millisecond the first of `PHASES` is the cause, and stays.
    """
    seen = boundary if boundary in repeat["boundaries"] else SHOWN_BY.get(boundary, boundary)
    order = {name: (when, PHASES.index(name)) for name, when in repeat["boundaries"].items()}
    since = order.get(seen, (float("inf"), 0))
    moved = {name: when + seconds if order[name] >= since else when for name, when in repeat["boundaries"].items()}
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


def a_whole_run(repeats: Mapping[str, Sequence[Repeat]], id: str, probe_interval_s: float) -> RunRecord:
    """A finished run that passed, with the repeats of each disruption."""
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
        measurements=[a_measurement(one, number, name) for name, those in repeats.items() for number, one in enumerate(those)],
        set_aside=[],
        causes=[],
        host_notes=[],
        evidence_faults=[],
        gate=None,
    )


Repeats = Mapping[str, Sequence[Repeat]]
"""By disruption."""


def word_on(now: Repeats, rest: Repeats, interval: float, false_alarms: float = 0.02) -> GateRecord:
    """The whole gate's word on these repeats, held against the rest as nights of eight."""
    last = max(len(repeats) for repeats in rest.values())
    nights = [{name: those[begin : begin + NIGHT] for name, those in rest.items()} for begin in range(0, last, NIGHT)]
    baseline = [a_whole_run(night, f"night {number}", interval) for number, night in enumerate(nights)]
    demands = {"baseline": {"last_good": 10}, "slowdown": {"false_alarms": false_alarms}}
    gate = LoadedGate(gate=Gate.model_validate(demands), path=Path("gate.toml"), sha256="0" * 64)
    return judge_gate(gate, a_whole_run(now, "tonight", interval), baseline)


def dealt(pool: Sequence[Repeat], dice: random.Random) -> tuple[list[Repeat], list[Repeat]]:
    """A random night, four repeats of each direction, and the rest in a random order."""
    taken: set[int] = set()
    for direction in sorted({one["before"] for one in pool}):
        those = [number for number, one in enumerate(pool) if one["before"] == direction]
        taken |= set(dice.sample(those, NIGHT // 2))
    rest = [one for number, one in enumerate(pool) if number not in taken]
    dice.shuffle(rest)
    return [one for number, one in enumerate(pool) if number in taken], rest


def word_on_a_split(
    profile: str, dice: random.Random, seconds: float = 0.0, boundary: str = "", *, disruptions: int = 1, false_alarms: float = 0.02
) -> GateRecord:
    """The gate's word on a random night of each disruption. All have the same measured repeats, each dealt by itself; the first is slower,
    by `seconds`."""
    now: dict[str, list[Repeat]] = {}
    rest: dict[str, list[Repeat]] = {}
    for name in NAMES[:disruptions]:
        now[name], rest[name] = dealt(FIGURES[profile]["disruptions"]["switchover"], dice)
    if seconds:
        now[NAMES[0]] = [later(one, seconds, boundary) for one in now[NAMES[0]]]
    return word_on(now, rest, FIGURES[profile]["probe_interval_s"], false_alarms)


def share(outcome: str, profile: str, splits: int, seconds: float = 0.0, boundary: str = "", **more: Any) -> float:
    """Of how many of so many splits the gate says that; `more` as of `word_on_a_split`."""
    dice = random.Random(1)
    return sum(word_on_a_split(profile, dice, seconds, boundary, **more).outcome == outcome for _ in range(splits)) / splits
