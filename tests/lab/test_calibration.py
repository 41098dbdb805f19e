"""The meter's check of itself: right on a lab by either kind of cut, and a meter that does not keep what it says is found out."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.config import cluster_config
from harness.core.timeline import Timeline
from harness.core.verdict import Outcome
from harness.lab.lifecycle import default_cluster, launch
from harness.measure.calibration import Calibration, calibrate, judge
from harness.remote.recording.recording import NEW, Sample, Series

PERIOD_S = 0.01
SERIES = Series("lkclient/listener/calibration", "lkclient", "listener", NEW, 1521, PERIOD_S, 0.25)
BEGUN, ENDED = 100.004, 100.304  # between two attempts


@pytest.fixture(scope="module")
def lab() -> Iterator[launch.RunningLab]:
    data = default_cluster.cluster_data(overrides={"services": default_cluster.DEFAULT_CLUSTER["services"][:1]})
    running = launch.up(data, name=f"calibration-{os.getpid()}", persistent=False)
    yield running
    running.down()


@pytest.fixture(scope="module")
def subject(lab) -> Iterator[ClusterUnderTest]:
    made = ClusterUnderTest(cluster_config.load(lab.cluster_file), Timeline())
    yield made
    made.close()


@pytest.mark.timing
@pytest.mark.parametrize("by_the_lab", [True, False], ids=["links", "loopback"])
def test_a_known_cut_is_measured_within_a_period(lab, subject, by_the_lab):
    """It tries again by itself where attempts came late, and nowhere else."""
    found = calibrate(subject, period_s=PERIOD_S, cut=lab.known_cut if by_the_lab else None)
    assert found.verdict.outcome is Outcome.PASS, found.verdict
    assert found.measured_s is not None and abs(found.measured_s - found.cut_s) <= PERIOD_S + 0.001
    assert found.cut_s >= 0.3


def a_meter(*, every: float = PERIOD_S, shifted: float = 0.0, without: range = range(0), late: float = 0.0) -> list[Sample]:
    """A second's attempts around the cut as a meter would tell them: `shifted` in time, only `every` so many seconds, `without` some
    of those that failed, or noticing `late` that they are answered again."""
    samples = []
    for number in range(round(1.0 / every)):
        at = 99.6 + number * every
        fails = BEGUN <= at < ENDED + late and not (at >= BEGUN and number in without)
        samples.append(Sample(at + shifted, 0.25 if fails else 0.0004, "silent" if fails else "answered", 40000 + number))
    return samples


def judged(samples: list[Sample]) -> Calibration:
    return judge(BEGUN, ENDED, SERIES, samples, "made up", clock_error_s=0.0005)


def test_a_right_meter_passes():
    found = judged(a_meter())
    assert found.verdict.outcome is Outcome.PASS, found.verdict
    assert found.measured_s == pytest.approx(0.3, abs=PERIOD_S)


@pytest.mark.parametrize(
    ("samples", "because"),
    [
        pytest.param(a_meter(every=2 * PERIOD_S), "every 20 ms", id="half-as-often-as-it-says"),
        pytest.param(a_meter()[::3], "every 30 ms", id="two-of-three-lost"),
        pytest.param(a_meter(shifted=0.03), "not when it was made", id="stamped-late"),
        pytest.param(a_meter(shifted=-0.03), "not when it was made", id="stamped-early"),
        pytest.param(a_meter(late=0.05), "more than a period", id="as-a-closed-loop"),
        pytest.param(a_meter(without=range(50, 55)), "as 2 outages", id="right-in-between"),
        pytest.param([s._replace(outcome="answered") for s in a_meter()], "not seen at all", id="blind"),
        pytest.param([], "not seen at all", id="without-samples"),
    ],
)
def test_a_meter_that_lies_is_inconclusive(samples, because):
    found = judged(samples)
    assert found.verdict.outcome is Outcome.INCONCLUSIVE and because in found.verdict.reason, found.verdict
    assert found.kept == (samples[1:2] != [] and samples[1].at - samples[0].at < 0.015)  # else it would be tried again


@pytest.mark.parametrize(("missing", "sharp"), [(60, True), (20, True), (40, False), (70, False)])
def test_an_attempt_that_is_missing_blurs_the_cut_only_at_its_edges(missing, sharp):
    """The cut goes from the 40th attempt to the 70th."""
    found = judged([s for n, s in enumerate(a_meter()) if n not in (missing, missing + 1)])
    assert (found.kept, found.sharp) == (False, sharp)


def test_samples_of_a_real_cut_told_wrongly_are_inconclusive(lab, subject, monkeypatch):
    """The same agent, whose samples are thinned or shifted on their way: calibrate itself must not believe them."""
    from harness.measure import calibration

    for lie in (lambda rows: [r for r in rows if r.port % 2], lambda rows: [r._replace(at=r.at + 0.03) for r in rows]):
        honest = calibration.SampleSink.samples
        with monkeypatch.context() as patch:
            patch.setattr(
                calibration.SampleSink, "samples", lambda ear, series, rows, lie=lie, honest=honest: honest(ear, series, lie(rows))
            )
            assert calibrate(subject, period_s=PERIOD_S, cut=lab.known_cut).verdict.outcome is Outcome.INCONCLUSIVE
