"""Runs of incidents that lack a host, completed with what that host says when it is back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.core.errors import BadUse
from harness.core.files import stored
from harness.recorder import incident_grouping, incident_run, incident_sources
from harness.recorder.incident_files import HostIncident
from harness.recorder.incident_sources import Sources
from harness.report.record.run_folders import run_folders
from harness.report.record.run_record import ClusterKind, RunRecord
from harness.report.run_reader import load_record
from harness.report.run_record_builder import summarise_cluster
from harness.report.statistics.series_identity import cluster_key


@dataclass(frozen=True)
class Incomplete:
    """A run of an incident that lacks hosts, and what it was assembled from."""

    folder: Path
    run: RunRecord
    sources: Sources


def incomplete_runs(subject: ClusterUnderTest, reports: Path, faults: list[str]) -> Iterator[Incomplete]:
    """The cluster's runs in a folder that lack a host, the oldest first; a sentence for each that cannot be read goes into `faults`."""
    key = cluster_key(summarise_cluster(subject.cluster, ClusterKind.ATTACHED))
    for folder in run_folders(reports) if reports.exists() else ():
        path = folder / incident_run.EVIDENCE / incident_sources.FILE
        if not stored(path).is_file():
            continue
        try:
            run = load_record(folder)
            if run.cluster is not None and run.tests and cluster_key(run.cluster) == key:
                yield Incomplete(folder, run, incident_sources.load(path))
        except BadUse as error:
            faults.append(str(error))
        except incident_sources.UNREADABLE as error:
            faults.append(f"{path}: cannot be read, so this run is not completed ({error})")


def belonging_files(incomplete_run: Incomplete, files: Sequence[HostIncident], offsets: Mapping[str, float]) -> list[HostIncident]:
    """Of the files of hosts that the run lacks, those that tell of its time, as `incident_grouping.groups` puts files together. Pure."""
    before = _offsets(incomplete_run)
    begin, end = (
        min(file.triggered + before[file.host] for file in incomplete_run.sources.files),
        incident_grouping.until(incomplete_run.sources.files, before),
    )
    candidates = [file for file in files if file.host in incomplete_run.sources.lacking]
    return [file for file in candidates if file.triggered + offsets[file.host] <= end and incident_grouping.until([file], offsets) >= begin]


def must_wait(incomplete_run: Incomplete, lacking: Collection[str], going_on: Sequence[tuple[str, float]]) -> bool:
    """Whether it cannot be completed yet: no host that it lacks could be asked for all, or one still writes a file of its time.
    `going_on`: as for `incident_grouping.waits_for`. Pure."""
    end = incident_grouping.until(incomplete_run.sources.files, _offsets(incomplete_run))
    return set(incomplete_run.sources.lacking) <= set(lacking) or any(
        host in incomplete_run.sources.lacking and at <= end for host, at in going_on
    )


def _offsets(incomplete_run: Incomplete) -> dict[str, float]:
    return {host: incomplete_run.sources.offset_s(host) for host in incomplete_run.sources.hosts}
