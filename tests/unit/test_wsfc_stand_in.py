"""The lab's stand-in for Windows' failover cluster: what the cluster beneath knows, told in the rows of the script's contract and read back
by the adapter that reads the product's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.config import cluster_config
from harness.core.errors import BadUse
from harness.hosts.windows import script_contract
from harness.lab import lab_config, lifekeeper_config
from harness.lab.guests.windows import underlying_node
from harness.lab.guests.windows.script_answers import Missing, ScriptError, answer
from harness.lab.guests.windows.stand_ins import collect_scripts, host_scripts, lifekeeper_scripts, wsfc_rows, wsfc_scripts
from harness.lab.lifecycle import default_cluster
from harness.managers.manager import Answer, CommPath, Question, ResourceState
from harness.managers.parse import wsfc_parse
from harness.managers.rules.wsfc_quorum_rules import fenced_by
from harness.managers.switchover_readiness import Case

ROLE, IP, LISTENER, DISK = "cluster-services", "ip-10.20.1.200", "listener-1521", "disk-shared"
IN, OUT = ResourceState.IN_SERVICE, ResourceState.STANDBY
ALL_IN, ALL_OUT = dict.fromkeys((ROLE, IP, LISTENER, DISK), "ISP"), dict.fromkeys((ROLE, IP, LISTENER, DISK), "OSU")
ADDRESSES = ("10.20.1.11", "10.20.2.11")


def seen_by(node: str = "lknode01", **about: Any) -> dict[str, Any]:
    """What the daemon of a whole cluster knows on one of its nodes; lknode01 has everything."""
    first = node == "lknode01"
    known = {
        "node": node,
        "peer": "lknode02" if first else "lknode01",
        "home": "lknode01",
        "phase": "running",
        "states": ALL_IN if first else ALL_OUT,
        "claims": [],
        "contact": True,
        "of_peer": {"phase": "running", "states": ALL_OUT if first else ALL_IN, "claims": []},
        "paths": [{"local": f"10.20.{i}.1{node[-1]}", "peer": f"10.20.{i}.1{3 - int(node[-1])}", "alive": True} for i in (1, 2)],
        "witness": {"holder": "lknode01", "reachable": True, "lost": False},
        "paused": False,
        "failover_threshold": 1_000_000,
        "failover_period_s": 21600.0,
        "resources": [
            {"tag": ROLE, "kind": "group", "children": [LISTENER], "parameters": {}},
            {"tag": LISTENER, "kind": "gen", "children": [IP, DISK], "parameters": {}},
            {"tag": IP, "kind": "probed-ip", "children": [], "parameters": {"address": "10.20.1.200", "prefix": 32, "port": 12345}},
            {"tag": DISK, "kind": "disk", "children": [], "parameters": {}},
        ],
    }
    return known | about


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch):
    """The whole answer of a script, where the daemon knows that; held against the contract on its way, as on a node."""
    monkeypatch.setattr(underlying_node, "setting", lambda name: {"manager": "wsfc", "lifekeeper": "/opt/LifeKeeper"}[name])
    links = [{"ifname": f"eth{i}", "flags": ["UP"], "addr_info": [{"local": one}]} for i, one in enumerate(ADDRESSES)]
    monkeypatch.setattr(underlying_node, "links", lambda: links)

    def tell(view: Mapping[str, Any] | None, name: str = "wsfc-state", **parameters: str) -> dict[str, Any]:
        monkeypatch.setattr(wsfc_scripts, "view", lambda: view)
        return answer(name, parameters)

    return tell


def rows(said: dict[str, Any]) -> list[dict[str, Any]]:
    assert said["ok"], said
    return said["rows"]


def test_both_nodes_tell_one_cluster(told) -> None:
    of_both = {node: wsfc_parse.node_state(node, ROLE, rows(told(seen_by(node)))) for node in ("lknode01", "lknode02")}
    assert of_both["lknode01"].resources == {IP: IN, LISTENER: IN, DISK: IN}
    assert of_both["lknode02"].resources == {IP: OUT, LISTENER: OUT, DISK: OUT} and of_both["lknode02"].stands_by
    assert of_both["lknode01"].comm_paths == (
        CommPath("lknode02", "10.20.1.11/10.20.1.12", True),
        CommPath("lknode02", "10.20.2.11/10.20.2.12", True),
    )


@pytest.mark.parametrize("asked", [{}, {"Group": ROLE}, {"Group": "cluster-SERVICES"}, {"Resource": IP}])
def test_every_kind_of_question_is_answered_as_the_contract_says(told, asked: dict[str, str]) -> None:
    kinds = {row["K"] for row in rows(told(seen_by(), **asked))}
    more = {"owners", "quorum"} if "Group" in asked else {"dependency", "address"} if asked else {"network", "nic"}
    assert kinds == {"service", "node", "group", "resource"} | more
    assert kinds <= script_contract.contract_of("wsfc-state").rows.keys()


@pytest.mark.parametrize("question", list(Question))
def test_the_role_may_be_moved_and_survives_the_loss_of_a_node(told, question: Question) -> None:
    found = wsfc_parse.read(rows(told(seen_by("lknode02"), Group=ROLE)))
    case: Case = wsfc_parse.allowed("lknode02", ROLE, "lknode02", found, question)
    assert (case.against, case.unknown) == ([], [])


def test_without_its_witness_the_survivor_would_stop(told) -> None:
    view = seen_by("lknode02", witness={"holder": None, "reachable": False, "lost": False})
    found = wsfc_parse.read(rows(told(view, Group=ROLE)))
    assert "1 of 3 votes were left, as the witness Quorum Disk is Failed" in str(
        wsfc_parse.allowed("lknode02", ROLE, "lknode02", found, Question.LOST).against
    )
    assert wsfc_parse.allowed("lknode02", ROLE, "lknode02", found, Question.TOLD).against == []


def test_quorum_would_stop_one_side_of_a_split(told) -> None:
    def fencing(**about: Any) -> Answer:
        return fenced_by({node: wsfc_parse.read(rows(told(seen_by(node, **about), Group=ROLE))) for node in ("lknode01", "lknode02")})

    assert fencing().yes
    assert "Quorum Disk is Failed" in str(fencing(witness={"holder": None, "reachable": False, "lost": False}).because)
    assert not fencing(contact=False, of_peer={}).yes


def test_the_witness_votes_while_two_nodes_do(told) -> None:
    (both,) = [row for row in rows(told(seen_by(), Group=ROLE)) if row["K"] == "quorum"]
    alone = rows(told(seen_by(contact=False, of_peer={}), Group=ROLE))
    (one,) = [row for row in alone if row["K"] == "quorum"]
    assert (both["WitnessVote"], one["WitnessVote"]) == (1, 0)
    assert {row["Name"]: (row["State"], row["Vote"]) for row in alone if row["K"] == "node"} == {
        "lknode01": ("Up", 1),
        "lknode02": ("Down", 0),
    }


@pytest.mark.parametrize(
    ("about", "owner", "state"),
    [
        ({}, "lknode01", "Online"),
        # it is moved: still whole here, half gone here, gone here and coming there, half come there
        ({"of_peer": {"states": ALL_OUT, "claims": [IP]}}, "lknode01", "Online"),
        ({"states": {**ALL_IN, LISTENER: "OSU"}, "of_peer": {"states": ALL_OUT, "claims": [IP]}}, "lknode01", "PartialOnline"),
        ({"states": ALL_OUT, "of_peer": {"states": ALL_OUT, "claims": [IP, LISTENER, DISK]}}, "lknode02", "Pending"),
        ({"states": ALL_OUT, "of_peer": {"states": {**ALL_OUT, IP: "ISP"}, "claims": [LISTENER]}}, "lknode02", "Pending"),
        ({"states": ALL_IN, "of_peer": {"states": {**ALL_OUT, IP: "ISP"}, "claims": [IP]}}, "lknode01", "Online"),
        # nothing is anywhere: where it failed, else at home
        ({"states": {**ALL_OUT, IP: "OSF"}}, "lknode01", "Failed"),
        ({"states": {**ALL_IN, LISTENER: "OSF"}}, "lknode01", "PartialOnline"),
        ({"states": ALL_OUT, "of_peer": {"states": {**ALL_OUT, IP: "OSF"}, "claims": []}}, "lknode02", "Failed"),
        ({"states": ALL_OUT}, "lknode01", "Offline"),
        # alone: it is this node's, whatever it has
        ({"states": ALL_OUT, "contact": False, "of_peer": {}}, "lknode01", "Offline"),
        # both have everything: who has the witness
        (
            {"of_peer": {"states": ALL_IN, "claims": []}, "witness": {"holder": "lknode02", "reachable": True, "lost": False}},
            "lknode02",
            "Online",
        ),
    ],
)
def test_where_the_role_is(about: dict[str, Any], owner: str, state: str) -> None:
    view = seen_by(**about)
    assert wsfc_rows.owner(view) == owner
    assert wsfc_rows.group_state(wsfc_rows.of_owner(view).values()) == state


def test_a_node_that_is_alone_has_the_role_wherever_its_home_is() -> None:
    assert wsfc_rows.owner(seen_by("lknode02", contact=False, of_peer={})) == "lknode02"


def test_paths_that_are_dead_and_an_adapter_that_is_off(told) -> None:
    paths = [{"local": "10.20.1.11", "peer": "10.20.1.12", "alive": True}, {"local": "10.20.9.9", "peer": "10.20.2.12", "alive": False}]
    found = {row["Address"]: row["State"] for row in rows(told(seen_by(paths=paths))) if row["K"] == "nic"}
    assert found == {"10.20.1.11": "Up", "10.20.1.12": "Up", "10.20.9.9": "Failed", "10.20.2.12": "Unreachable"}


@pytest.mark.parametrize(
    ("view", "state"),
    [
        (None, "Stopped"),
        (seen_by(phase="starting"), "StartPending"),
        (seen_by(phase="stopping"), "StopPending"),
        (seen_by(witness={"holder": "lknode02", "reachable": True, "lost": True}), "Stopped"),
    ],
)
def test_a_service_that_does_not_run_is_the_only_row(told, view: dict[str, Any] | None, state: str) -> None:
    (row,) = rows(told(view))
    assert (row["K"], row["Name"], row["State"]) == ("service", "ClusSvc", state)
    refused = told(view, "wsfc-change", Action="stop", Name=IP)
    assert refused["error"] == "ClusterEndpointNotRegistered"


def test_a_paused_node_votes_and_has_what_it_has_and_nothing_moves_to_it(told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wsfc_scripts, "_begin", lambda _: pytest.fail("something was begun"))
    standby = wsfc_parse.read(rows(told(seen_by("lknode02", paused=True), Group=ROLE)))
    assert [(row["State"], row["Vote"]) for row in standby.of("node")] == [("Up", 1), ("Paused", 1)]
    assert wsfc_parse.allowed("lknode02", ROLE, "lknode02", standby, Question.TOLD).against == [
        "lknode02 is paused for maintenance (Resume-ClusterNode lknode02)"
    ]
    assert told(seen_by("lknode02", paused=True), "wsfc-change", Action="move", Name=ROLE, Node="lknode02")["error"] == "StandInPaused"

    of_peer = {"phase": "running", "states": ALL_IN, "claims": [], "paused": True}
    active = wsfc_parse.read(rows(told(seen_by("lknode02", of_peer=of_peer), Group=ROLE)))
    assert "cannot come back" in str(wsfc_parse.allowed("lknode02", ROLE, "lknode02", active, Question.TOLD).against)
    state = wsfc_parse.node_state("lknode01", ROLE, rows(told(seen_by(paused=True))))
    assert state.resources == {IP: IN, LISTENER: IN, DISK: IN}
    assert told(seen_by(paused=True), "wsfc-change", Action="start", Name=IP)["error"] == "StandInPaused"


def test_the_threshold_is_what_the_cluster_beneath_counts(told) -> None:
    thresholds = {row["Threshold"] for row in rows(told(seen_by(failover_threshold=1))) if row["K"] == "group"}
    assert thresholds == {1}


def test_the_ip_resource_has_the_probe_s_port(told) -> None:
    found = rows(told(seen_by(), Resource=IP.upper()))
    assert [row for row in found if row["K"] == "address"] == [
        {"K": "address", "Name": IP, "Address": "10.20.1.200", "Mask": "255.255.255.255", "ProbePort": 12345}
    ]
    on = {row["Name"]: row["On"] for row in found if row["K"] == "dependency"}
    assert on == {LISTENER: f"([{IP}]) and ([{DISK}])", IP: None, DISK: None}
    assert not [row for row in rows(told(seen_by(), Resource=LISTENER)) if row["K"] == "address"]
    without = rows(told(seen_by(states={**ALL_IN, LISTENER: "OSU"}), Resource=IP))
    assert {row["Name"] for row in without if row["K"] == "dependency"} == {IP, DISK}  # what is offline is not asked for it


def test_what_goes_and_comes_with_a_resource() -> None:
    assert wsfc_rows.to_stop(seen_by(), IP) == [LISTENER, IP]
    assert wsfc_rows.to_start(seen_by(), LISTENER) == [IP, DISK, LISTENER]


def test_changes_are_begun_and_not_waited_for(told, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[list[str]] = []
    monkeypatch.setattr(wsfc_scripts, "_begin", begun.append)
    moved = rows(told(seen_by("lknode02"), "wsfc-change", Action="move", Name=ROLE.upper(), Node="LKNODE02"))
    assert moved == [{"Action": "move", "Name": ROLE.upper(), "Node": "LKNODE02"}]
    told(seen_by(), "wsfc-change", Action="stop", Name=IP)
    told(seen_by(), "wsfc-change", Action="start", Name=LISTENER)
    assert begun == [
        [f"-t {ROLE} -a restore"],
        [f"-s -t {LISTENER} -a remove", f"-s -t {IP} -a remove"],
        [f"-s -t {IP} -a restore", f"-s -t {DISK} -a restore", f"-s -t {LISTENER} -a restore"],
    ]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"Action": "move", "Name": ROLE}, "RuntimeException"),
        ({"Action": "move", "Name": "other", "Node": "lknode01"}, "Missing"),
        ({"Action": "move", "Name": ROLE, "Node": "other"}, "Missing"),
        ({"Action": "move", "Name": ROLE, "Node": "lknode02"}, "StandInElsewhere"),
        ({"Action": "move", "Name": "Cluster Group", "Node": "lknode01"}, "NoStandIn"),
        ({"Action": "stop", "Name": "other"}, "Missing"),
        ({"Action": "stop", "Name": ROLE}, "Missing"),  # a role is no resource
        ({"Action": "break", "Name": IP}, "ParameterBindingException"),
    ],
)
def test_changes_that_are_refused(told, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], error: str) -> None:
    monkeypatch.setattr(wsfc_scripts, "_begin", lambda _: pytest.fail("something was begun"))
    assert told(seen_by(), "wsfc-change", **change)["error"] == error


def test_a_resource_is_driven_only_where_it_is(told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wsfc_scripts, "_begin", lambda _: pytest.fail("something was begun"))
    assert told(seen_by("lknode02"), "wsfc-change", Action="stop", Name=IP)["error"] == "StandInElsewhere"


def test_there_is_no_lifekeeper_on_such_a_node(told, monkeypatch: pytest.MonkeyPatch) -> None:
    assert host_scripts.ALWAYS  # with that module the stand-in for `service` is there, too
    said = told(seen_by(), "lifekeeper-command", Command="lcdstatus")
    assert said["error"] == "Missing" and "not installed" in said["message"]
    monkeypatch.setattr(lifekeeper_scripts, "daemon", lambda: None)
    assert [row["Name"] for row in rows(told(seen_by(), "service", Name="LifeKeeper"))] == []
    (service,) = rows(told(seen_by(), "service", Name="clussvc"))
    assert (service["Name"], service["Status"], service["StartType"]) == ("ClusSvc", "Running", "Automatic")
    monkeypatch.setattr(underlying_node, "setting", lambda name: {"manager": "lifekeeper-windows"}[name])
    assert told(seen_by())["error"] == "Missing"
    with pytest.raises(Missing):
        list(wsfc_scripts.wsfc_state())
    with pytest.raises(ScriptError):
        wsfc_scripts.wsfc_change("stop", IP)


def test_what_is_wrong_stands_in_the_log_system_under_microsoft_s_number() -> None:
    assert collect_scripts.of_failover_cluster(990303, 2, "x") == {
        "LogName": "System",
        "ProviderName": "Microsoft-Windows-FailoverClustering",
        "Id": 1135,
        "Level": 1,
        "Message": "(stand-in, not Windows) x",
    }
    moved = collect_scripts.of_failover_cluster(990101, 4, "x")
    assert (moved["LogName"].rpartition("/")[2], moved["Id"]) == ("Operational", 990101)


def made(design: str, **manager: Any) -> cluster_config.Cluster:
    data = default_cluster.with_platform({"design": design, "manager": manager}, "windows", "wsfc")
    return cluster_config.parse(default_cluster.cluster_data("fast", data), Path("x"))


@pytest.mark.parametrize("design", ["nat", "floating"])
def test_the_ip_resource_beneath_answers_the_probe_itself(design: str) -> None:
    cluster = made(design)
    settings = lab_config.make_lab_config(cluster, Path("x"))
    below = json.loads(json.dumps(lifekeeper_config.structure(cluster, settings, cluster.nodes[0])))
    kinds = {one["tag"]: one["kind"] for one in below["resources"]}
    assert kinds[IP] == "probed-ip" and "lbhc" not in kinds.values() and below["witness"]
    assert all(IP in one["children"] for one in below["resources"] if one["kind"] == "gen")
    assert lifekeeper_config.known_of_manager(cluster, settings).keys() == {"check_limit_s"}


def test_azure_s_timers_are_microsoft_s() -> None:
    data = default_cluster.cluster_data("azure", default_cluster.with_platform({}, "windows", "wsfc"))
    assert (data["manager"]["heartbeat_s"], data["manager"]["heartbeats_missed"], data["manager"]["check_interval_s"]) == (1.0, 40, 5.0)


@pytest.mark.parametrize("platform", [None, "linux"])
def test_linux_nodes_have_no_such_cluster(platform: str | None) -> None:
    with pytest.raises(BadUse, match="--manager wsfc: it takes nodes that are stand-ins for Windows"):
        default_cluster.with_platform({}, platform, "wsfc")
