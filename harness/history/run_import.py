"""Finds the runs in a folder of reports, and enters them into its store."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness.core.errors import BadUse
from harness.history.run_entry import Entry, read_entry, stamp_of
from harness.history.store import FILE, Store
from harness.report.record.run_folders import run_folders
from harness.report.record.run_record import ClusterSummary
from harness.report.statistics.series_identity import cluster_key

CHUNK = 50  # runs that are read before they are written together: the lock is held for the writing only


@dataclass
class ImportResult:
    """What came of looking at the folders."""

    entered: int = 0
    unfinished: list[str] = field(default_factory=list)
    """Folders of runs that go on, or were killed."""
    unreadable: list[str] = field(default_factory=list)
    """A sentence for each folder whose run.json cannot be read."""


def enter(run_dir: Path) -> bool:
    """Enter one finished run into the store beside it; False while it has not ended. Raises BadUse, Unusable."""
    entry = read_entry(run_dir)
    if entry is None:
        return False
    with Store(run_dir.parent / FILE) as store:
        store.enter([entry])
    return True


def runs_of_same_cluster(run_dir: Path, cluster: ClusterSummary, at_most: int) -> list[str]:
    """The folders of the newest runs of that cluster in the store beside a run, the newest first. Raises BadUse, Unusable."""
    with Store(run_dir.parent / FILE) as store:
        return store.folders_of(cluster_key(cluster), at_most)


def catch_up(reports: Path, store: Store, *, anew: bool = False) -> ImportResult:
    """Enter every finished run that the store does not have as it is now: its harness was killed, it was copied here, or judged again.

    `anew` reads all of them. A run whose folder is gone stays: figures are kept for ever.
    """
    stamps = {} if anew else store.stamps()
    caught, entries = ImportResult(), list[Entry]()
    for folder in run_folders(reports):
        try:
            if stamps.get(folder.name) == stamp_of(folder):
                continue
            entry = read_entry(folder)
        except (BadUse, OSError) as error:
            caught.unreadable.append(str(error))
            continue
        if entry is not None and entry.head.run_id != folder.name:
            caught.unreadable.append(f"{folder}: is run {entry.head.run_id} under another name, and was left out")
            continue
        if entry is None:
            caught.unfinished.append(folder.name)
            continue
        entries.append(entry)
        if len(entries) >= CHUNK:
            caught.entered += store.enter(entries)
            entries = []
    caught.entered += store.enter(entries) if entries else 0
    return caught
