"""What a run and `init` write is its owner's alone, unless somebody wants it published."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import cli
from harness.report.record.run_directory import Run


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_runs_folder_is_its_owners(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "reports", command=["pytest"])
    assert mode(run.directory) == 0o700


def test_unless_it_is_to_be_published(tmp_path: Path) -> None:
    os.umask(0o077)
    run = Run.create(tmp_path / "reports", command=["pytest"], readable=True)
    assert mode(run.directory) == 0o755


def test_a_cluster_file_is_its_owners(tmp_path: Path) -> None:
    words = (
        "--client lkclient=10.20.1.20 --node lknode01=10.20.1.11,10.20.2.11 --node lknode02=10.20.1.12,10.20.2.12 --frontend 10.20.1.200"
    )
    file = tmp_path / "c.toml"
    assert cli.main(["init", *words.split(), "--service", "listener=oracle:1521:listener-1521", str(file)]) == 0
    assert mode(file) == 0o600
