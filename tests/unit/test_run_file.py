"""`--run-file`: the run's folder is written down, and a file that cannot be is said before anything is done."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness.core.errors import BadUse
from harness.pytest_plugin.pytest_session import Session


def session(run_file) -> Session:
    made = object.__new__(Session)
    made._run_file = run_file
    return made


def test_the_folder_of_the_run_is_in_the_file(tmp_path):
    run = SimpleNamespace(directory=tmp_path / "20260101T020000.000Z-0001")
    session(tmp_path / "tonight")._write_run_file(run)
    assert (tmp_path / "tonight").read_text() == f"{run.directory}\n"
    session(None)._write_run_file(run)
    with pytest.raises(BadUse, match=r"--run-file .*nowhere/tonight: cannot be written"):
        session(tmp_path / "nowhere" / "tonight")._write_run_file(run)
