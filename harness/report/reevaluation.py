"""Judge the stored recordings of a run again, with other budgets if wanted. The cluster is not needed; nothing is written here."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import BadUse, ExitCode
from harness.core.text.host_text import one_line
from harness.core.text.wording import seconds
from harness.core.verdict import Verdict, inconclusive
from harness.measure.measurement_result import Measured
from harness.report.record.gate_record import GateRecord
from harness.report.record.measurement_record import MeasurementRecord
from harness.report.record.run_record import Judgement, PathName, Result, RunRecord
from harness.report.record.run_verdict import judge_test, worst
from harness.report.statistics.outage_statistics import worst_of

RECORDING = "recording.jsonl"


@dataclass(frozen=True)
class Rejudged:
    """One recording judged again. `before` None: its measurement is not in run.json, because the harness was killed in it."""

    id: str
    recording: str
    before: MeasurementRecord | None
    after: MeasurementRecord | None
    """None: the recording cannot be read, and `fault` says why."""
    fault: str = ""

    @property
    def verdict(self) -> Verdict:
        """The verdict that the recording gets now; inconclusive where it cannot be read."""
        return self.after.measured.verdict if self.after else inconclusive(f"{self.recording}: {self.fault}")

    @property
    def changes(self) -> list[str]:
        """What is different now, a sentence each; empty when nothing is."""
        if self.after is None:
            return [f"cannot be judged again: {self.fault}"]
        if self.before is None:
            return ["was not judged before; the harness was killed while it was measured"]
        return _changes(self.before, self.after)


@dataclass(frozen=True)
class Budgets:
    """Seconds by which to judge: by the name of a disruption or the id of a measurement, else for all, else the recording's own."""

    for_all: float | None
    by_name: Mapping[str, float]

    def of(self, id: str, disruption: str) -> float | None:
        """The budget for a measurement in seconds, by its id, its disruption, or for all; None: the stored one."""
        return self.by_name.get(id, self.by_name.get(disruption, self.for_all))


def rejudge(run_dir: Path, run: RunRecord, budgets: Budgets) -> list[Rejudged]:
    """Judge every recording of the run again: those that run.json names, and those that a killed harness left in evidence/.

    Raises BadUse for a budget of something that was not measured.
    """
    calibration = run.calibration.verdict if run.calibration else None
    results = [
        _rejudge_recording(run_dir, record.id, record.recording, record.test, record, budgets, calibration) for record in run.measurements
    ]
    recordings = {record.recording for record in (*run.measurements, *run.set_aside)}
    test = run.tests[-1].id if run.tests else ""
    for path in sorted((run_dir / "evidence").glob(f"*/{RECORDING}")):
        name = path.relative_to(run_dir).as_posix()
        if name not in recordings:
            results.append(_rejudge_recording(run_dir, path.parent.name, name, test, None, budgets, calibration))
    names = {name for r in results for name in (r.id, *(m.measured.disruption for m in (r.before, r.after) if m))}
    unknown = sorted(set(budgets.by_name) - names)
    if unknown:
        raise BadUse(
            f"--budget names {', '.join(unknown)}, which this run did not measure; it measured {', '.join(sorted(names)) or 'nothing'}"
        )
    return results


def exit_code(results: list[Rejudged]) -> ExitCode:
    """By the worst verdict of the measurements; nothing to judge is inconclusive."""
    outcome = worst(Result(r.verdict.outcome.value) for r in results)
    return {Result.PASS: ExitCode.PASSED, Result.FAIL: ExitCode.FAILED}.get(outcome or Result.INCONCLUSIVE, ExitCode.INCONCLUSIVE)


def exit_code_with_gate(code: ExitCode, word: GateRecord) -> ExitCode:
    """The exit code where a gate was asked, too, or its word taken back: a failure of either stands, and a refusal is inconclusive."""
    if code is ExitCode.FAILED or word.outcome == "fail":
        return ExitCode.FAILED
    return code if word.outcome == "pass" else ExitCode.INCONCLUSIVE


def apply_results(run: RunRecord, results: list[Rejudged]) -> None:
    """Take the new judgements into a record. A test that had its verdict from its measurements gets it from them again."""
    old_measurements = {test.id: [m for m in run.measurements if m.test == test.id] for test in run.tests}
    run.measurements = [record for r in results if (record := r.after or r.before)]
    for test in run.tests:
        measurements = [m for m in run.measurements if m.test == test.id]
        reasons = [m.measured.verdict.reason for m in old_measurements[test.id]]
        by_measurement = test.verdict.outcome is Result.PASS or any(reason in test.verdict.reason for reason in reasons)
        if not measurements or not by_measurement or test.verdict.outcome is Result.SKIPPED:
            continue
        outcome = worst(Result(m.measured.verdict.outcome.value) for m in measurements)
        deciding_verdict = next(m.measured.verdict for m in measurements if m.measured.verdict.outcome.value == outcome)
        unchanged = test.verdict.outcome is Result.PASS and outcome is Result.PASS
        test.verdict = test.verdict if unchanged else judge_test(deciding_verdict, test.checks, test.disruptions, measurements)


def _rejudge_recording(
    run_dir: Path, id: str, name: str, test: str, old_record: MeasurementRecord | None, budgets: Budgets, calibration: Verdict | None
) -> Rejudged:
    from harness.measure.evaluation.recording_evaluation import evaluate
    from harness.remote.recording.recording import read

    path = run_dir / name
    if not path.resolve().is_relative_to(run_dir.resolve()):
        return Rejudged(id, name, old_record, None, "it lies outside the run's directory")
    try:
        recording = read(path)
    except OSError as error:
        return Rejudged(id, name, old_record, None, f"it cannot be read ({error.strerror or error})")
    except (ValueError, TypeError, KeyError) as error:
        reason = "it was cut off in its first line, or is damaged"
        with contextlib.suppress(OSError):
            reason = "it is empty" if not path.stat().st_size else f"{reason} ({type(error).__name__})"
        return Rejudged(id, name, old_record, None, reason)
    try:
        result: Measured = evaluate(recording, budget_s=budgets.of(id, recording.header.disruption), calibration=calibration)
        return Rejudged(id, name, old_record, MeasurementRecord.of(result, id=id, test=test, recording=name))
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        # Anybody may have written it: JSON takes words where numbers belong.
        why = one_line(str(error).splitlines()[0] if str(error) else "")
        return Rejudged(id, name, old_record, None, f"its values are not those of a recording ({type(error).__name__}: {why})")


def _changes(before: MeasurementRecord, after: MeasurementRecord) -> list[str]:
    old, new = before.measured, after.measured
    changes = []
    if old.budget_s != new.budget_s:
        changes.append(f"budget {seconds(old.budget_s)} → {seconds(new.budget_s)}")
    if old.verdict.outcome is not new.verdict.outcome:
        changes.append(f"verdict {old.verdict.outcome} → {new.verdict}")
    for path in PathName:
        old_figure, new_figure = worst_of(before, path), worst_of(after, path)
        figures = [f.words if f else "not measured" for f in (old_figure, new_figure)]
        if figures[0] != figures[1]:
            changes.append(f"{path} path {figures[0]} → {figures[1]}")
        if old_figure and new_figure and old_figure.result is not new_figure.result:
            changes.append(f"{path} path {old_figure.result} → {new_figure.result}: {new_figure.reason}")
    if Judgement.of(old.timing) != Judgement.of(new.timing):
        changes.append(f"timing {old.timing.outcome} → {new.timing}")
    return changes
