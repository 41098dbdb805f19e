"""Incidents brought home: fetched from the hosts, written as runs, and then removed from the hosts. A host that cannot be asked keeps no
other's from home: the run says what it lacks, and a later fetch completes it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.deadline import Deadline
from harness.core.errors import HarnessError, Inconclusive
from harness.recorder import incident_completion, incident_files, incident_grouping, incident_run
from harness.recorder.cluster_recorders import Recorders, series_of
from harness.recorder.incident_files import HostIncident
from harness.recorder.incident_sources import Sources
from harness.remote.agents.recorder_link import RecorderLink
from harness.remote.recording.recording import Clock, NodeEvent

CLOCK_TIMEOUT_S = 10.0


@dataclass
class FetchResult:
    """What a fetch came to: the runs' folders, those that were completed, incidents that go on, and what could not be done."""

    runs: list[Path] = field(default_factory=list)
    completed: list[Path] = field(default_factory=list)
    going_on: int = 0
    faults: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    """Hosts that could not be asked for all; the runs say so, and are completed once they can."""
    hosts: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    """What each host's recorder said of itself; None where there is none."""


def fetch(recorders: Recorders, reports: Path) -> FetchResult:
    """Bring home every incident that is over. One that goes on at some host is left on all of them, for the next time.

    Raises Inconclusive where no host has a recorder.
    """
    subject, result = recorders.subject, FetchResult()
    result.hosts = recorders.status()
    present = {name: status for name, status in result.hosts.items() if status is not None}
    lacking = dict(recorders.faults)
    result.faults += lacking.values()
    if not present and not result.faults:
        raise Inconclusive("no flight recorder is on this cluster; `lkharness record --cluster FILE` starts one")
    answers, going_on = _ask(recorders, present, result, lacking)
    all_series = [series for name in recorders.links for series in series_of(subject, name)]
    offsets = {host: answers.offset_s(host) for host in present}
    going_on = [(host, begun_at + offsets[host]) for host, begun_at in going_on]
    files = list(answers.files)
    for incomplete_run in incident_completion.incomplete_runs(subject, reports, result.faults):
        its_files = incident_completion.belonging_files(incomplete_run, files, offsets)
        files = [file for file in files if file not in its_files]
        if incident_completion.must_wait(incomplete_run, lacking, going_on):
            continue  # what there is of it stays on the hosts, too
        all_sources = incomplete_run.sources.with_others(answers, [file for file in its_files if file.host not in lacking])
        incident_run.complete(subject, incomplete_run.folder, incomplete_run.run, all_sources, all_series)
        result.completed.append(incomplete_run.folder)
        _forget(recorders, [file for file in its_files if file.host not in lacking], result)
    for group in incident_grouping.groups(files, offsets):
        if incident_grouping.waits_for(group, going_on, offsets):
            continue  # a part of it goes on
        sources = Sources(tuple(group), answers.clocks, answers.roles, answers.wall_minus_mono, lacking)
        result.runs.append(incident_run.store(subject, sources, all_series, reports))
        _forget(recorders, group, result)
    result.going_on, result.lacking = len(going_on), list(lacking)
    return result


def _ask(
    recorders: Recorders, present: Mapping[str, dict[str, Any]], result: FetchResult, lacking: dict[str, str]
) -> tuple[Sources, list[tuple[str, float]]]:
    """What the hosts say that have a recorder, and those of which an incident goes on, with when it began by the host's wall clock. Why one
    could not be asked for all goes into `lacking`."""
    clocks: dict[str, Clock] = {}
    files: list[HostIncident] = []
    roles: dict[str, list[NodeEvent]] = {}
    going_on: list[tuple[str, float]] = []
    wall_minus_mono = time.time() - time.monotonic()
    for name, status in present.items():
        link = recorders.links[name]
        try:
            clock = link.clock(str(status["folder"]), Deadline(CLOCK_TIMEOUT_S))
            clocks |= {name: clock} if clock is not None else {}
            roles[name] = incident_files.role_events(name, link.fetch("journal"))
        except HarnessError as error:
            result.faults.append(str(error))
            lacking[name] = str(error)
        for incident in status["incidents"]:
            if incident["ended"] is None:
                going_on.append((name, float(incident["begun"])))
            else:
                files += _read(link, str(incident["name"]), result, lacking)
    return Sources(tuple(files), clocks, roles, wall_minus_mono, lacking), going_on


def _read(link: RecorderLink, name: str, result: FetchResult, lacking: dict[str, str]) -> list[HostIncident]:
    """A host's file, if it can be read; one in which nothing stands is removed there. What one file lacks keeps no other from home."""
    try:
        text = link.fetch(name)
        incident = incident_files.incident(link.name, name, text)
        if incident is None and not text:
            link.forget([name])
        elif incident is None:
            result.faults.append(f"{link.name}: {name} cannot be read, and stays there")
    except HarnessError as error:
        result.faults.append(str(error))
        lacking[link.name] = str(error)
        return []
    return [] if incident is None else [incident]


def _forget(recorders: Recorders, files: Sequence[HostIncident], result: FetchResult) -> None:
    """What is stored at home need not lie on the hosts; that it cannot be removed there is told, and harms nothing."""
    for host in sorted({file.host for file in files}):
        try:
            recorders.links[host].forget([file.name for file in files if file.host == host])
        except HarnessError as error:
            result.faults.append(f"{error}; the incident is at home, and will come again")
