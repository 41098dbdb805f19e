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

CLOCK_LIMIT_S = 10.0


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
    subject, brought = recorders.subject, FetchResult()
    brought.hosts = recorders.status()
    present = {name: said for name, said in brought.hosts.items() if said is not None}
    lacking = dict(recorders.faults)
    brought.faults += lacking.values()
    if not present and not brought.faults:
        raise Inconclusive("no flight recorder is on this cluster; `lkharness record --cluster FILE` starts one")
    asked, going_on = _ask(recorders, present, brought, lacking)
    all_series = [series for name in recorders.links for series in series_of(subject, name)]
    offsets = {host: asked.offset_s(host) for host in present}
    going_on = [(host, begun + offsets[host]) for host, begun in going_on]
    files = list(asked.files)
    for one in incident_completion.incomplete(subject, reports, brought.faults):
        theirs = incident_completion.belonging(one, files, offsets)
        files = [file for file in files if file not in theirs]
        if incident_completion.must_wait(one, lacking, going_on):
            continue  # what there is of it stays on the hosts, too
        whole = one.sources.with_others(asked, [file for file in theirs if file.host not in lacking])
        incident_run.complete(subject, one.folder, one.run, whole, all_series)
        brought.completed.append(one.folder)
        _forget(recorders, [file for file in theirs if file.host not in lacking], brought)
    for group in incident_grouping.groups(files, offsets):
        if incident_grouping.waits_for(group, going_on, offsets):
            continue  # a part of it goes on
        sources = Sources(tuple(group), asked.clocks, asked.roles, asked.wall_minus_mono, lacking)
        brought.runs.append(incident_run.store(subject, sources, all_series, reports))
        _forget(recorders, group, brought)
    brought.going_on, brought.lacking = len(going_on), list(lacking)
    return brought


def _ask(
    recorders: Recorders, present: Mapping[str, dict[str, Any]], brought: FetchResult, lacking: dict[str, str]
) -> tuple[Sources, list[tuple[str, float]]]:
    """What the hosts say that have a recorder, and those of which an incident goes on, with when it began by the host's wall clock. Why one
    could not be asked for all goes into `lacking`."""
    clocks: dict[str, Clock] = {}
    files: list[HostIncident] = []
    roles: dict[str, list[NodeEvent]] = {}
    going_on: list[tuple[str, float]] = []
    wall_minus_mono = time.time() - time.monotonic()
    for name, said in present.items():
        link = recorders.links[name]
        try:
            clock = link.clock(str(said["folder"]), Deadline(CLOCK_LIMIT_S))
            clocks |= {name: clock} if clock is not None else {}
            roles[name] = incident_files.role_events(name, link.fetch("journal"))
        except HarnessError as error:
            brought.faults.append(str(error))
            lacking[name] = str(error)
        for one in said["incidents"]:
            if one["ended"] is None:
                going_on.append((name, float(one["begun"])))
            else:
                files += _read(link, str(one["name"]), brought, lacking)
    return Sources(tuple(files), clocks, roles, wall_minus_mono, lacking), going_on


def _read(link: RecorderLink, name: str, brought: FetchResult, lacking: dict[str, str]) -> list[HostIncident]:
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
        lacking[link.name] = str(error)
        return []
    return [] if read is None else [read]


def _forget(recorders: Recorders, files: Sequence[HostIncident], brought: FetchResult) -> None:
    """What is stored at home need not lie on the hosts; that it cannot be removed there is told, and harms nothing."""
    for host in sorted({one.host for one in files}):
        try:
            recorders.links[host].forget([one.name for one in files if one.host == host])
        except HarnessError as error:
            brought.faults.append(f"{error}; the incident is at home, and will come again")
