"""A stranger's cluster, which a running lab stands for: what is shown, refused, leased and found. One lab. What a run that may disturb
puts back is test_attach's."""

from __future__ import annotations

import json
import re
import signal
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli_w
from command_shell import Shell, shell_in

from harness.attach.lease import FOLDER, Lease, LeaseHeld
from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.hosts.ssh.ssh_host import connect_all
from tests.pytest_process import PYTEST

SWITCHOVER = "tests/acceptance/test_switching.py::test_switchover[there]"
STATE = "/opt/LifeKeeper/bin/lcdstatus -q"
STAYS = """
import threading

def pytest_runtest_call():  # it has the lease and has shown its plan, and what comes next costs nobody anything
    threading.Event().wait()
"""


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with shell_in(tmp_path_factory.mktemp("state")) as one:
        one.up("--name", "stranger", "--file", one.modest("web"))
        yield one


@pytest.fixture
def file(shell: Shell) -> Path:
    return shell.labs / "stranger" / "cluster.toml"


def sh(shell: Shell, host: str, line: str) -> str:
    return shell.inside("stranger", host, line)


def run_of(reports: Path) -> dict:
    return json.loads((reports / "latest" / "run.json").read_text())


def test_check_names_what_is_wrong(shell: Shell, file: Path):
    """And no more. The first test of the file, while the lab is as it was brought up; that a sound cluster is quiet is
    test_check_findings'."""
    found = {n["role"]: n["name"] for n in shell.status()["nodes"]}
    node, standby = found["active"], found["standby"]
    drops = "tcp dport 80 ip saddr 10.9.9.9 drop; iifname eth0 tcp dport 80 drop;"
    rules = f"table inet torn {{ chain in {{ type filter hook input priority 0; {drops} }}; }}"
    sh(shell, node, f"printf '%s' '{rules}' | nft -f -; echo 1 >/proc/sys/net/ipv4/conf/eth1/rp_filter")
    sh(shell, standby, "ip addr add 10.20.1.200/32 dev eth1")
    try:
        done = shell.lkharness("check", "--json", "--cluster", file)
    finally:
        sh(shell, node, "nft delete table inet torn; echo 0 >/proc/sys/net/ipv4/conf/eth1/rp_filter")
        sh(shell, standby, "ip addr del 10.20.1.200/32 dev eth1")
    named = {(f["host"], f["what"], f["weight"]) for f in json.loads(done.stdout)["findings"]}
    faults = {(node, "firewall", "fault"), (standby, "VIP", "fault")}
    assert done.returncode == 1 and named - faults == {(node, "rp_filter", "note")} and faults <= named


def test_a_dry_run_shows_every_command_and_does_nothing(shell: Shell, file: Path, tmp_path: Path):
    before = shell.status()
    done = shell.pytest("tests/acceptance", "tests/failover", "-q", "--cluster", file, "--dry-run", "--reports", tmp_path / "none")
    assert done.returncode == 0, done.stdout
    said = done.stdout
    assert "perform_action -t cluster-services -a restore" in said and "nft -f -" in said and "kill -KILL" in said
    assert re.search(r"do on this machine:\n.*lab power .*off", said) and "undone: " in said and "nothing was done" in said
    assert not (tmp_path / "none").exists()
    after = shell.status()
    assert (after["pid"], after["nodes"]) == (before["pid"], before["nodes"])
    assert "lease" not in sh(shell, "lknode01", "ls /run")


@pytest.fixture
def knows_less(file: Path) -> Iterator[Path]:
    """The lab's file without what only a person knows: quorum, what holds a reservation, whether the manager starts at boot."""
    data = tomllib.loads(file.read_text())
    for name in ("quorum", "reservation_types", "starts_at_boot"):
        del data["manager"][name]
    less = file.with_name("less.toml")
    less.write_text(tomli_w.dumps(data))
    yield less
    less.unlink()


def test_what_is_not_proven_is_refused_and_an_option_does_it_all_the_same(shell: Shell, knows_less: Path):
    """What cannot be known of a lost node does not stop a switchover."""
    words = ["tests/failover", "-q", "--cluster", knows_less, "--trust-cluster-file", "--dry-run"]
    words += ["--disruption", "switchover", "--disruption", "power loss"]
    plan, allowed = (shell.pytest(*words, *more).stdout for more in ((), ("--allow-unproven",)))
    why = "lknode01: no QUORUM_MODE is set, which is majority where the quorum package is installed"
    assert "power loss: skipped, because it is not proven that the cluster manager starts at boot (--allow-unproven" in plan
    assert "switchover, on lknode01" in plan and "refused" not in plan
    assert "power loss, on lknode01" in allowed and re.search(rf"not proven, and done all the same \(--allow-unproven\): .*{why}", allowed)


