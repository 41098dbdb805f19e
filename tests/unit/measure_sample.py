"""Measured disruptions made by hand, for the tests of what renders and compares them. Reproducible: the seed decides everything."""

from __future__ import annotations

import functools
import random
from dataclasses import replace
from typing import Any

import pytest

from harness.core.verdict import Verdict, failed, passed
from harness.measure.measurement_result import PHASES, Boundary, ChartRow, Measured, Outage, Segment, SeriesResult, TokenResult
from harness.report.record.measurement_record import CalibrationRecord, MeasurementRecord
from harness.report.run_record_builder import ReportBuilder

HOSTS = {"lkclient": "client", "lknode02": "inside", "lknode01": "standby"}
SERIES = (("listener", "new", 0.01), ("postgres", "new", 0.1), ("web", "new", 0.1), ("web", "pinned", 0.1))
ANCHOR = 1000.0
BUDGET = 6.0
NAMES = (
    "switchover",
    "failback",
    "service crash",
    "service hang",
    "manager crash",
    "node power loss",
    "node reboot",
    "node freeze",
    "one comm path cut",
    "all comm paths cut",
    "one-way cut",
    "probe responder crash",
    "probe blocked",
    "responder on both nodes",
    "IP resource lost",
    "NIC down, Subnet#1",
    "NIC down, Subnet#2",
    "shared disk full",
    "idle beyond the timeout",
    "none",
)


def a_measured(
    disruption: str = "switchover", *, out: float = 1.2, repeat: int = 0, seed: int = 1, text: str = "", flaps: int = 6, logs: int = 150
) -> Measured:
    """One disruption of lknode01 that puts every path out for about `out` seconds; `flaps` short refusals follow the silence."""
    dice = random.Random(seed)
    began = ANCHOR + 100 * seed
    steps = sorted(began + out * dice.uniform(0.05, 0.95) for _ in range(7))
    boundaries = [
        Boundary(name, at, f"lknode0{1 + i // 3} said so{text}", f"lknode0{1 + i // 3}")
        for i, (name, at) in enumerate(zip(PHASES, steps, strict=False))
    ]
    boundaries[2] = Boundary("vip moved", None, f"lknode02 could not be watched{text}", "")
    boundaries.append(Boundary("first answer", began + out, "lkclient/listener/new was answered by lknode02", "lkclient"))
    boundaries.append(Boundary("all recovered", began + out + 0.15, "the last of 12 series was answered by lknode02", "harness"))
    series = [
        _series(dice, host, path, *kind, began=began, out=out, flaps=flaps, text=text) for host, path in HOSTS.items() for kind in SERIES
    ]
    verdict = _verdict(max(t.recovered_after_s or 0.0 for t in series), disruption)
    return Measured(
        disruption=disruption,
        sentence=f"everything is moved from lknode01 to lknode02 by the cluster manager{text}",
        design="nat",
        target="lknode01",
        before="lknode01",
        after="lknode02",
        anchor=began,
        start=began - 1.5,
        end=began + out + 3,
        wall_minus_mono=1_780_000_000.0,
        budget_s=BUDGET,
        budget_because="takeover 3 s + probe 2 s + margin 1 s",
        series=series,
        boundaries=boundaries,
        chart_rows=_chart_rows(began, out, steps),
        log=_log(dice, began, out, logs, text),
        timing=passed("the meter measured a known cut within one period and no tick was late"),
        tokens=TokenResult(120, 96, [], [], [], passed("96 acknowledged tokens are there exactly once")),
        verdict=verdict,
        repeat=repeat,
        notes=[f"lknode01 could not capture packets{text}"] if text else [],
        observations=[f"lkclient's kernel itself gives up after 925 s or more{text}"] if disruption == "power loss" else [],
        expects={"client": "recovers", "inside": "recovers", "standby": "recovers"},
    )


def records(count: int, **how) -> list[MeasurementRecord]:
    """`count` different disruptions, each of its own test."""
    dice = random.Random(7)
    made = []
    for number in range(count):
        name = NAMES[number % len(NAMES)]
        measured = a_measured(name, out=dice.uniform(0.3, 5.0), seed=number + 1, **how)
        made.append(MeasurementRecord.of(measured, id=f"{number + 1:02d}-{name.replace(' ', '-')}", test=f"tests/a.py::test_{number}"))
    return made


def repeats(outs: list[float | None], disruption: str = "switchover", *, first: int = 1) -> list[MeasurementRecord]:
    """One disruption done once for every figure; None: the paths did not come back."""
    made = []
    for number, out in enumerate(outs):
        measured = a_measured(disruption, out=out or 5.5, repeat=number, seed=first + number, logs=20)
        all_series = [_that_was_out(series, out, disruption) for series in measured.series]
        measured = replace(measured, series=all_series, verdict=_verdict(out, disruption))
        made.append(MeasurementRecord.of(measured, id=f"{first + number:02d}-{disruption}", test="tests/a.py::test_repeats"))
    return made


