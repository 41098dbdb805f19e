"""A measurement that noise spoiled is set aside and done again when the hosts are quiet; a verdict is never asked for twice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from recordings import CLIENT, a_switchover

from harness.core.verdict import Outcome, inconclusive, passed
from harness.measure.evaluation.recording_evaluation import evaluate
from harness.measure.evaluation.timing_quality import MIN_CALM_LINES, is_calm
from harness.measure.measured_disruption import Start
from harness.measure.measurement_result import Measured
from harness.pytest_plugin.measurement_plan import MeasurementOptions
from harness.pytest_plugin.measurement_session import MAX_TRIES, MeasurementSession
from harness.remote.recording.recording import Noise

QUIET = Noise(3.0, CLIENT, 100, 0, 0.001, 0.0, 0.1)


def noisy() -> Measured:
    recording = a_switchover()
    recording.noise.append(Noise(3.0, CLIENT, 100, 90, 0.3, 0.0, 1.0))
    return evaluate(recording)


def a_hiccup_before(*noise: Noise) -> Measured:
    recording = a_switchover()
    recording.noise += noise
    rows = recording.samples[recording.header.series[0].id]
    rows[50] = rows[50]._replace(outcome="silent", seconds=0.25)
    return evaluate(recording)


class Scripted(MeasurementSession):
    """The judged results are given; everything around them is the real thing."""

    def __init__(self, results: list[Measured], *, calibrated: bool = True) -> None:
        self.aside: list[str] = []
        self.waited = 0
        report: Any = SimpleNamespace(set_aside=self.aside.append, run=SimpleNamespace(note=lambda *_: None))
        subject: Any = None
        super().__init__(subject, report, MeasurementOptions(), None, None)
        self._results = iter(results)
        calibration: Any = SimpleNamespace(verdict=passed("checked") if calibrated else inconclusive("not checked"))
        self._calibration = calibration
        meter: Any = SimpleNamespace(wait_until_calm=self._count)
        self._meter = meter

    def _count(self, _deadline: object) -> None:
        self.waited += 1

    def _measure(self, *_: object) -> tuple[Measured, str]:
        return next(self._results), f"try {len(self.aside)}"

    def done(self) -> Measured:
        disruption: Any = lambda: None  # noqa: E731
        return self.measure(disruption, Start(repeat=0), test="a test")


def test_one_that_noise_spoiled_is_done_again_when_the_hosts_are_quiet():
    good = evaluate(a_switchover())
    measuring = Scripted([noisy(), noisy(), good])
    assert measuring.done() is good
    assert measuring.aside == ["try 0", "try 1"] and measuring.waited == 2


def test_one_before_which_a_path_was_out_is_done_again_only_where_its_host_was_noisy():
    good = evaluate(a_switchover())
    measuring = Scripted([a_hiccup_before(Noise(1.0, CLIENT, 100, 60, 0.3, 0.0, 1.0)), good])
    assert measuring.done() is good and measuring.aside == ["try 0"]
    flaps = a_hiccup_before()
    measuring = Scripted([flaps, good])
    assert measuring.done() is flaps and measuring.aside == []
    assert flaps.verdict.outcome is Outcome.INCONCLUSIVE and "out before the disruption already" in flaps.verdict.reason


def test_a_machine_that_stays_noisy_has_the_last_word():
    last = noisy()
    measuring = Scripted([*(noisy() for _ in range(MAX_TRIES - 1)), last])
    assert measuring.done() is last and len(measuring.aside) == MAX_TRIES - 1


@pytest.mark.parametrize("calibrated", [True, False])
def test_a_verdict_is_never_asked_for_twice(calibrated):
    late = evaluate(a_switchover(), budget_s=0.01)
    measuring = Scripted([late if calibrated else noisy()], calibrated=calibrated)
    measuring.done()
    assert measuring.aside == []


def test_a_host_is_calm_when_its_newest_seconds_all_were():
    late, stolen = Noise(3.0, CLIENT, 100, 50, 0.01, 0.0, 1.0), Noise(3.0, CLIENT, 100, 0, 0.0, 0.6, 1.0)
    assert is_calm(CLIENT, [late, *[QUIET] * MIN_CALM_LINES], 0.01)
    assert not is_calm(CLIENT, [QUIET] * (MIN_CALM_LINES - 1), 0.01)
    assert not is_calm(CLIENT, [QUIET, QUIET, late], 0.01) and not is_calm(CLIENT, [stolen, QUIET, QUIET], 0.01)
