"""The acceptance suite attached to a cluster that runs already, as to a customer's."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from command_shell import Shell, shell_in

SUITE = "tests/acceptance"
SOME = [f"{SUITE}/test_{what}.py" for what in ("placement", "client_path", "standby_path", "probe", "without_ip_resource")]
SOME.append(f"{SUITE}/test_switching.py::test_switchover")
SWITCHOVER = f"{SUITE}/test_switching.py::test_switchover[there]"
REASON = "it would disturb the attached cluster; allow that with --allow-disruption"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with shell_in(tmp_path_factory.mktemp("state")) as one:
        one.up("--name", "customer", "--file", one.modest("listener", "web"))
        yield one


@pytest.fixture(scope="module")
def file(shell: Shell) -> Path:
    return shell.labs / "customer" / "cluster.toml"


@dataclass(frozen=True)
class Switched:
    """A run with --allow-disruption that made a switchover, on a cluster with this node active before it and that one after it."""

    done: subprocess.CompletedProcess[str]
    reports: Path
    before: str
    after: str


@pytest.fixture(scope="module")
def switched(shell: Shell, file: Path, tmp_path_factory: pytest.TempPathFactory) -> Switched:
    reports, before = tmp_path_factory.mktemp("switched"), active(shell)
    done = shell.pytest(SWITCHOVER, "-q", "--cluster", file, "--allow-disruption", "--reports", reports)
    return Switched(done, reports, before, active(shell))


def active(shell: Shell) -> str:
    return next(n["name"] for n in shell.status()["nodes"] if n["role"] == "active")


def run_of(reports: Path) -> dict:
    return json.loads((reports / "latest" / "run.json").read_text())


def test_read_only(shell: Shell, file: Path, tmp_path: Path):
    """Everything that only looks passes; every disruptive test is skipped with its reason, and the cluster is as it was."""
    before = shell.status()
    done = shell.pytest(*SOME, "-q", "-rs", "--cluster", file, "--reports", tmp_path)
    assert done.returncode == 0, done.stdout
    skipped = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert skipped and REASON in re.sub(r"\s+", " ", done.stdout)
    record = run_of(tmp_path)
    assert (record["cluster"]["kind"], record["state"]) == ("attached", "finished")
    assert record["counts"]["passed"] >= 10 and not record["counts"]["failed"] and not any(t["disruptions"] for t in record["tests"])
    after = shell.status()
    assert after["pid"] == before["pid"] and after["nodes"] == before["nodes"], "a read-only run changed the cluster"


def test_a_run_that_may_not_do_anything_is_no_pass(shell: Shell, file: Path, tmp_path: Path):
    """A pipeline that forgets --allow-disruption does not get a green night of it."""
    done = shell.pytest("tests/failover", "-q", "--disruption", "switchover", "--cluster", file, "--reports", tmp_path)
    (said,) = [line for line in done.stdout.splitlines() if "every test was skipped, so nothing was looked at: " in line]
    assert done.returncode == 3 and REASON in said, done.stdout


def test_allowed_to_disturb(switched: Switched):
    """With --allow-disruption a switchover is made, and in the end everything is back where it was found."""
    assert switched.done.returncode == 0, switched.done.stdout
    (test,) = run_of(switched.reports)["tests"]
    assert [(d["name"], d["target"]) for d in test["disruptions"]] == [("switchover", switched.before)]
    assert switched.after == switched.before, "it was not put back"


def test_the_plan_comes_first_and_the_cluster_is_left_as_it_was_found(shell: Shell, switched: Switched):
    assert switched.done.returncode == 0, switched.done.stdout
    assert "switchover, on " in switched.done.stdout and "NOT AS IT WAS FOUND" not in switched.done.stdout
    events = [json.loads(line) for line in (switched.reports / "latest" / "timeline.jsonl").read_text().splitlines()]
    kinds = [e["kind"] for e in events]
    assert kinds.index("lease") < kinds.index("plan") < kinds.index("disruption") < kinds.index("put back")
    assert switched.after == switched.before
    audits = run_of(switched.reports)["audits"]
    assert [a["verdict"]["outcome"] for a in audits if "as it was found" in a["name"]] == ["pass"]
    (after,) = [a["verdict"]["reason"] for a in audits if a["after"] and "test_switchover" in a["after"]]
    assert "nothing of ours is left" in after  # what a disruption may leave is looked for after each
    assert all("lease" not in shell.inside("customer", node, "ls /run") for node in ("lknode01", "lknode02"))


def test_by_the_environment(shell: Shell, file: Path, tmp_path: Path):
    """LKHARNESS_CLUSTER attaches as --cluster does."""
    done = shell.pytest(f"{SUITE}/test_placement.py::test_one_active_node", "-q", "--reports", tmp_path, LKHARNESS_CLUSTER=str(file))
    assert done.returncode == 0, done.stdout
    assert run_of(tmp_path)["cluster"]["kind"] == "attached"


@pytest.mark.parametrize("option", [("--design", "floating"), ("--profile", "azure")])
def test_the_labs_options_do_not_go_with_a_cluster_file(shell: Shell, file: Path, tmp_path: Path, option):
    done = shell.pytest(f"{SUITE}/test_probe.py", "-q", "--cluster", file, *option, "--reports", tmp_path / "none")
    assert done.returncode == 2 and "the cluster file says what the attached cluster is" in done.stdout + done.stderr
    assert not (tmp_path / "none").exists()


def test_nothing_of_the_run_stays_on_the_hosts(shell: Shell):
    """After the runs above no process of the harness is left in the cluster: no witness, no relay, no log-in."""
    for host in ("lkclient", "lknode01", "lknode02"):
        listed = shell.inside("customer", host, "ps -eo args").splitlines()
        assert any("sshd" in line for line in listed), "the list is blind"
        strays = [line for line in listed if re.search(r"witness|relay|attempts|sshd.*: root", line)]
        assert not strays, f"{host}: {strays}"
