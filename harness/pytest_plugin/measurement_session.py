"""What a session measures: one meter, checked once against a known cut, and one numbered measurement for each disruption."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded
from harness.core.verdict import Outcome
from harness.disrupt.disruption import Disruption
from harness.disrupt.undo import ended_by
from harness.measure.calibration import Calibration, KnownCut, calibrate
from harness.measure.evaluation.recording_evaluation import evaluate
from harness.measure.measured_disruption import MeasuredDisruption, Start
from harness.measure.measurement_result import Measured
from harness.measure.meter import Meter
from harness.pytest_plugin.live_view import LiveView
from harness.pytest_plugin.measurement_plan import MeasurementOptions
from harness.pytest_plugin.soak import Soak, is_spent
from harness.remote.agents.agent_launch import PERIODS_S
from harness.remote.recording import recording
from harness.report.record.measurement_record import CalibrationRecord, MeasurementRecord
from harness.report.run_record_builder import ReportBuilder

PREPARATION_TIMEOUT_S = 60.0
MAX_TRIES = 5  # of a measurement that noise spoils …
CALM_TIMEOUT_S = 30.0  # … each begun when the hosts are quiet again, or after this


class MeasurementSession:
    """The meter is started by the first measurement, and stopped by `close`."""

    def __init__(
        self,
        subject: ClusterUnderTest,
        report: ReportBuilder,
        options: MeasurementOptions,
        cut: KnownCut | None,
        view: LiveView | None,
        soak: Soak | None = None,
    ) -> None:
        self._subject = subject
        self._report = report
        self._options = options
        self._cut = cut
        self._view = view
        self._meter: Meter | None = None
        self._calibration: Calibration | None = None
        self._number = 0
        self._soak = soak  # of one, of measurements that passed, the figures alone are kept
        self.unwatched_s = 0.0  # between recordings, where a path may have been out unseen
        self._recorded_until: float | None = None  # in seconds of the monotonic clock

    def measure(self, make: Callable[[], Disruption], start: Start, *, test: str) -> Measured:
        """Do the disruption under the meter, judge its recording and put it into the report. Raises what the disruption raises.

        One that the noise of the measuring hosts spoiled is set aside and done again, a few times: a verdict is never asked for twice, and
        an inconclusive measurement that nothing but noise made so has none. A path that is out before anything is done, on quiet hosts, is
        the cluster's own doing: that stands.
        """
        with self._view.open() if self._view else contextlib.nullcontext():
            for tries_left in reversed(range(MAX_TRIES)):
                result, name = self._measure(make(), start, test)
                if not (tries_left and self._is_spoiled(result)):
                    break
                self._say(f"measuring again, because of noise: {result.noise.reason if result.noise else result.verdict.reason}")
                self._report.set_aside(name)
                self._wait_for_calm()
            return result

    def _wait_for_calm(self) -> None:
        """Noise comes in bursts; if it does not end, the next try tells so as well as any."""
        assert self._meter is not None
        try:
            self._meter.wait_until_calm(Deadline(CALM_TIMEOUT_S))
        except DeadlineExceeded as error:
            self._say(str(error))

    def _is_spoiled(self, result: Measured) -> bool:
        assert self._calibration is not None
        noisy = result.noise is not None and result.noise.outcome is Outcome.INCONCLUSIVE
        return noisy and result.verdict.outcome is Outcome.INCONCLUSIVE and self._calibration.verdict.outcome is Outcome.PASS

    def _measure(self, disruption: Disruption, start: Start, test: str) -> tuple[Measured, str]:
        meter = self._calibrated_meter()
        self._number += 1
        name = f"{self._number:02d}-{re.sub('[^a-z0-9]+', '-', disruption.name.lower()).strip('-')}"
        path = self._report.run.directory / "evidence" / name / "recording.jsonl"
        disruption.prepare(Deadline(PREPARATION_TIMEOUT_S + self._subject.cluster.manager.takeover_s))
        self._subject.wait_until_healthy(Deadline(self._subject.cluster.manager.boot_s))
        result: Measured | None = None

        def judge() -> None:
            nonlocal result
            self._count_unwatched(meter)
            result = self._judge(path, name, test)

        view = self._view.following(meter.live, f"{name}: {disruption.sentence}") if self._view else contextlib.nullcontext()
        with ended_by(judge, self._say), view:
            MeasuredDisruption(self._subject, meter, disruption, say=self._say).record(path, start)
        assert result is not None  # a recording that came to its end has a header
        return result, name

    def _count_unwatched(self, meter: Meter) -> None:
        """Between the recording before and the newest one, if there is a new one."""
        if meter.recorded_until is None or meter.recorded_until == self._recorded_until:
            return
        if self._recorded_until is not None:
            self.unwatched_s += meter.unwatched_s(self._recorded_until)
        self._recorded_until = meter.recorded_until

    def _judge(self, path: Path, name: str, test: str) -> Measured | None:
        """Also of a recording that was cut short: what it holds belongs into the report."""
        if not path.exists():
            return None
        assert self._calibration is not None
        try:
            recorded = recording.read(path)
        except ValueError as error:  # not even its header got to the disk
            self._report.run.evidence_fault(path.parent.name, str(error))
            return None
        result = evaluate(recorded, calibration=self._calibration.verdict)
        if self._soak is not None and is_spent(result, self._soak):  # of hours, what is kept is what was not right
            result = replace(result, log=[], chart_rows=[], series=[replace(series, segments=[]) for series in result.series])
            shutil.rmtree(path.parent)
        self._report.measurement(MeasurementRecord.of(result, id=name, test=test))
        return result

    def back_off(self) -> bool:
        """Measure with the next coarser period from now on; False when there is none."""
        coarser = next((period for period in PERIODS_S if period > self._options.period_s), None)
        if coarser is None:
            return False
        note = f"attempts failed before anything was done, so that from now on they are {coarser * 1000:g} ms apart"
        self._report.host_note(self._subject.cluster.name, note)
        self._say(note)
        self.close()
        self._meter, self._options = None, replace(self._options, period_s=coarser)
        return True

    def _say(self, text: str) -> None:
        self._report.run.note("harness", "progress", text)
        if self._view is not None:
            self._view.say(text)

    def _calibrated_meter(self) -> Meter:
        if self._meter is None:
            self._say("checking the meter against a known cut")
            calibration = calibrate(self._subject, period_s=self._options.period_s, cut=self._cut)
            self._calibration = calibration
            self._report.calibration(
                CalibrationRecord(
                    cut_s=calibration.cut_s, measured_s=calibration.measured_s, period_s=calibration.period_s, verdict=calibration.verdict
                )
            )
            self._meter = Meter(self._subject, period_s=self._options.period_s)
            for host, sentence in self._meter.coarse.items():
                self._report.host_note(host, sentence)
            self._meter.start()
        return self._meter

    def close(self) -> None:
        """End the meter; what could not be removed from a host is told in the report."""
        if self._meter is not None:
            for fault in self._meter.stop():
                self._report.host_note(self._subject.cluster.name, fault)
