"""Has a Windows role a failover left in its period? What its settings and the events of that time say (WCLU-84, WCLU-85)."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import DeadlineExceeded
from harness.hosts.windows.windows_parse import Event
from harness.managers.kinds import wsfc
from harness.managers.kinds.wsfc import Wsfc
from harness.managers.manager import ClusterState, CommPath, NodeState, Question, ResourceState, Says
from harness.managers.parse.wsfc_parse import Rows, read
from harness.managers.rules.wsfc_failover_rules import NODES_MINUS_ONE, by_failures, by_losses, period_of

NODES = [{"K": "node", "Name": name, "State": "Up", "Vote": 1, "Weight": 1} for name in ("n1", "n2")]


def role(**more: Any) -> Rows:
    group = {"K": "group", "Name": "role", "OwnerNode": "n1", "State": "Online", "Threshold": NODES_MINUS_ONE, "Period": 6}
    resource = {"K": "resource", "Name": "ip", "OwnerGroup": "role", "OwnerNode": "n1", "State": "Online"}
    return read([*NODES, {**group, **more}, resource])


def event(number: int, text: str = "Cluster resource 'IP' in clustered role 'Role' failed.") -> Event:
    return Event(1.0, "System", "Microsoft-Windows-FailoverClustering", number, 2, text)


def test_the_period_is_the_role_s_own_and_six_hours_where_it_is_not_told() -> None:
    assert period_of("ROLE", role(Period=1)) == 3600
    assert {period_of("role", role(Period=hours)) for hours in (None, 0, "6")} == {6 * 3600}


@pytest.mark.parametrize(
    ("about", "events", "against", "unknown"),
    [
        ({}, [], "", ""),
        ({}, [event(1069)], "", "which has room for 1 failovers, its resources failed (event 1069: 1)"),
        ({}, [event(1069, "Cluster resource 'x' in clustered group 'SQL' failed.")], "", ""),
        ({}, [event(1135), event(1230)], "", ""),
        ({"Threshold": 5}, [event(1069)] * 4, "", ""),
        ({"Threshold": 5}, [event(1069)] * 5, "", "(event 1069: 5)"),
        ({"Threshold": 0}, [event(1069)], "", ""),  # that is said by the role's settings
        ({"Threshold": None}, [event(1069)], "", "could not be read (FailoverThreshold)"),
        ({"Threshold": 5}, [event(1254)] * 2, "n1: the role role has used up its failovers", ""),
    ],
)
def test_what_the_events_say(about: dict[str, Any], events: list[Event], against: str, unknown: str) -> None:
    case = by_failures("role", role(**about), {"n1": events, "n2": []})
    assert (len(case.against), len(case.unknown)) == (bool(against), bool(unknown)), case
    assert against in "".join(case.against) and unknown in "".join(case.unknown)


def test_the_failures_of_both_nodes_count_and_one_that_tells_nothing_is_not_known() -> None:
    case = by_failures("role", role(Threshold=2), {"n1": [event(1069)], "n2": [event(1069)]})
    assert "(event 1069: 2)" in case.unknown[0]
    assert (
        "n2: whether the role role has a failover left could not be read: gone"
        in by_failures("role", role(), {"n1": [], "n2": "gone"}).unknown
    )


@pytest.mark.parametrize(
    ("quarantine", "lost", "unknown"),
    [
        (3, ["n1"], ""),
        (3, ["n1", "n1"], "n1 was removed from the cluster 2 × within the last hour (event 1135)"),
        (3, ["n2", "n2"], ""),  # the one that takes over stays
        (None, ["n1", "n1"], "n1 was removed from the cluster 2 ×"),
        (5, ["n1"] * 3, ""),
        (5, ["n1"] * 4, "n1 was removed from the cluster 4 ×"),
        (1, [], "n1 was removed from the cluster 0 ×"),
    ],
)
def test_a_node_that_was_lost_often_may_be_kept_out(quarantine: int | None, lost: list[str], unknown: str) -> None:
    rows = Rows({**role().by_kind, "quorum": [{"K": "quorum", "Quarantine": quarantine}]})
    events = [event(1135, f"Cluster node '{name.upper()}' was removed from the active failover cluster membership.") for name in lost]
    case = by_losses("n2", rows, {"n1": [], "n2": [*events, event(1069, "n1")]})
    assert case.against == [] and len(case.unknown) == bool(unknown) and unknown in "".join(case.unknown), case


def test_losses_that_no_node_tells_are_not_known() -> None:
    assert by_losses("n2", role(), {"n1": [], "n2": "gone"}).unknown == [
        "n2: how often a node was lost within the hour could not be read: gone"
    ]


class Asked(Wsfc):
    """A sound cluster of two nodes, of which `role` moves to n2; what is asked of events is in `asked`."""

    def __init__(self) -> None:
        super().__init__(
            SimpleNamespace(manager=SimpleNamespace(resource="role"), nodes=[SimpleNamespace(name=name) for name in ("n1", "n2")]),  # type: ignore[arg-type]
            {"n1": None, "n2": None},  # type: ignore[dict-item]
        )
        self.asked: list[tuple[float, float, Any]] = []

    def state(self, *, limit: float = 20.0) -> ClusterState:
        states = {"n1": ResourceState.IN_SERVICE, "n2": ResourceState.STANDBY}
        return ClusterState(
            {name: NodeState(name, True, {"ip": state}, (CommPath("other", "a/b", True),)) for name, state in states.items()}
        )

    def _ask_state(self, node: str, limit: float, **about: str) -> Any:
        owners = {"K": "owners", "Name": "ip", "Nodes": ["n1", "n2"]}
        quorum = {"K": "quorum", "Witness": "w", "State": "Online", "Type": "Majority", "WitnessVote": 1, "Dynamic": 1}
        return [row for rows in role().by_kind.values() for row in rows] + [owners, quorum]


@pytest.mark.parametrize(
    ("question", "events", "says"),
    [
        (Question.TOLD, [event(1069), event(1135, "n1"), event(1135, "n1")], Says.YES),
        (Question.LOST, [event(1069), event(1135, "n1")], Says.YES),
        (Question.LOST, [event(1135, "n1"), event(1135, "n1")], Says.CANNOT_TELL),
        (Question.FAILED, [], Says.YES),
        (Question.FAILED, [event(1069)], Says.CANNOT_TELL),
        (Question.FAILED, [event(1254)], Says.NO),
        (Question.FAILED, DeadlineExceeded("n1: the question events took longer than 1 s"), Says.CANNOT_TELL),
    ],
)
def test_it_is_asked_where_a_resource_will_fail_or_a_node_is_lost(
    monkeypatch: pytest.MonkeyPatch, question: Question, events: list[Event] | Exception, says: Says
) -> None:
    manager = Asked()

    class Host:
        def __init__(self, host: object, *, limit: float) -> None:
            assert limit > 0

        def events(self, begin: float, end: float, *, source: str, logs: Any, most: int) -> list[Event]:
            manager.asked.append((begin, end, logs))
            if isinstance(events, Exception):
                raise events
            return events if len(manager.asked) == 1 else []

    monkeypatch.setattr(wsfc, "WindowsHost", Host)
    answer = manager.may_switch_over("n2", question)
    assert answer.says is says, answer
    assert len(manager.asked) == (0 if question is Question.TOLD else 2)
    hours = 6 if question is Question.FAILED else 1
    for begin, end, logs in manager.asked:
        assert begin == pytest.approx(time.time() - hours * 3600, abs=300) and end > time.time() and logs == ("System",)
