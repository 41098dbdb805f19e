"""A soak as a whole run: its figure and verdict in run.json, what is kept of it, and a lab that stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_shell import Shell, shell_in

pytestmark = pytest.mark.deep


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with shell_in(tmp_path / "state") as one:
        yield one


def test_a_soak_has_a_figure_for_the_whole_and_its_lab_stays_where_that_is_asked_for(shell: Shell, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    words = ("failover", "--for", "6s", "--period", "100", "--availability", "1", "--keep", "always", "--reports", reports)
    done = shell.lkharness(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a soak of 6.00 s: " in done.stdout and "new connections a second from 3 hosts" in done.stdout
    run = json.loads((reports / "latest" / "run.json").read_text())
    assert {row["path"] for row in run["availability"]} == {"client", "inside", "standby"}
    assert any(audit["name"] == "availability over the whole" and audit["verdict"]["outcome"] == "pass" for audit in run["audits"])
    assert all(one["measured"]["log"] == [] for one in run["measurements"]), "of rounds that passed, the figures alone are kept"
    name = f"run-{run['run_id']}"
    assert f"lkharness lab down --name {name}" in done.stdout
    assert shell.status("--name", name)["nodes"][0]["power"] in ("running", "on")
    assert shell.lkharness("lab", "down", "--name", name).returncode == 0
