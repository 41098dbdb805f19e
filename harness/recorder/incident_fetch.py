"""Incidents brought home: fetched from the hosts, written as runs, judged, entered into the history, and then removed from the hosts."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.core.deadline import Deadline
from harness.core.errors import HarnessError, Inconclusive
from harness.history.run_import import enter
from harness.measure.evaluation.recording_evaluation import measured
from harness.recorder import incident_files, incident_recording
from harness.recorder.cluster_recorders import Recorders, series_of
from harness.recorder.incident_files import HostIncident
from harness.recorder.incident_recording import Assembled
from harness.remote.agents.recorder_link import RecorderLink
from harness.remote.recording import recording
from harness.remote.recording.recording import Clock, Mark, NodeEvent, Noise, Recorder, Series
from harness.report.record.measurement_record import MeasurementRecord
from harness.report.record.run_directory import Run
from harness.report.record.run_record import ClusterKind
from harness.report.run_record_builder import ReportBuilder

CLOCK_LIMIT_S = 10.0
COMMAND = ("lkharness", "record", "fetch")


@dataclass
class FetchResult:
    """What a fetch came to: the runs' folders, incidents that go on, and what could not be done."""

    runs: list[Path] = field(default_factory=list)
    going_on: int = 0
    faults: list[str] = field(default_factory=list)
    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)


def fetch(recorders: Recorders, reports: Path) -> FetchResult:
    """Bring home every incident that is over. One that goes on at some host is left on all of them, for the next time.

    Raises Inconclusive where no host has a recorder.
    """
    subject, brought = recorders.subject, FetchResult()
    hosts = {name: said for name, said in recorders.status().items() if said is not None}
    brought.faults += recorders.faults.values()
    if not hosts and not brought.faults:
        raise Inconclusive("no flight recorder is on this cluster; `lkharness record --cluster FILE` starts one")
    brought.hosts = hosts
    clocks: dict[str, Clock] = {}
    files: list[HostIncident] = []
    journals: dict[str, str] = {}
    going_on: list[tuple[str, float]] = []
    wall_minus_mono = time.time() - time.monotonic()
    for name, said in hosts.items():
        link = recorders.links[name]
        try:
            clock = link.clock(str(said["folder"]), Deadline(CLOCK_LIMIT_S))
            clocks |= {name: clock} if clock is not None else {}
            journals[name] = link.fetch("journal")
        except HarnessError as error:
            brought.faults.append(str(error))
        for one in said["incidents"]:
            if one["ended"] is None:
                going_on.append((name, float(one["begun"]) + _offset(name, clocks, wall_minus_mono)))
            else:
                files += _read(link, str(one["name"]), brought)
    offsets = {name: _offset(name, clocks, wall_minus_mono) for name in hosts}
    all_series = [series for name in recorders.links for series in series_of(subject, name)]
    for group in incident_files.groups(files, offsets):
        if incident_files.waits_for(group, going_on, offsets):
            continue  # a part of it goes on
        made = incident_recording.assemble(
            subject.cluster,
            group,
            all_series,
            clocks,
            journals,
            wall_minus_mono,
        )
        brought.runs.append(_store(recorders, made, all_series, reports))
        _forget(recorders, group, brought)
    brought.going_on = len(going_on)
    return brought


def _read(link: RecorderLink, name: str, brought: FetchResult) -> list[HostIncident]:
    """A host's file, if it can be read; one in which nothing stands is removed there. What one file lacks keeps no other from home."""
    try:
        text = link.fetch(name)
        read = incident_files.incident(link.name, name, text)
        if read is None and not text:
            link.forget([name])
        elif read is None:
            brought.faults.append(f"{link.name}: {name} cannot be read, and stays there")
    except HarnessError as error:
        brought.faults.append(str(error))
        return []
    return [] if read is None else [read]


def _offset(name: str, clocks: dict[str, Clock], wall_minus_mono: float) -> float:
    """What to add to a host's wall clock for the harness's."""
    return clocks[name].wall_s + wall_minus_mono if name in clocks else 0.0


def _forget(recorders: Recorders, group: list[HostIncident], brought: FetchResult) -> None:
    """What is stored at home need not lie on the hosts; that it cannot be removed there is told, and harms nothing."""
    for host in sorted({one.host for one in group}):
        try:
            recorders.links[host].forget([one.name for one in group if one.host == host])
        except HarnessError as error:
            brought.faults.append(f"{error}; the incident is at home, and will come again")


def _store(recorders: Recorders, made: Assembled, all_series: list[Series], reports: Path) -> Path:
    """Write one incident as a run; its folder. Raises Unusable when nothing can be written there."""
    subject = recorders.subject
    run = Run.create(reports, command=COMMAND)
    run.cleaner.knows(subject.cleaner.values)
    report = ReportBuilder(run)
    report.cluster_is(subject.cluster, ClusterKind.ATTACHED, active=made.header.active or None)
    when = datetime.fromtimestamp(made.marks[0].at + made.header.wall_minus_mono, UTC)
    test, name = f"recorder/{when:%Y-%m-%dT%H:%M:%S}Z", "01-incident"
    report.begin_test(test, f"{made.title} ({when:%Y-%m-%d %H:%M:%S} UTC)", properties={"design": made.header.design})
    path = run.directory / "evidence" / name / "recording.jsonl"
    _write(recorders, made, path, run)
    result = measured(recording.read(path))
    report.measurement(MeasurementRecord.of(result, id=name, test=test))
    report.end_test(result.verdict)
    report.host_note(subject.cluster.name, f"this was recorded at {when.isoformat()}, and brought home when the run was made")
    report.finish()
    try:
        enter(run.directory)
    except HarnessError as error:
        run.evidence_fault("its entry in the history", str(error))
    run.close()
    return run.directory


def _write(recorders: Recorders, made: Assembled, path: Path, run: Run) -> None:
    manager, cleaner = recorders.subject.manager, run.cleaner

    def cleaned(event: NodeEvent) -> NodeEvent:
        if event.kind != "log":
            return event
        means = {"means": "noticed"} if manager.notices(event.text) else {}
        return replace(event, text=cleaner.line(event.host, event.text), data={**event.data, **means})

    with Recorder(path, made.header, clean=cleaner.data) as recorder:
        rows: list[Clock | NodeEvent | Noise | Mark] = [*made.clocks, *map(cleaned, made.events), *made.noise, *made.marks]
        for one in rows:
            recorder.add(one)
        for series, samples in made.samples.items():
            recorder.samples(series, samples)
