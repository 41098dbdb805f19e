"""A test that drives Azure has the time for Azure's operations, so that pytest-timeout does not fall into an undoing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pytest_process import PYTEST

ROOT = Path(__file__).parents[2]
FILE = """
import pytest

@pytest.mark.disruptive("switchover")
def test_disturbs(request):
    print("has", [m.args for m in request.node.iter_markers("timeout")])

def test_looks(request):
    print("looks", [m.args for m in request.node.iter_markers("timeout")])
"""


@pytest.mark.parametrize(("more", "has"), [([], "has [(900.0,)]"), (["--timeout=77"], "has []")])
def test_what_disturbs_has_the_time_of_azure_s_operations(tmp_path: Path, more: list[str], has: str) -> None:
    example = (ROOT / "cluster.example.toml").read_text()
    table = '[azure]\nsubscription = "s"\nresource_group = "g"\noperation_limit_s = 60\n'
    (tmp_path / "cluster.toml").write_text(f"{example}\n{table}")
    (tmp_path / "test_it.py").write_text(FILE)
    words = [*PYTEST, "-s", "-q", "-p", "harness.pytest_plugin.plugin", "-c", str(ROOT / "pyproject.toml")]
    words += ["--rootdir", str(tmp_path), "--cluster", str(tmp_path / "cluster.toml"), "--allow-disruption", str(tmp_path), *more]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_TIMEOUT"} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=240)
    assert has in done.stdout and "looks []" in done.stdout, done.stdout + done.stderr
