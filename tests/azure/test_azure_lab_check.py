"""Azure's findings end to end: misconfigured in the lab, read by the real packages from the lab's API, found and named."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import cli
from harness.azure import backend_health
from harness.azure.client import sdk_clients
from harness.azure.inventory import resource_reader
from harness.azure.lint.lint_load_balancer import judge
from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.finding import Finding, Weight
from harness.lab.azure.control_client import ControlClient
from harness.lab.azure.state import misconfigurations
from harness.lab.lifecycle import default_cluster, launch
from tests.e2e import forked_commands
from tests.pytest_process import PYTEST

ROOT = Path(__file__).parents[2]
AZURES = ("azure.identity", "azure.mgmt.core.polling.arm_polling", "azure.mgmt.compute", "azure.mgmt.network")  # what reading loads

# Each of the lab's misconfigurations: the first fact of its finding, whose it is, words of it.
NAMED: dict[str, tuple[str, str, str]] = {
    "basic-sku": ("ILB-26", "ilb", "Basic"),
    "public-frontend": ("DES-05", "ilb", "not internal"),
    "dynamic-frontend": ("DES-05", "ilb", "dynamically"),
    "other-frontend": ("DES-09", "ilb", "no frontend has"),
    "probe-protocol": ("PRB-04", "ilb", "by http"),
    "probe-port": ("PRB-22", "ilb", "port 12346"),
    "probe-interval": ("PRB-05", "ilb", "every"),
    "probe-threshold": ("PRB-07", "ilb", "probeThreshold is 3"),
    "number-of-probes": ("PRB-08", "ilb", "does nothing"),
    "rule-without-probe": ("PRB-19", "ilb", "no health probe"),
    "floating-ip": ("DES-01", "ilb", "floating IP is"),
    "backend-port": ("ILB-09", "ilb", "on to"),
    "session-persistence": ("FLOW-02", "ilb", "SourceIP"),
    "idle-timeout": ("IDLE-01", "ilb", "given up after"),
    "tcp-reset": ("IDLE-03", "ilb", "is on"),
    "missing-rule": ("ILB-19", "ilb", "port 1521"),
    "secondary-in-pool": ("ILB-13", "lknode01", "secondary ip configuration"),
    "ip-forwarding": ("FAB-08", "lknode01", "on at"),
    "diverted-routes": ("FAB-13", "lknode01", "VirtualAppliance"),
    "node-outside-pool": ("DES-09", "lknode02", "not in it"),
    "admin-state-up": ("FLOW-11", "lknode02", "adminState is Up"),
    "admin-state-down": ("FLOW-11", "lknode02", "adminState is Down"),
    "all-probed-up": ("FLOW-08", "ilb", "AllProbedUp"),
    "nsg-denies-probes": ("NSG-08", "lknode01", "168.63.129.16"),
    "nsg-denies-clients": ("NSG-04", "lknode02", "10.20.1.20 (client)"),
}
BY_DESIGN = ("other-frontend", "rule-without-probe", "floating-ip", "backend-port", "missing-rule", "secondary-in-pool")
"""What a rule with floating IP is judged by in another way; all else of the second design is for --deep."""
# In this order in every test, so that tests of one lab come one after the other.
MOSTLY_NAT = pytest.mark.parametrize("rig", ["nat", pytest.param("floating", marks=pytest.mark.deep)], indirect=True)
NOTES = {"number-of-probes", "ip-forwarding"}
# Two rules, and a manager that seldom looks at what runs: nothing fails here, and its looks would be half of what the lab costs.
SERVICES = [s for s in default_cluster.DEFAULT_CLUSTER["services"] if s["name"] in ("listener", "web")]
CALM = {"services": SERVICES, "manager": {"check_interval_s": 5.0, "heartbeat_s": 1.0}}


class Rig:
    def __init__(self, lab: launch.RunningLab) -> None:
        self.lab = lab
        self.cluster = cluster_config.load(lab.cluster_file)
        assert self.cluster.azure is not None
        self.clients = sdk_clients.make_clients(self.cluster.azure)
        self.hand = ControlClient(self.cluster.azure)

    def findings(self) -> list[Finding]:
        seen = resource_reader.look(self.clients, {m.name: m.name for m in self.cluster.machines}, self.cluster.vip)
        return judge(self.cluster, seen)


@pytest.fixture(scope="module", params=["nat", "floating"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    running = launch.up(
        default_cluster.cluster_data("fast", {"design": request.param, **CALM}),
        name=f"check-{request.param}-{os.getpid()}",
        persistent=False,
        azure=True,
    )
    try:
        yield Rig(running)
    finally:
        running.down()


def test_every_misconfiguration_of_the_lab_is_expected_here() -> None:
    assert set(NAMED) == set(misconfigurations.sentences())


def test_a_healthy_lab_has_no_finding(rig: Rig) -> None:
    assert rig.findings() == []


@MOSTLY_NAT
@pytest.mark.parametrize("kind", NAMED)
def test_it_is_found_and_named(rig: Rig, kind: str) -> None:
    fact, host, words = NAMED[kind]
    rig.hand.misconfigure(kind)
    try:
        found = rig.findings()
    finally:
        rig.hand.clear()
    assert all(words in f"{f.what}: {f.says}" or f.facts[0] == fact for f in found), found
    [first, *_] = [f for f in found if f.facts and f.facts[0] == fact and f.host == host and words in f.says]
    assert first.weight is (Weight.NOTE if kind in NOTES else Weight.FAULT)


@pytest.mark.parametrize("rig", [pytest.param("nat", marks=pytest.mark.deep), "floating"], indirect=True)
@pytest.mark.parametrize("kind", BY_DESIGN)
def test_what_depends_on_the_design_is_found_in_the_other_one_too(rig: Rig, kind: str) -> None:
    test_it_is_found_and_named(rig, kind)


def test_the_balancers_own_word_has_its_reason(rig: Rig) -> None:
    balancer = resource_reader.balancer(rig.clients, rig.cluster.vip)
    [rule] = backend_health.rules_to_ask(balancer, rig.cluster.vip)
    told = backend_health.read_member_health(rig.clients, balancer, rule, Deadline(20))
    assert {w.reason for w in told.values()} == {"Up_Probe_Success", "Down_Probe_TcpProbeTimeout"}


@MOSTLY_NAT
def test_check_says_it_beside_the_paths(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole command: what Azure has wrong makes it fail, and what is right is said too."""
    file = str(rig.lab.cluster_file)
    assert cli.main(["check", "--cluster", file]) == 0
    rig.hand.misconfigure("idle-timeout")
    try:
        code = cli.main(["check", "--cluster", file])
    finally:
        rig.hand.clear()
    said = capsys.readouterr().out
    assert code == 1 and "IDLE-01" in said and "reaches the active node" in said


