"""The default plan of two ordinary clusters: what runs, and what is skipped or refused with which sentence.

A Pacemaker pair on Azure (one ring, fencing by fence_azure_arm, two groups), by Pacemaker's own tools; a LifeKeeper pair that replicates.
"""

from __future__ import annotations

import contextlib
import subprocess
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.attach.disruption_preconditions import Preconditions
from harness.attach.execution_plan import ExecutionPlan, PlannedDisruption, show
from harness.config import cluster_config
from harness.disrupt import disruption
from harness.hosts.host import CommandResult
from harness.hosts.linux.linux_parse import InterfaceAddress
from harness.lab.lifecycle import default_cluster
from harness.managers.kinds.lifekeeper import LifeKeeper
from harness.managers.kinds.pacemaker import Pacemaker
from harness.pytest_plugin.measurement_plan import Plan
from tests.lab.pacemaker_states import LINKS, N1, N2, TOOLS, VOTES, OnFile, State, run

POWER = {"off": ["cut", "{node}"], "on": ["give", "{node}"], "reboot": ["reset", "{node}"], "freeze": ["hold"], "thaw": ["go"]}
SPLITS = [name for name, kind in disruption.all_of().items() if kind.splits]
FULL_CUT = "names 1 communication paths instead of 2, so the nodes would not reach each other at all, and one of them might be fenced"


def cluster(kind: str, **manager: Any) -> cluster_config.Cluster:
    web = {"name": "web", "kind": "http", "port": 80, "tag": "web"}
    given = {"manager": {"kind": kind, "resource": "g1", **manager}, "services": [web], "ip_resource": {"tag": "ip"}, "power": POWER}
    return cluster_config.Cluster.model_validate(default_cluster.cluster_data(overrides=given))


class Node:
    """Answers the manager's questions by `said`, and otherwise as a node that has every tool."""

    def __init__(self, said: Any) -> None:
        self._said = said

    def run(self, command: Any, *, limit: float = 10.0, input: bytes | None = None) -> CommandResult:
        line = command if isinstance(command, str) else " ".join(command)
        if input is not None:  # what a node's own tool makes of the words that it is given
            asked = subprocess.run(line, shell=True, input=input, capture_output=True, timeout=60)
            return CommandResult("", line, asked.returncode, asked.stdout.decode(), asked.stderr.decode(), 0.0, 0.0)
        code, out = self._said(line)
        return CommandResult("", line, code, out, "", 0.0, 0.0)

    def check(self, command: Any, *, limit: float = 10.0) -> str:
        return "/shared\n\n\n\n" if "readlink" in str(command) else "40\n"


def plan_of(manager: Any, told: cluster_config.Cluster, hosts: dict[str, Node], *names: str, allow_unproven: bool = False) -> ExecutionPlan:
    """By the same steps as a session: the options' plan, and what the cluster permits of it."""
    ports = [told.services[0].port, told.load_balancer.probe.port]
    facts = SimpleNamespace(listeners=lambda: [SimpleNamespace(port=p, pid=100 + i, process="x") for i, p in enumerate(ports)])
    nics = (("eth0", told.node(N1).address), ("eth1", told.node(N1).second_address))
    facts.addresses = lambda: [InterfaceAddress(nic, str(address), 24, "UP") for nic, address in nics]
    subject = SimpleNamespace(
        cluster=told,
        active=N1,
        standby_of=lambda active: told.peer_of(active).name,
        manager=manager,
        state=lambda **limit: manager.state(**limit),
        hosts={**hosts, told.client.name: hosts[N1]},
        facts={m.name: facts for m in told.machines},
        one_look=contextlib.nullcontext,
    )
    options = Namespace(
        disruption=list(names), period=10, repeat=1, sweep=0, seed=None, allow_unproven=allow_unproven, soak_for=None, availability=None
    )
    plan = Plan.of_options(options)
    asked = Preconditions(subject, frozenset(plan.names), allow_unproven=plan.allow_unproven)  # type: ignore[arg-type]
    wanted = [PlannedDisruption(one.name, measured=True) for one in plan.measurements(told)]
    return show(subject, wanted, asked)  # type: ignore[arg-type]


def runs(shown: ExecutionPlan) -> set[str]:
    return {e.wanted.name for e in shown.entries if not e.skipped and not e.refused}


def why_not(shown: ExecutionPlan) -> dict[str, str]:
    return {e.wanted.name: e.skipped or e.refused for e in shown.entries if e.skipped or e.refused}


# Pacemaker on Azure

