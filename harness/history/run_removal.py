"""Finding what the retention's plan is made of, and carrying it out: only files that the harness made, and nothing through a link."""

from __future__ import annotations

import lzma
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from harness.core.errors import BadUse
from harness.core.files import PACKED, packed
from harness.history.retention_plan import OLD_FILES, Step, StoredFolder
from harness.history.run_entry import stamp_of
from harness.history.stored_rows import StoredRun
from harness.report.record.run_folders import run_folders
from harness.report.run_reader import load_data


def finished_folders(reports: Path, runs: Iterable[StoredRun], now: float) -> list[StoredFolder]:
    """The folders of finished runs. `now` in seconds since 1970. A run whose run.json cannot be read is left alone. Raises BadUse."""
    run_by_folder = {run.folder: run for run in runs}
    folders = list(run_folders(reports))
    stored_folders = []
    for folder in folders:
        run = run_by_folder.get(folder.name)
        if run is None or run.run_id != folder.name:  # not finished, not entered, or somebody's copy
            continue
        try:
            files, current = dict(_own_files(folder)), stamp_of(folder) == run.stamp
        except (BadUse, OSError):
            continue
        age = now - (run.started + run.seconds)
        stored_folders.append(StoredFolder(folder.name, run.outcome == "pass", age, current, folder == folders[-1], files))
    return stored_folders


def _own_files(folder: Path) -> Iterator[tuple[str, int]]:
    """The files that run.json names as the run's evidence, packed or not, and those that the harness makes in every run's folder."""
    evidence = load_data(folder / "run.json").get("evidence", [])
    paths = [entry["path"] for entry in evidence if isinstance(entry, dict) and isinstance(entry.get("path"), str)]
    for name in dict.fromkeys(["run.json", *OLD_FILES, *(form for path in paths for form in (path, path + PACKED))]):
        if (name in ("run.json", *OLD_FILES) or name.startswith("evidence/")) and (path := own_file(folder, name)) is not None:
            yield name, path.stat().st_size


def own_file(folder: Path, name: str) -> Path | None:
    """A plain file inside the folder by that name; None for one that leads anywhere else, through a link, or is not there."""
    parts = PurePosixPath(name).parts
    if not parts or any(part in ("..", ".", "/") or "\\" in part or ":" in part for part in parts):
        return None
    path = folder
    for part in parts:
        if path.is_symlink():
            return None
        path = path / part
    return path if path.is_file() and not path.is_symlink() else None


def carry_out(reports: Path, steps: Iterable[Step]) -> list[str]:
    """Do the steps; a sentence for each that could not be done. Killed at any moment, every file is there, packed, or both."""
    faults: list[str] = []
    folders: dict[Path, Path] = {}  # emptied ones, with the evidence/ that they lie in
    for step in steps:
        folder = reports / step.folder
        if (path := own_file(folder, step.file)) is None:
            faults.append(f"{step.folder}/{step.file}: is not what it was when it was listed, and was left")
            continue
        try:
            if step.pack:
                if not _pack(path):
                    faults.append(f"{step.folder}/{step.file}: was written again while it was packed, and was left")
            else:
                path.unlink()
                folders[path.parent] = folder / "evidence"
        except OSError as error:
            faults.append(f"{step.folder}/{step.file}: {error.strerror or error}")
    for emptied in sorted(folders, key=lambda path: -len(path.parts)):  # the deepest first
        try:
            _remove_if_empty(emptied, folders[emptied])
        except OSError as error:
            faults.append(f"{emptied.relative_to(reports)}: {error.strerror or error}")
    return faults


def _pack(path: Path) -> bool:
    """Write the packed form beside it, whole, with its rights and time, and only then remove the file, unless it is another one by now."""
    to = packed(path)
    temporary = to.with_name(f".{to.name}-{secrets.token_hex(4)}")
    try:
        with path.open("rb") as source, lzma.open(temporary, "wb") as target:
            was = _identity_of(os.fstat(source.fileno()))
            shutil.copyfileobj(source, target)
        shutil.copystat(path, temporary)
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(to)
    finally:
        temporary.unlink(missing_ok=True)
    return _remove_unchanged(path, was)


def _remove_unchanged(path: Path, was: tuple[int, ...]) -> bool:
    """Remove the file if it is still that one. It is moved aside first, so that nobody writes another between the look and the removal."""
    aside = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    path.rename(aside)
    if _identity_of(aside.stat()) != was:
        if not path.exists():
            aside.rename(path)  # what was packed is not read while this is there
        else:
            aside.unlink()  # there is an even newer one
        return False
    aside.unlink()
    return True


def _identity_of(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _remove_if_empty(folder: Path, evidence: Path) -> None:
    """A folder below a run's evidence/ that was emptied, those above it, and evidence/ itself; one with anything else in it stays."""
    while (folder == evidence or evidence in folder.parents) and folder.exists() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
