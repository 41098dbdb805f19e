"""Looking at, testing and collecting from an attached cluster in an interpreter that lacks what CPython lacks on Windows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_shell import REPOSITORY, Shell, shell_in

AS_THERE = "import sys, windows_python; windows_python.take_away(); from harness import cli; sys.exit(cli.main(sys.argv[1:]))"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with shell_in(tmp_path_factory.mktemp("state")) as one:
        one.up("--name", "desk", "--file", one.patient())
        yield one


def test_everything_but_the_lab_works(shell: Shell, tmp_path: Path):
    file = shell.labs / "desk" / "cluster.toml"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(REPOSITORY / "tests" / "unit"), str(REPOSITORY)))}

    def there(*words: object) -> str:
        command = [sys.executable, "-c", AS_THERE, *map(str, words)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
        assert "Traceback" not in done.stderr and done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    there("trust", "--yes", file)
    assert "reaches the active node" in there("check", "--cluster", file)
    assert " passed" in there("acceptance", "-q", "--cluster", file, "-k", "placement or (switchover and there)", "--allow-disruption")
    there("report", tmp_path / "reports" / "latest")
    there("collect", "--cluster", file, "--output", tmp_path / "bundle.tar.gz")
    assert (tmp_path / "bundle.tar.gz").stat().st_size