AZURE = """<cib crm_feature_set="3.0.14" validate-with="pacemaker-3.0" epoch="1" num_updates="0" admin_epoch="1" have-quorum="1"
dc-uuid="1">
<configuration><crm_config><cluster_property_set id="o"><nvpair id="s" name="stonith-enabled" value="true"/></cluster_property_set>
</crm_config>
<nodes><node id="1" uname="lknode01"/><node id="2" uname="lknode02"/></nodes>
<resources><primitive id="fence" class="stonith" type="fence_azure_arm"/>
<group id="g1"><primitive id="ip" class="ocf" provider="heartbeat" type="IPaddr2"/>
<primitive id="web" class="ocf" provider="heartbeat" type="apache"/>
<primitive id="lb" class="ocf" provider="heartbeat" type="azure-lb"/></group>
<group id="g2"><primitive id="ers-ip" class="ocf" provider="heartbeat" type="IPaddr2"/></group></resources>
<constraints><rsc_location id="home" rsc="g1" node="lknode01" score="50"/>
<rsc_location id="home2" rsc="g2" node="lknode01" score="50"/>{rules}
</constraints></configuration><status/></cib>
"""
TIED = '<rsc_colocation id="both" rsc="g2" with-rsc="g1" score="INFINITY"/>'
on_pacemaker = pytest.mark.skipif(not TOOLS, reason="install pacemaker-cli-utils for Pacemaker's own scheduler")


def a_pair_on_azure(folder: Path, *names: str, rules: str = "", boots: str = "enabled", links: str = LINKS, **about: Any) -> ExecutionPlan:
    first, settled = folder / "first.xml", folder / "settled.xml"
    first.write_text(AZURE.format(rules=rules))
    run(f"crm_simulate -x {first} -S -u {N1} -u {N2} -O {settled}", first)
    state = State(settled, [], True, True, VOTES.format(quorum=1, flags="2Node Quorate WaitForAll"), False)
    pacemaker, told = OnFile(state, links=links), cluster("pacemaker")

    def said(line: str) -> tuple[int, str]:
        if "systemctl is-enabled" in line:
            return 0, f"pacemaker {boots}\n"
        asks = ("crm_mon", "cibadmin -Q", "corosync-quorumtool", "stonith_admin")
        return (0, pacemaker.run(line, limit=10.0).out) if any(word in line for word in asks) else (0, "")

    hosts = {name: Node(said) for name in (N1, N2)}
    return plan_of(Pacemaker(told, hosts), told, hosts, *names, **about)  # type: ignore[arg-type]


@on_pacemaker
def test_a_pacemaker_pair_on_azure_whose_groups_move_together(tmp_path: Path) -> None:
    shown = a_pair_on_azure(tmp_path, rules=TIED)
    assert runs(shown) >= {
        *(
            "none",
            "switchover",
            "failback",
            "service crash",
            "service hang",
            "probe responder crash",
            "IP resource lost",
        ),
        *("power loss", "node reboot", "manager crash", "probe blocked"),
    }
    refused = why_not(shown)
    ordered = "Pacemaker would not stop ip alone, as ers-ip, lb, web would have to stop first (crm_simulate)"  # in one group, after it
    assert ordered in refused.pop("IP resource out")
    for name in ("NIC down Subnet#1", "NIC down Subnet#2", "one comm path cut"):
        assert f"{N1} {FULL_CUT}" in refused.pop(name)
    assert not set(SPLITS) & {e.wanted.name for e in shown.entries}
    assert set(refused) <= {"idle beyond the balancer's timeout", "shared disk full"}, refused  # which this cluster has nothing for


@on_pacemaker
def test_a_second_group_that_stays_behind_stops_what_may_move(tmp_path: Path) -> None:
    shown = a_pair_on_azure(tmp_path)
    assert runs(shown) - {"idle beyond the balancer's timeout"} == {"none", "responder up on both nodes"}
    assert "moving g1 (manager.resource) does not move ers-ip, g2, which the cluster manager has besides" in why_not(shown)["switchover"]


@on_pacemaker
def test_a_split_is_done_where_it_is_named_and_says_what_is_lost(tmp_path: Path) -> None:
    two = LINKS + LINKS.split("\n", 1)[1].replace("LINK ID 0", "LINK ID 1")
    shown = a_pair_on_azure(tmp_path, *SPLITS, rules=TIED, links=two)
    assert "node freeze" in runs(shown), why_not(shown)
    assert "lost by it: data written meanwhile on the losing side is lost" in shown.as_text()


@on_pacemaker
def test_pacemaker_that_is_not_started_at_boot(tmp_path: Path) -> None:
    """What reboots a node is skipped with the unit's name; the rest goes on."""
    shown = a_pair_on_azure(tmp_path, rules=TIED, boots="disabled")
    refused = why_not(shown)
    for name in ("power loss", "node reboot"):
        assert "lknode01: pacemaker is disabled, so it is not started when the node boots (systemctl enable pacemaker)" in refused[name]
    assert {"switchover", "service crash", "manager crash"} <= runs(shown)


