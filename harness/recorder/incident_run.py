"""An incident's run: written with its recording, judged, entered into the history; written again when a host that was lacking is back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.core.errors import HarnessError, Unusable
from harness.core.files import packed
from harness.core.redaction.output_redaction import Cleaner
from harness.explain.run_explanation import causes
from harness.history.run_import import enter
from harness.measure.evaluation.recording_evaluation import evaluate
from harness.recorder import incident_recording, incident_sources
from harness.recorder.incident_recording import Assembled
from harness.recorder.incident_sources import Sources
from harness.remote.recording import recording
from harness.remote.recording.recording import Clock, Mark, NodeEvent, Noise, Recorder, Series
from harness.report import reevaluation
from harness.report.record.measurement_record import MeasurementRecord
from harness.report.record.run_directory import Run, evidence_in
from harness.report.record.run_record import ClusterKind, HostNote, Moment, RunRecord
from harness.report.report_rendering import render, store_record
from harness.report.run_record_builder import ReportBuilder

COMMAND = ("lkharness", "record", "fetch")
NAME = "01-incident"
EVIDENCE = Path("evidence") / NAME
NOT_ASKED = "what it kept of this could not be asked"


def store(subject: ClusterUnderTest, sources: Sources, all_series: Sequence[Series], reports: Path) -> Path:
    """Write one incident as a run, dated by the incident; its folder. Raises Unusable when nothing can be written there."""
    assembled = incident_recording.assemble(subject.cluster, sources, all_series)
    run = Run.create(reports, command=COMMAND)
    run.cleaner.knows(subject.cleaner.values)
    report = ReportBuilder(run)
    report.cluster_is(subject.cluster, ClusterKind.ATTACHED, active=assembled.header.active or None)
    when = datetime.fromtimestamp(assembled.marks[0].at + assembled.header.wall_minus_mono, UTC)
    # The history and whoever reads the run want the night of the incident; on the monotonic clock the run is what was done now.
    run.record.started = Moment.at_wall_time(when, at=run.record.started.at)
    test = f"recorder/{when:%Y-%m-%dT%H:%M:%S}Z"
    report.begin_test(test, _make_title(assembled), properties={"design": assembled.header.design})
    path = run.directory / EVIDENCE / reevaluation.RECORDING
    _write(subject, assembled, path, run.cleaner)
    result = evaluate(recording.read(path))
    report.measurement(MeasurementRecord.of(result, id=NAME, test=test))
    report.end_test(result.verdict)
    report.host_note(subject.cluster.name, f"this was recorded at {when.isoformat()}, and brought home when the run was made")
    if sources.lacking:
        try:
            incident_sources.store(path.with_name(incident_sources.FILE), sources, run.cleaner)
        except OSError as error:
            run.evidence_fault("what the other hosts said", f"so this run cannot be completed: {error.strerror or error}")
    for host, why in sources.lacking.items():
        report.host_note(host, _missing_note(why))
    run.record.causes = causes(run.record, run.directory)
    report.finish()
    try:
        enter(run.directory)
    except HarnessError as error:
        run.evidence_fault("its entry in the history", str(error))
        run.save()
    run.close()
    return run.directory


def complete(subject: ClusterUnderTest, folder: Path, run: RunRecord, sources: Sources, all_series: Sequence[Series]) -> None:
    """Write the run in `folder` anew from more sources than it had, and judge it again. Killed at any moment, it can be done once more.

    Raises Unusable when nothing can be written there.
    """
    assembled = incident_recording.assemble(subject.cluster, sources, all_series)
    path = folder / EVIDENCE / reevaluation.RECORDING
    new_path = path.with_name(f".{path.name}-new")
    sources_path = path.with_name(incident_sources.FILE)
    try:
        _write(subject, assembled, new_path, subject.cleaner)
        new_path.replace(path)
        packed(path).unlink(missing_ok=True)  # of the recording that was there before
        _judge_again(folder, run, assembled, sources)
        if sources.lacking:
            incident_sources.store(sources_path, sources, subject.cleaner)
        else:
            incident_sources.remove(sources_path)
        enter(folder)
    except OSError as error:
        raise Unusable(f"{folder}: the incident cannot be completed there ({error.strerror or error}); change its rights") from error
    finally:
        new_path.unlink(missing_ok=True)


def _judge_again(folder: Path, run: RunRecord, assembled: Assembled, sources: Sources) -> None:
    measurements = reevaluation.rejudge(folder, run, reevaluation.Budgets(None, {}))
    reevaluation.apply_results(run, measurements)
    run.tests[0].title = _make_title(assembled)
    if run.cluster is not None:
        run.cluster.active_at_start = assembled.header.active or None
    run.host_notes = [note for note in run.host_notes if not note.text.startswith(NOT_ASKED)]
    run.host_notes += [HostNote(host=host, text=_missing_note(why)) for host, why in sources.lacking.items()]
    run.evidence = [file for file in evidence_in(folder) if sources.lacking or Path(file.path).name != incident_sources.FILE]
    run.causes = causes(run, folder)
    store_record(folder, run)
    render(folder)


def _make_title(assembled: Assembled) -> str:
    when = datetime.fromtimestamp(assembled.marks[0].at + assembled.header.wall_minus_mono, UTC)
    return f"{assembled.title} ({when:%Y-%m-%d %H:%M:%S} UTC)"


def _missing_note(why: str) -> str:
    return f"{NOT_ASKED} ({why}); `lkharness record fetch` into the same folder of reports completes this run"


def _write(subject: ClusterUnderTest, assembled: Assembled, path: Path, cleaner: Cleaner) -> None:
    manager = subject.manager

    def clean_event(event: NodeEvent) -> NodeEvent:
        if event.kind != "log":
            return event
        means = {"means": "noticed"} if manager.notices(event.text) else {}
        return replace(event, text=cleaner.line(event.host, event.text), data={**event.data, **means})

    with Recorder(path, assembled.header, clean=cleaner.data) as recorder:
        rows: list[Clock | NodeEvent | Noise | Mark] = [
            *assembled.clocks,
            *map(clean_event, assembled.events),
            *assembled.noise,
            *assembled.marks,
        ]
        for row in rows:
            recorder.add(row)
        for series, samples in assembled.samples.items():
            recorder.samples(series, samples)
