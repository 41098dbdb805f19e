"""A plug-in that cannot be used, through the real commands: a sentence and the right exit code for who uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from plugin_packages import install

ROOT = Path(__file__).parents[2]


def run(folder: Path, *words: str) -> tuple[int, str]:
    """A program with the packages of that folder installed; its exit code, and all that it said."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout + done.stderr


def test_who_means_all_disruptions_hears_of_it(tmp_path: Path) -> None:
    install(tmp_path, "lk_drills", {"lk_drills.py": "raise OSError('gone')\n"}, "[lkharness.disruptions]\ndrills = lk_drills\n")
    suite = ("pytest", "-q", "--collect-only", "-p", "no:cacheprovider", "--cluster", "cluster.example.toml", "tests/failover")
    code, said = run(tmp_path, *suite)
    assert code == 4 and said.count("lk_drills 1.0") == 1 and "it cannot be imported (OSError: gone)" in said and "Traceback" not in said


def test_a_cluster_file_that_names_it(tmp_path: Path) -> None:
    install(tmp_path, "lk_redis", {}, "[lkharness.services]\nredis = lk_redis\n")
    text = (ROOT / "cluster.example.toml").read_text(encoding="utf-8")
    file = tmp_path / "cluster.toml"
    file.write_text(text.replace('kind = "oracle"', 'kind = "redis"'), encoding="utf-8")
    code, said = run(tmp_path, "harness.cli", "check", "--cluster", str(file))
    assert code == 4 and said == (
        "lkharness: the plug-in lk_redis 1.0 (lkharness.services: redis = lk_redis) cannot be used: it cannot be imported "
        "(ModuleNotFoundError: No module named 'lk_redis')\n"
    )
