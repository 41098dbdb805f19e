"""What runs on a desktop with Windows, in an interpreter that lacks what CPython lacks there: everything but the lab."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
AS_THERE = "import sys, windows_python; windows_python.take_away(); from harness import cli; sys.exit(cli.main(sys.argv[1:]))"


def there(*words: object, at: Path, code: int = 0) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(HERE), str(REPOSITORY))), "XDG_STATE_HOME": str(at / "state")}
    done = subprocess.run(
        [sys.executable, "-c", AS_THERE, *map(str, words)], cwd=at, env=environment, capture_output=True, text=True, timeout=300
    )
    assert "Traceback" not in done.stderr and done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_cluster_file_is_written_and_agreed_to(tmp_path: Path):
    words = "--node a=10.20.1.11,10.20.2.11 --node b=10.20.1.12,10.20.2.12 --client c=10.20.1.20 --frontend 10.20.1.200"
    there("init", *words.split(), "--service", "web=http:80:iis", "--key", "key", "--known-hosts", "hosts", "customer.toml", at=tmp_path)
    assert "10.20.1.200" in (tmp_path / "customer.toml").read_text()
    (tmp_path / "cluster.toml").write_text((REPOSITORY / "cluster.example.toml").read_text())
    there("trust", "cluster.toml", at=tmp_path)


def test_a_stored_run_is_rendered_and_judged(stored_run: Path, tmp_path: Path):
    there("report", stored_run, at=tmp_path, code=1)
    assert (stored_run / "report.html").exists()
    there("judge", stored_run, at=tmp_path, code=3)


@pytest.fixture
def stored_run(tmp_path: Path) -> Path:
    sys.path.insert(0, str(HERE))
    from report_sample import a_builder, fill

    builder = a_builder(tmp_path / "reports")
    fill(builder, "text")
    builder.finish()
    builder.run.close()
    return builder.run.directory


@pytest.mark.parametrize("words", [("lab", "up"), ("lab", "status"), ("doctor",)])
def test_the_lab_needs_linux(words: tuple[str, ...], tmp_path: Path):
    said = there(*words, at=tmp_path, code=4)
    assert "the lab needs Linux" in said and "--cluster FILE" in said
