"""Which folders beside each other are runs of the harness."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from harness.core.errors import BadUse
from harness.core.files import stored

RUN_FOLDER = re.compile(r"\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{4}")
"""The name that the harness gives to a run's folder."""


def run_folders(reports: Path) -> Iterator[Path]:
    """The folders of runs, the oldest first; nothing through a link, and nothing that does not bear a run's name. Raises BadUse."""
    try:
        paths = sorted(reports.iterdir())
    except OSError as error:
        raise BadUse(f"{reports}: cannot be read ({error.strerror or error}); name the folder that holds the runs") from error
    yield from (path for path in paths if is_run_folder(path))


def is_run_folder(path: Path) -> bool:
    """A folder of its own, by a run's name, with a file run.json in it; neither of them a link."""
    if RUN_FOLDER.fullmatch(path.name) is None or path.is_symlink() or not path.is_dir():
        return False
    record = stored(path / "run.json")
    return record.is_file() and not record.is_symlink()
