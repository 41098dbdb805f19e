"""A lab whose service is the stand-in for SQL Server: it moves and crashes as PostgreSQL does, and no acknowledged token is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as xml
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.config import cluster_config
from harness.lab import lab_config, lifekeeper_config
from harness.lab.lifecycle import default_cluster, launch
from harness.lab.pacemaker import cib, monitor_hook
from harness.lab.services import service_control
from tests.pytest_process import PYTEST

SQL = {"name": "sql", "kind": "mssql", "port": 1433, "tag": "mssql-1433", "settings": {"user": "harness", "database": "harness"}}
WEB = next(s for s in default_cluster.DEFAULT_CLUSTER["services"] if s["kind"] == "http")


def data(manager: str = "lifekeeper") -> dict[str, Any]:
    return default_cluster.cluster_data(overrides={"services": [SQL, WEB], "manager": {"kind": manager}, "budget": {"margin_s": 60.0}})


def test_its_database_lies_on_the_disk_that_moves() -> None:
    cluster = cluster_config.parse(data(), Path("x"))
    structure = lifekeeper_config.structure(cluster, lab_config.make_lab_config(cluster, Path("x")), cluster.nodes[0])
    made = {resource["tag"]: resource for resource in structure["resources"]}
    assert lifekeeper_config.DISK in made["mssql-1433"]["children"] and lifekeeper_config.DISK in made
    restore = made["mssql-1433"]["parameters"]["restore"]
    assert restore[restore.index("--data") + 1] == "/srv/shared/mssqldata" and "--certificate" in restore


@pytest.mark.skipif(not Path("/usr/lib/postgresql").exists(), reason="needs PostgreSQL's server (Debian package postgresql)")
def test_it_has_time_to_end_in_order_on_pacemaker() -> None:
    tree = xml.fromstring(cib.text(cluster_config.parse(data("pacemaker"), Path("x"))))
    values = {pair.get("id"): pair.get("value") for pair in tree.iter("nvpair")}
    assert values["mssql-1433-instance_attributes-stop_timeout"] == "10" and values["http-80-instance_attributes-stop_timeout"] == "1"
    order = [p.get("id") for p in tree.iter("primitive")]
    assert order.index(lifekeeper_config.DISK) < order.index("mssql-1433")


def test_what_a_check_says_is_known_of_every_protocol() -> None:
    assert set(monitor_hook.PATTERNS) == set(service_control.DIALOGUES) and "tds) printf" in monitor_hook.script()


@pytest.fixture
def lab() -> Iterator[launch.RunningLab]:
    running = launch.up(data(), name=f"mssql-{os.getpid()}", persistent=False)
    yield running
    running.down()


@pytest.mark.deep
def test_paths_and_disruptions_on_it(lab: launch.RunningLab, tmp_path: Path) -> None:
    look = [sys.executable, "-m", "harness.cli", "check", "--cluster", str(lab.cluster_file)]
    done = subprocess.run(look, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "the mssql service says that it runs on lknode01" in done.stdout, done.stdout + done.stderr
    assert "certificate" not in done.stdout + done.stderr
    chosen = [word for name in ("switchover", "service crash") for word in ("--disruption", name)]
    words = [sys.executable, *PYTEST, "tests/failover", "--cluster", str(lab.cluster_file), "--allow-disruption", *chosen]
    run = subprocess.run([*words, "--reports", str(tmp_path), "-q"], capture_output=True, text=True, timeout=1500)
    assert run.returncode == 0 and "all 2 executed tests passed" in run.stdout, run.stdout
