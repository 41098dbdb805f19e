"""A cluster that was broken before the run: it is said once, blames no test, and every reading test runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_shell import shell_in

READING = 10  # tests of a cluster with one service
WIDER = "ip addr add 10.20.1.200/24 dev eth1; ip addr del 10.20.1.200/32 dev eth1"


@pytest.mark.heavy
def test_it_is_read_to_the_end(tmp_path: Path):
    with shell_in(tmp_path / "state") as shell:
        shell.up("--name", "wide", "--file", shell.asleep("listener"))
        node = next(n["name"] for n in shell.status()["nodes"] if n["role"] == "active")
        shell.inside("wide", node, WIDER)
        file = shell.labs / "wide" / "cluster.toml"
        done = shell.pytest(
            "tests/acceptance", "-q", "--cluster", file, "--reports", tmp_path / "reports", "--allow-disruption", "-k", "not switch"
        )
        run = json.loads((tmp_path / "reports" / "latest" / "run.json").read_text())
    outcomes = {test["id"].rpartition("::")[2]: test["verdict"] for test in run["tests"]}
    failed = {name for name, verdict in outcomes.items() if verdict["outcome"] == "fail"}
    assert failed == {"test_vip_on_subnet2"} and "/24" in outcomes["test_vip_on_subnet2"]["reason"], outcomes
    (audit,) = run["audits"]
    assert (audit["after"], audit["verdict"]["outcome"]) == (None, "fail") and "/24" in audit["verdict"]["reason"]
    not_run = {name for name, verdict in outcomes.items() if verdict["outcome"] == "inconclusive"}
    assert not_run and all("must not be disturbed" in outcomes[name]["reason"] for name in not_run)
    assert sum(verdict["outcome"] == "pass" for verdict in outcomes.values()) == READING - len(failed)
    assert done.returncode == 1, done.stdout
    cause = run["causes"][0]  # what all hosts said when it failed names it, once for the audit and the test
    assert "/24" in cause["says"] and any(test.endswith("test_vip_on_subnet2") for test in cause["tests"]), run["causes"]
    kept = {state["path"] for state in run["states"]}
    assert kept and kept <= {file["path"] for file in run["evidence"]}, run["evidence_faults"]