def test_a_split_that_nobody_would_decide_is_skipped_and_not_done(shell: Shell, knows_less: Path, tmp_path: Path):
    before = shell.status()
    words = ["--cluster", knows_less, "--trust-cluster-file", "--allow-disruption", "--allow-unproven", "--reports", tmp_path]
    done = shell.pytest("tests/failover", "-rs", *words, "--disruption", "node freeze")
    assert "1 skipped" in done.stdout and "fencing is not proven: lknode01: nothing is known to stop one side" in done.stdout
    assert shell.status()["nodes"] == before["nodes"]
    assert [test["disruptions"] for test in run_of(tmp_path)["tests"]] == [[]]


@pytest.mark.heavy
def test_the_second_run_is_refused_and_a_killed_ones_lease_ends(shell: Shell, file: Path, tmp_path: Path):
    (tmp_path / "stays.py").write_text(STAYS)
    words = [*PYTEST, "-p", "stays", SWITCHOVER, "-q", "--cluster", file, "--allow-disruption", "--reports", tmp_path / "first"]
    first = shell.begin(*words, PYTHONPATH=str(tmp_path))
    try:
        Deadline(120).wait_for(
            lambda: "yes" in sh(shell, "lknode02", f"[ ! -e {FOLDER}/lease ] || echo yes"), what="the first run's lease", every=0.25
        )
        second = shell.pytest(SWITCHOVER, "-q", "--cluster", file, "--allow-disruption", "--reports", tmp_path / "second")
        assert second.returncode == 4, second.stdout
        run = (tmp_path / "first" / "latest").resolve().name
        assert f"process {first.pid}, run {run}" in re.sub(r"\s+", " ", second.stdout + second.stderr)
        assert run_of(tmp_path / "second")["tests"] == []
        reading = shell.pytest(
            "tests/acceptance/test_placement.py::test_one_active_node", "-q", "--cluster", file, "--reports", tmp_path / "third"
        )
        assert reading.returncode == 0, f"who only reads needs no lease: {reading.stdout}"
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    killed = Deadline(120)
    cluster = cluster_config.load(file)
    hosts = connect_all(cluster)
    next_one = Lease({n.name: hosts[n.name] for n in cluster.nodes}, "the next")

    def taken() -> bool:
        try:
            next_one.take()
        except LeaseHeld:
            return False
        return True

    try:
        killed.wait_for(taken, what="the killed run's lease to end", every=1.0)
        assert next_one.give_back() == []
    finally:
        for host in hosts.values():
            host.close()


@pytest.mark.heavy
def test_a_cluster_with_a_dead_comm_path_is_not_disturbed(shell: Shell, file: Path, tmp_path: Path):
    """And `check` names it, besides what else is wrong there."""
    cut = "table inet torn { chain in { type filter hook input priority 0; ip saddr 10.20.2.0/24 drop; }; }"
    sh(shell, "lknode02", f"printf '%s' '{cut}' | nft -f -")
    try:
        dead = Deadline(120)
        dead.wait_for(lambda: "DEAD" in sh(shell, "lknode01", STATE), what="the path being DEAD", every=0.5)
        done = shell.pytest(SWITCHOVER, "-q", "--cluster", file, "--allow-disruption", "--reports", tmp_path)
        assert done.returncode == 1, done.stdout
        (audit,) = run_of(tmp_path)["audits"]
        assert (audit["after"], audit["verdict"]["outcome"]) == (None, "fail") and "dead" in audit["verdict"]["reason"]
        (test,) = run_of(tmp_path)["tests"]
        assert test["verdict"]["outcome"] == "inconclusive" and not test["disruptions"] and "dead" in test["verdict"]["reason"]
        checked = shell.lkharness("check", "--cluster", file)
        assert checked.returncode == 1 and "communication path: " in checked.stdout and "(LKL-36)" in checked.stdout
    finally:
        sh(shell, "lknode02", "nft delete table inet torn")
    whole = Deadline(120)
    whole.wait_for(lambda: "DEAD" not in sh(shell, "lknode01", STATE), what="the path being back", every=0.5)


def test_check_goes_on_without_a_node_that_cannot_be_reached(shell: Shell, file: Path):
    standby = next(n["name"] for n in shell.status()["nodes"] if n["role"] == "standby")
    assert shell.lkharness("lab", "power", "off", standby).returncode == 0
    try:
        done = shell.lkharness("check", "--json", "--cluster", file)
    finally:
        assert shell.lkharness("lab", "power", "on", standby).returncode == 0
    found = json.loads(done.stdout)
    assert done.returncode == 4 and (standby, "unreachable") in {(f["host"], f["weight"]) for f in found["findings"]}
    assert {(p["path"], p["outcome"]) for p in found["paths"]} == {("client", "pass"), ("inside", "pass")}
