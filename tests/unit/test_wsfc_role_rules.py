"""What a Windows role holds, and what keeps it: availability groups, what copies data, what is not told (WCLU-106 to WCLU-134)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.deadline import Deadline
from harness.hosts.windows.script_protocol import ScriptAnswer
from harness.hosts.windows.windows_parse import Event
from harness.managers.kinds import wsfc
from harness.managers.kinds.wsfc import Wsfc
from harness.managers.manager import Question, Says, SwitchRefused
from harness.managers.parse.wsfc_parse import Rows, allowed, read
from harness.managers.rules.wsfc_role_rules import AVAILABILITY_GROUP, by_availability_group, by_copies

GROUP = {
    "K": "group",
    "Name": "role",
    "OwnerNode": "n1",
    "State": "Online",
    "Threshold": 1,
    "Locked": False,
    "Status": "0",
    "Priority": 2000,
}
RESOURCE = {
    "K": "resource",
    "Name": "ip",
    "OwnerGroup": "Role",
    "OwnerNode": "n1",
    "State": "Online",
    "Type": "IP Address",
    "RestartAction": 2,
}
OWNERS = {"K": "owners", "Name": "ip", "Nodes": ["n1", "n2"]}
QUORUM = {"K": "quorum", "Witness": "w", "State": "Online", "Type": "Majority", "WitnessVote": 1, "Dynamic": 1}
NODES = [{"K": "node", "Name": name, "State": "Up", "Vote": 1, "Weight": 1} for name in ("n1", "n2")]
SERVICE = {"K": "service", "Name": "ClusSvc", "State": "Running", "Node": "n2"}


def told(group: dict[str, Any] | None = None, resource: dict[str, Any] | None = None, owners: dict[str, Any] | None = None) -> list[dict]:
    return [SERVICE, *NODES, {**GROUP, **(group or {})}, {**RESOURCE, **(resource or {})}, {**OWNERS, **(owners or {})}, QUORUM]


def test_a_sound_role_may_move_for_every_reason() -> None:
    for question in Question:
        case = allowed("n2", "role", "n2", read(told()), question)
        assert case.answer.yes, (question, case)


@pytest.mark.parametrize(
    ("group", "resource", "owners", "question", "says", "why"),
    [
        ({"Locked": 1}, {}, {}, Question.TOLD, Says.NO, "locked against being moved"),
        ({"Locked": True}, {}, {}, Question.TOLD, Says.NO, "locked against being moved"),
        ({"Locked": 0}, {}, {}, Question.TOLD, Says.YES, ""),
        ({"Status": "5"}, {}, {}, Question.TOLD, Says.CANNOT_TELL, "the role role is Locked, Queued"),
        ({"Status": "WaitingToStart"}, {}, {}, Question.LOST, Says.CANNOT_TELL, "the role role is WaitingToStart"),
        ({"Status": "4096"}, {}, {}, Question.FAILED, Says.CANNOT_TELL, "WaitingForDependencies"),
        ({"Status": "256"}, {}, {}, Question.FAILED, Says.YES, ""),
        ({"Status": None}, {}, {}, Question.TOLD, Says.YES, ""),
        ({"Priority": 0}, {}, {}, Question.LOST, Says.NO, "does not start by itself (Priority 0"),
        ({"Priority": 0}, {}, {}, Question.TOLD, Says.YES, ""),
        ({}, {"RestartAction": 1}, {}, Question.FAILED, Says.NO, "is not moved when ip fails (RestartAction 0 or 1"),
        ({}, {"RestartAction": 1}, {}, Question.LOST, Says.YES, ""),
        ({}, {"RestartAction": None}, {}, Question.FAILED, Says.YES, ""),
        ({}, {"Maintenance": 1}, {}, Question.FAILED, Says.NO, "ip is in maintenance mode"),
        ({}, {}, {"Nodes": []}, Question.TOLD, Says.CANNOT_TELL, "which nodes may own ip was not told"),
        ({}, {}, {"Nodes": ["n1"]}, Question.TOLD, Says.NO, "n2 is no possible owner of ip"),
    ],
)
def test_what_a_role_s_own_settings_say(group, resource, owners, question, says, why) -> None:
    answer = allowed("n2", "role", "n2", read(told(group, resource, owners)), question).answer
    assert answer.says is says and why in str(answer)


def test_one_resource_of_several_that_does_not_take_the_role_along_is_not_known() -> None:
    rows = read([*told(), {**RESOURCE, "Name": "log", "RestartAction": 0}])
    answer = allowed("n2", "role", "n2", rows, Question.FAILED).answer
    assert answer.says is Says.CANNOT_TELL and "when log fails" in str(answer)


@pytest.mark.parametrize(
    ("type_", "says", "why"),
    [
        ("IP Address", Says.YES, ""),
        ("physical disk", Says.YES, ""),
        ("DataKeeper Volume", Says.CANNOT_TELL, "ip (DataKeeper Volume) copies data, and no manager.mirror_check tells"),
        ("Storage Replica", Says.CANNOT_TELL, "copies data"),
        ("Somebody's Volume", Says.CANNOT_TELL, "of the type Somebody's Volume, and whether it copies data is not known"),
        (None, Says.CANNOT_TELL, "of a type that was not told"),
    ],
)
def test_the_data_is_complete_where_nothing_copies_any(type_, says, why) -> None:
    answer = by_copies("n2", "role", read(told(resource={"Type": type_}))).answer
    assert answer.says is says and why in str(answer)


def test_what_does_not_answer_is_not_known() -> None:
    assert by_copies("n2", "role", Rows(why="it is away")).answer.says is Says.CANNOT_TELL
    assert by_copies("n2", "other", read(told())).answer.says is Says.CANNOT_TELL
    assert by_availability_group("role", read(told())).answer.yes


class Cluster(Wsfc):
    def __init__(self, check: list[str] | None = None) -> None:
        manager = SimpleNamespace(resource="role", mirror_check=check or [])
        super().__init__(SimpleNamespace(manager=manager, nodes=[SimpleNamespace(name=n) for n in ("n1", "n2")]), {"n1": None, "n2": None})  # type: ignore[arg-type, dict-item]

    def _errors_since(self, node: str, since: float, deadline: Deadline) -> list[Event] | str:
        return []


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict]]:
    """What was asked; the cluster tells of an availability group in the role."""
    seen: list[tuple[str, dict]] = []

    def ask(host: object, name: str, parameters: dict, *, limit: float) -> ScriptAnswer:
        seen.append((name, parameters))
        rows = [row for row in told(resource={"Name": "ag1", "Type": AVAILABILITY_GROUP}) if row["K"] != "owners"]
        return ScriptAnswer(True, rows=tuple(rows))

    monkeypatch.setattr(wsfc, "ask", ask)
    return seen


@pytest.mark.parametrize("question", list(Question))
def test_an_availability_group_is_never_moved_by_the_cluster(asked, question: Question) -> None:
    answer = Cluster().may_switch_over("n2", question)
    assert answer.no and "holds the availability group ag1, which only SQL Server may move" in str(answer)


@pytest.mark.parametrize(
    "deed",
    [
        lambda cluster: cluster.switch_over("n2", deadline=Deadline(20.0)),
        lambda cluster: cluster.take_out("ag1", "n1", deadline=Deadline(20.0)),
        lambda cluster: cluster.put_back("ag1", "n1", deadline=Deadline(20.0)),
        lambda cluster: cluster.clear_failure("ag1", "n1", deadline=Deadline(20.0)),
    ],
)
def test_nothing_of_it_is_done(asked, deed) -> None:
    with pytest.raises(SwitchRefused, match=r"holds the availability group ag1, which only SQL Server may move .*; nothing was done"):
        deed(Cluster())
    assert asked and "wsfc-change" not in [name for name, _ in asked]


def test_a_role_that_does_not_tell_what_it_holds_is_not_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    def ask(host: object, name: str, parameters: dict, *, limit: float) -> ScriptAnswer:
        names.append(name)
        return ScriptAnswer(False, "ClusterEndpointNotRegistered,Microsoft.FailoverClusters.PowerShell.GetNodeCommand", "Kein Endpunkt")

    monkeypatch.setattr(wsfc, "ask", ask)
    with pytest.raises(
        SwitchRefused, match=r"the cluster service of n2 has stopped or has not come up yet: .*Kein Endpunkt; nothing was done"
    ):
        Cluster().switch_over("n2", deadline=Deadline(20.0))
    assert "wsfc-change" not in names
    state = Cluster().state()
    assert all(node.stopped for node in state.nodes.values()) and Cluster().may_switch_over("n2").no
