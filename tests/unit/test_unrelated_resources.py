"""What the manager says of the file's own: another application's resources may be anywhere, and may have failed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.cluster import cluster_under_test
from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.core.deadline import Deadline
from harness.core.errors import Inconclusive
from harness.disrupt.disruption import clear_failures
from harness.managers.manager import ClusterState, CommPath, NodeState, ResourceState

IN, OUT, FAILED = ResourceState.IN_SERVICE, ResourceState.STANDBY, ResourceState.FAILED
ALIVE = (CommPath("x", "a/b", True),)


def state(theirs_at_a: ResourceState | None, theirs_at_b: ResourceState | None) -> ClusterState:
    def node(name: str, ours: ResourceState, theirs: ResourceState | None) -> NodeState:
        return NodeState(name, True, {"ours": ours, **({"theirs": theirs} if theirs else {})}, ALIVE)

    return ClusterState({"a": node("a", IN, theirs_at_a), "b": node("b", OUT, theirs_at_b)})


class Manager:
    def __init__(self, state: ClusterState, unrelated: tuple[str, ...] = ()) -> None:
        self.whole, self.unrelated, self.asked = state, frozenset(unrelated), 0
        self.cleared: list[tuple[str, str]] = []

    def state(self, *, limit: float = 10.0) -> ClusterState:
        return self.whole

    def unrelated_resources(self, *, limit: float = 10.0) -> frozenset[str]:
        self.asked += 1
        return self.unrelated

    def clear_failure(self, tag: str, node: str, *, deadline: Deadline) -> None:
        self.cleared.append((tag, node))


def subject(manager: Manager) -> Any:
    made: Any = ClusterUnderTest.__new__(ClusterUnderTest)
    made.manager, made._unrelated, made._unrelated_asked_pause = manager, frozenset(), Deadline(0.0)
    made.cluster, made.lost, made.stolen = SimpleNamespace(), str, str
    return made


@pytest.mark.parametrize(("at_a", "at_b"), [(OUT, IN), (FAILED, OUT), (IN, FAILED)])
def test_another_applications_resource_says_nothing_of_ours(at_a: ResourceState, at_b: ResourceState) -> None:
    manager = Manager(state(at_a, at_b), unrelated=("theirs",))
    of = subject(manager)
    for _ in range(3):
        assert of.state().healthy and of.active == "a"
    assert manager.asked == 1


def test_a_healthy_whole_needs_no_question() -> None:
    manager = Manager(state(None, None))
    assert subject(manager).state().healthy and manager.asked == 0


def test_where_all_is_ours_it_is_not_asked_at_every_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that fails over is looked at several times a second."""
    manager = Manager(state(OUT, IN))
    of = subject(manager)
    assert [of.state().active for _ in range(5)] == [None] * 5 and manager.asked == 1
    monkeypatch.setattr(cluster_under_test, "UNRELATED_INTERVAL_S", 0.0)
    of._unrelated_asked_pause = Deadline(0.0)
    manager.unrelated = frozenset(["theirs"])  # a host that could not be read then can be now
    assert of.state().active == "a"


def test_what_failed_of_anothers_is_not_cleared() -> None:
    ours = Manager(ClusterState({"b": NodeState("b", True, {"ours": FAILED, "theirs": FAILED}, ALIVE)}), unrelated=("theirs",))
    clear_failures(subject(ours), Deadline(10.0))
    assert ours.cleared == [("ours", "b")]


def test_within_one_look_the_manager_is_asked_once_and_anew_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = ClusterState({"a": NodeState("a", True, {"ours": OUT}, ALIVE), "b": NodeState("b", True, {"ours": IN}, ALIVE)})
    manager = Manager(state(FAILED, OUT), unrelated=("theirs",))
    of = subject(manager)
    with of.one_look():
        assert of.active == "a" and of.state().healthy
        manager.whole = moved
        assert of.active == "a" and of.state(limit=1.0) is of.state()
    assert of.active == "b"
    manager.whole = state(None, None)
    assert of.active == "a"
    answers = iter([Inconclusive("no answer"), moved])

    def fails_once(**_: float) -> ClusterState:
        if isinstance(answer := next(answers), Inconclusive):
            raise answer
        return answer

    monkeypatch.setattr(manager, "state", fails_once)
    with of.one_look():
        with pytest.raises(Inconclusive):
            of.state()
        assert of.active == "b", "what failed is asked again"
    with pytest.raises(StopIteration):
        of.state()