# LifeKeeper with a mirror

TABLE = """LOCAL     TAG      ID       STATE     PRIO  PRIMARY
{node}  g1       g1       {state}         {prio}  lknode01
{node}   web     web      {state}         {prio}  lknode01
{node}    ip     IP-10.20.1.200  {state}  {prio}  lknode01
{node}    data   data     {state}         {prio}  lknode01

MACHINE   NETWORK ADDRESSES/DEVICE       STATE     PRIO
{peer}  TCP     10.20.1.11/10.20.1.12  ALIVE        1
{peer}  TCP     10.20.2.11/10.20.2.12  ALIVE        2
"""
INSTANCES = "n|gen|app|g1|g1|i|ISP\nn|gen|app|web|web|i|ISP\nn|comm|ip|ip|IP-10.20.1.200|i|ISP\nn|scsi|netraid|data|data|i|ISP\n"


def a_pair_that_replicates(*names: str, mirror: int = 0, boots: str = "enabled", manager: dict[str, Any], **about: Any) -> ExecutionPlan:
    told = cluster("lifekeeper", **manager)

    def of(node: str, peer: str, state: str, prio: int) -> Node:
        def said(line: str) -> tuple[int, str]:
            if "lcdstatus" in line:
                return 0, TABLE.format(node=node, peer=peer, state=state, prio=prio)
            if "systemctl" in line:
                return 0, f"lifekeeper {boots}\n"
            if "in-sync" in line:
                return mirror, "resynchronising, 40 %\n" if mirror else ""
            texts = {"ins_list": INSTANCES, "flg_list": "shutdown_switchover\n", "lkpolicy": "Failover: On\nLocalRecovery: On\n"}
            return 0, next((text for word, text in texts.items() if word in line), "")

        return Node(said)

    hosts = {N1: of(N1, N2, "ISP", 1), N2: of(N2, N1, "OSU", 10)}
    return plan_of(LifeKeeper(told, hosts), told, hosts, *names, **about)  # type: ignore[arg-type]


KNOWN = {"mirror_check": ["in-sync", "{to}"], "quorum": "off"}
NEEDS_NOTHING = {"none", "responder up on both nodes", "idle beyond the balancer's timeout"}


def test_a_lifekeeper_pair_of_which_nothing_is_known() -> None:
    """Its mirror's state and its quorum are nobody's guess; the operator may say so, and then that is in the plan."""
    shown = a_pair_that_replicates(manager={})
    assert runs(shown) <= NEEDS_NOTHING
    said = why_not(shown)
    assert "data copies data to the other node, and no manager.mirror_check tells whether the copy on lknode02" in said["switchover"]
    assert "--allow-unproven does it all the same" in said["switchover"]
    assert "no QUORUM_MODE is set" in said["power loss"] and "QUORUM_MODE" not in said["switchover"]
    all_the_same = a_pair_that_replicates(manager={}, allow_unproven=True)
    assert {"switchover", "power loss", "service crash"} <= runs(all_the_same)
    assert "not proven, and done all the same (--allow-unproven): data copies data" in all_the_same.as_text()


def test_a_lifekeeper_pair_whose_mirror_is_known() -> None:
    shown = a_pair_that_replicates(manager=KNOWN)
    assert {"switchover", "failback", "power loss", "node reboot", "service crash", "NIC down Subnet#2", "one comm path cut"} <= runs(shown)
    assert not set(SPLITS) & {e.wanted.name for e in shown.entries}


def test_a_mirror_that_is_not_in_sync_stops_what_may_move() -> None:
    shown = a_pair_that_replicates(manager=KNOWN, mirror=1, allow_unproven=True)
    assert runs(shown) <= NEEDS_NOTHING
    assert "the copy of the data on lknode02 is not complete, or goes the other way" in why_not(shown)["one comm path cut"]


def test_a_pair_that_replicates_is_never_split() -> None:
    """Named, allowed, and all the same not done: nothing would stop one side."""
    shown = a_pair_that_replicates(*SPLITS, manager=KNOWN, allow_unproven=True)
    assert runs(shown) == set()
    for why in why_not(shown).values():
        assert "fencing is not proven: lknode01: nothing is known to stop one side" in why


def test_lifekeeper_that_is_not_started_at_boot() -> None:
    shown = a_pair_that_replicates(manager=KNOWN, boots="disabled")
    assert "lknode02: lifekeeper is disabled, so it is not started when the node boots" in why_not(shown)["power loss"]
    assert "switchover" in runs(shown)