@functools.cache
def once_worked_out(outs: tuple[float | None, ...], disruption: str = "switchover", **more: Any) -> list[MeasurementRecord]:
    """The same, for runs that are only written and read again: whoever changes one changes what it read."""
    return repeats(list(outs), disruption, **more)


def calibration(measured_s: float | None = 0.507) -> CalibrationRecord:
    verdict = passed("a cut of 0.500 s was measured within one period") if measured_s else failed("the meter did not see the cut")
    return CalibrationRecord(cut_s=0.5, measured_s=measured_s, period_s=0.01, verdict=verdict)


def add_to(builder: ReportBuilder, made: list[MeasurementRecord]) -> None:
    """Add measurements as a run does, each inside its test; but for the end they are not written, which takes most of the time."""
    store = builder._store
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builder, "_store", lambda: None)
        builder.calibration(calibration())
        for test in dict.fromkeys(record.test for record in made):
            builder.begin_test(test, f"Every path recovers from {test}")
            for record in made:
                if record.test == test:
                    builder.measurement(record)
            builder.end_test(passed("every path recovered"))
    store()


def _that_was_out(series: SeriesResult, out: float | None, disruption: str) -> SeriesResult:
    outages = [replace(outage, end=None) for outage in series.outages] if out is None else series.outages
    return replace(series, recovered_after_s=out, outages=outages, verdict=_verdict(out, disruption))


def _verdict(out: float | None, disruption: str) -> Verdict:
    if out is None:
        return failed(f"the client path did not recover from the {disruption}")
    return (passed if out <= BUDGET else failed)(f"every path had recovered {out:.2f} s after the {disruption}, {BUDGET:g} s allowed")


def _series(dice, host, path, service, kind, period, *, began, out, flaps, text) -> SeriesResult:
    start = began + dice.uniform(0.02, 0.1)
    end = began + out + dice.uniform(0, 0.12)
    silent_until = start + (end - start) * 0.7
    segments = [Segment(began - 1.5, start, "answered", "lknode01", 140), Segment(start, silent_until, "silent", None, 60)]
    at = silent_until
    for number in range(flaps):
        until = at + (end - silent_until) / flaps
        segments.append(Segment(at, until, ("refused", "reset", "unreachable")[number % 3], "lknode02" if number % 3 == 0 else None, 5))
        at = until
    segments.append(Segment(end, began + out + 3, "answered", "lknode02", 290))
    if service == "web" and kind == "new":
        segments[-1] = Segment(end, began + out + 2, "answered", "lknode02", 190)
        segments.append(Segment(began + out + 2, began + out + 3, "skipped", None, 90))
    outcomes = {"silent": 60, "refused": 10, "reset": 10}
    outage = Outage(
        f"{host}/{service}/{kind}", start, end, end - start, period, outcomes, {"lknode02": 10, "": 70}, f"nobody answered{text}"
    )
    recovered_after_s = round(end - began, 4)
    verdict = _verdict(recovered_after_s, "disruption")
    return SeriesResult(
        f"{host}/{service}/{kind}", path, host, service, kind, period, segments, [outage], recovered_after_s, verdict, attempts=490
    )


def _chart_rows(began: float, out: float, steps: list[float]) -> list[ChartRow]:
    start, end = began - 1.5, began + out + 3
    return [
        ChartRow("lknode01", [(start, end, "up")]),
        ChartRow("lknode02", [(start, began + 0.4, "up"), (began + 0.4, began + 0.5, "lost"), (began + 0.5, end, "up")]),
        ChartRow("VIP", [(start, steps[1], "lknode01"), (steps[1], steps[2], "nobody"), (steps[2], end, "lknode02")]),
        ChartRow("lknode02 services", [(start, steps[3], "none"), (steps[3], end, "listener, postgres, web")]),
        ChartRow("probe", [(start, steps[1], "lknode01"), (steps[4], end, "lknode02")]),
        ChartRow("balancer", [(start, steps[5], "lknode01"), (steps[5], end, "lknode02")]),
    ]


def _log(dice: random.Random, began: float, out: float, lines: int, text: str) -> list[tuple[float, str, str]]:
    said = [(began, "harness", "begin: switchover of lknode01"), (began + out + 1, "harness", f"whole{text}")]
    for number in range(lines):
        host = dice.choice(["lknode01", "lknode02"])
        at = dice.uniform(began - 1.5, began + out + 3)
        said.append(
            (at, host, f"lifekeeper[{1000 + number}]: NOTIFY:lcd.recover:resource ora-{number}: in service on {host}, step {number}{text}")
        )
    return sorted(said)
