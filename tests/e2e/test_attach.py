"""The acceptance suite attached to a cluster that runs already, as to a customer's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_shell import Shell, shell_in

SUITE = "tests/acceptance"
SOME = [f"{SUITE}/test_{what}.py" for what in ("placement", "client_path", "standby_path", "probe", "switching", "without_ip_resource")]
REASON = "it would disturb the attached cluster; allow that with --allow-disruption"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with shell_in(tmp_path_factory.mktemp("state")) as one:
        one.up("--name", "customer", "--file", one.patient())
        yield one


@pytest.fixture
def file(shell: Shell) -> Path:
    return shell.labs / "customer" / "cluster.toml"


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
    assert record["counts"]["passed"] >= 13 and not record["counts"]["failed"] and not any(t["disruptions"] for t in record["tests"])
    after = shell.status()
    assert after["pid"] == before["pid"] and after["nodes"] == before["nodes"], "a read-only run changed the cluster"


def test_a_run_that_may_not_do_anything_is_no_pass(shell: Shell, file: Path, tmp_path: Path):
    """A pipeline that forgets --allow-disruption does not get a green night of it."""
    done = shell.pytest("tests/failover", "-q", "--disruption", "switchover", "--cluster", file, "--reports", tmp_path)
    (said,) = [line for line in done.stdout.splitlines() if "every test was skipped, so nothing was looked at: " in line]
    assert done.returncode == 3 and REASON in said, done.stdout


def test_allowed_to_disturb(shell: Shell, file: Path, tmp_path: Path):
    """With --allow-disruption a switchover is made, and in the end everything is back where it was found."""
    active = next(n["name"] for n in shell.status()["nodes"] if n["role"] == "active")
    one = f"{SUITE}/test_switching.py::test_switchover[there]"
    done = shell.pytest(one, "-q", "--cluster", file, "--allow-disruption", "--reports", tmp_path)
    assert done.returncode == 0, done.stdout
    (test,) = run_of(tmp_path)["tests"]
    assert [(d["name"], d["target"]) for d in test["disruptions"]] == [("switchover", active)]
    assert next(n["name"] for n in shell.status()["nodes"] if n["role"] == "active") == active, "it was not put back"


def test_by_the_environment(shell: Shell, file: Path, tmp_path: Path):
    """LKHARNESS_CLUSTER attaches as --cluster does."""
    done = shell.pytest(f"{SUITE}/test_probe.py", "-q", "--reports", tmp_path, LKHARNESS_CLUSTER=str(file))
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
        listed = shell.lkharness("lab", "exec", host, "--", "ps", "-eo", "args").stdout.splitlines()
        assert any("sshd" in line for line in listed), "the list is blind"
        strays = [line for line in listed if re.search(r"witness|relay|attempts|sshd.*: root", line)]
        assert not strays, f"{host}: {strays}"