@pytest.mark.heavy
@pytest.mark.timeout(900)
@MOSTLY_NAT
def test_the_suite_fails_by_what_azure_has_wrong(rig: Rig, tmp_path: Path) -> None:
    """Every path may work all the same: with the standby outside the pool nothing is amiss until a failover."""
    words = [*PYTEST, "-q", "tests/acceptance/test_azure.py", "--cluster", str(rig.lab.cluster_file), "--reports", str(tmp_path)]

    def suite() -> subprocess.CompletedProcess[str]:
        return forked_commands.run(words, folder=ROOT, environment=dict(os.environ), limit_s=600.0, loads=AZURES)

    whole = suite()
    assert (whole.returncode, "1 passed" in whole.stdout) == (0, True), whole.stdout
    rig.hand.misconfigure("node-outside-pool")
    try:
        wrong = suite()
    finally:
        rig.hand.clear()
    assert wrong.returncode == 1 and "the node is not in it" in wrong.stdout, wrong.stdout


def test_init_writes_the_file_of_the_lab(rig: Rig, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything that Azure can tell is as the lab has it; what it cannot tell is said."""
    file = tmp_path / "cluster.toml"
    assert cli.main(["init", "--azure", "--azure-from", str(rig.lab.cluster_file), str(file)]) == 0
    made, own = cluster_config.load(file), rig.cluster
    assert (made.design, made.vip, made.subnet1, made.subnet2) == (own.design, own.vip, own.subnet1, own.subnet2)
    assert [(n.name, n.address, n.second_address) for n in made.nodes] == [(n.name, n.address, n.second_address) for n in own.nodes]
    assert (made.client.name, made.client.address) == (own.client.name, own.client.address)
    # Azure has whole minutes and seconds; the lab's own timers are shorter.
    whole = {"idle_timeout_s": 60.0, "probe": own.load_balancer.probe.model_copy(update={"interval_s": 1.0})}
    assert made.load_balancer == own.load_balancer.model_copy(update=whole)
    assert [(s.kind, s.port) for s in made.services] == [(s.kind, s.port) for s in own.services]
    assert made.azure == own.azure
    assert "Azure cannot tell the tags" in capsys.readouterr().out
