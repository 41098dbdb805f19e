"""Reading a stored run: run.json of any version that this harness knows, its timeline, and the runs that came before it."""

from __future__ import annotations

import json
import math
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.core.errors import BadUse
from harness.core.files import open_text, stored
from harness.core.text.host_text import one_line
from harness.report.record.run_folders import run_folders
from harness.report.record.run_record import SCHEMA_VERSION, RunRecord
from harness.report.record.run_upgrade import upgrade

MAX_RECORD_BYTES = 256 * 1024 * 1024  # bytes of run.json; two disruptions on a lab take 0.15 MB


def load_record(run_dir: Path) -> RunRecord:
    """Read run.json of a run's directory. Every fault is one BadUse sentence."""
    path = run_dir / "run.json"
    data = load_data(path)
    try:
        return RunRecord.model_validate(data)
    except ValidationError as error:
        raise BadUse(f"{path}: {faults_in_words(error)}; the file is damaged, choose another run") from None


def runs_before(
    run_id: str, reports: Path, unreadable: list[str], *, at_most: int | None = None, only: Container[str] | None = None
) -> Iterator[RunRecord]:
    """The runs in a folder that began before this one, the newest first, of so many folders at most, and `only` of those names where some
    are given. Why one cannot be read goes into `unreadable`. Raises BadUse where the folder cannot be read."""
    older = [folder for folder in run_folders(reports) if folder.name < run_id and (only is None or folder.name in only)]
    for folder in reversed(older if at_most is None else older[-at_most:]):
        try:
            yield load_record(folder)
        except BadUse as error:
            unreadable.append(str(error))


def load_data(path: Path) -> dict[str, Any]:
    """What a run.json holds, of a version that this harness can read, not yet looked at any further. Raises BadUse."""
    try:
        if (stored_path := stored(path)).exists() and not stored_path.is_file():
            raise BadUse(f"{path}: is no plain file; name a run's directory, such as reports/latest")
        if stored_path.stat().st_size > MAX_RECORD_BYTES:
            raise BadUse(f"{path}: is larger than {MAX_RECORD_BYTES} bytes, so it is no run of this harness; choose another run")
        with open_text(path) as file:
            text = file.read(MAX_RECORD_BYTES + 1)
        if len(text) > MAX_RECORD_BYTES:
            raise BadUse(f"{path}: is larger than {MAX_RECORD_BYTES} bytes, so it is no run of this harness; choose another run")
        data = json.loads(text)
    except OSError as error:
        raise BadUse(f"{path}: cannot be read ({error.strerror or error}); name a run's directory, such as reports/latest") from error
    except (ValueError, RecursionError) as error:
        raise BadUse(f"{path}: is not JSON ({one_line(str(error))}); the file is damaged, choose another run") from error
    version = data.get("schema_version") if isinstance(data, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise BadUse(f"{path}: has no schema_version, so it is not a run of this harness; name a run's directory, such as reports/latest")
    if version > SCHEMA_VERSION:
        raise BadUse(f"{path}: was written by a newer harness (schema {version}, this one reads up to {SCHEMA_VERSION}); update lkharness")
    return upgrade(data)


def load_timeline(run_dir: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The events of timeline.jsonl, and a sentence for each thing that could not be read: a killed run's last line may be half a line."""
    path = run_dir / "timeline.jsonl"
    try:
        with open_text(path, errors="backslashreplace") as file:
            lines = file.read().splitlines()
    except OSError as error:
        return [], [f"timeline.jsonl cannot be read ({error.strerror or error})"]
    events, unreadable = [], []
    for number, line in enumerate(lines, 1):
        event = _event(line)
        if event is None:
            unreadable.append(str(number))
        else:
            events.append(event)
    events.sort(key=lambda event: event["at"])
    return events, [
        f"timeline.jsonl: {len(unreadable)} of {len(lines)} lines cannot be read (line {', '.join(unreadable[:10])})"
    ] if unreadable else []


def _event(line: str) -> dict[str, Any] | None:
    """One event of the timeline, or None for a line that is none; the caller counts those and the report says so."""
    try:
        event = json.loads(line)
        at, wall, data = float(event["at"]), float(event["wall"]), event.get("data") or {}
        texts = {key: str(event[key]) for key in ("source", "kind", "text")}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not math.isfinite(at) or not math.isfinite(wall):
        return None
    return {"at": at, "wall": wall, **texts, "data": data if isinstance(data, dict) else {"data": data}}


def faults_in_words(error: ValidationError) -> str:
    """The first fault with its place, and how many more there are."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    location = ".".join(str(part) for part in faults[0]["loc"])
    remainder = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
    return f"{location}: {faults[0]['msg'][:1].lower()}{faults[0]['msg'][1:]}{remainder}"
