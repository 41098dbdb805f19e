"""Moves that no plan names (before a failback, behind a full disk) ask for lease, role, manager and copy of the data as every other."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from permissive_manager import YES, PermittingManager, cannot_tell, no

from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError, Inconclusive
from harness.core.timeline import Timeline
from harness.disrupt.bases import host_fault_base
from harness.disrupt.disruption import clear_failures
from harness.disrupt.move_permission import LeaseLost
from harness.disrupt.node.failback import Failback
from harness.disrupt.service.shared_disk_full import SharedDiskFull
from harness.lab.lifecycle import default_cluster
from harness.managers.manager import ClusterState, CommPath, NodeState, ResourceState

TIMERS = {"manager": {"boot_s": 0.4, "takeover_s": 0.05, "check_interval_s": 0.05, "heartbeat_s": 0.05}}
CLUSTER = cluster_config.parse(default_cluster.cluster_data(overrides=TIMERS), Path("a test's"))
PATHS = (CommPath("other", "10.20.1.11/10.20.1.12", True),)
IN, OUT, MOVING = ResourceState.IN_SERVICE, ResourceState.STANDBY, ResourceState.UNKNOWN
LOST = "run 2 has it"


def state(first: ResourceState, second: ResourceState) -> ClusterState:
    return ClusterState({n.name: NodeState(n.name, True, {"ip": s}, PATHS) for n, s in zip(CLUSTER.nodes, (first, second), strict=True)})


class Moving(PermittingManager):
    """`moves` has what was moved where."""

    def __init__(self, seen: ClusterState, **about: Any) -> None:
        super().__init__(seen, **about)
        self.moves: list[str] = []
        self.cleared: list[str] = []
        self.fails: HarnessError | None = None

    def switch_over(self, to: str, *, deadline: Deadline) -> None:
        self.moves.append(to)
        if self.fails:
            raise self.fails
        self._state = state(*(IN if n.name == to else OUT for n in CLUSTER.nodes))

    def clear_failure(self, tag: str, node: str, *, deadline: Deadline) -> None:
        self.cleared.append(tag)

    def by_hand_line(self, to: str) -> str:
        return f"move everything to {to}"


class Subject(SimpleNamespace):
    @property
    def active(self) -> str | None:
        return self.manager.state().leading


def of(manager: Moving, **about: Any) -> Any:
    kept = {"lost": str, "stolen": str, "takes_unproven": False, "permit": lambda disruption: None, **about}
    return Subject(
        cluster=CLUSTER,
        manager=manager,
        state=lambda **limit: manager.state(**limit),
        timeline=Timeline(),
        standing=[],
        wait_until_healthy=lambda deadline: manager.state(),
        **kept,
    )


def told(subject: Any) -> str:
    return " ".join(event.text for event in subject.timeline.events)


def test_the_move_before_a_failback_is_asked_for_and_noted() -> None:
    """The permission is as old as the meter's calibration by then."""
    asked: list[str] = []
    manager = Moving(state(IN, OUT))
    one = Failback(of(manager, permit=lambda disruption: asked.append(disruption.chosen_as_active)))
    one.prepare(Deadline(5.0))
    assert asked == ["lknode01"] and manager.moves == ["lknode02"] and one.target() == "lknode02"
    assert "everything is moved to lknode02 first" in told(one._subject)
    assert "before it everything was moved to lknode02, in " in one.observations()[0]


def test_a_failback_whose_lease_is_lost_moves_nothing() -> None:
    manager = Moving(state(IN, OUT))
    with pytest.raises(Inconclusive, match=f"failback was not done, and nothing was: {LOST}"):
        Failback(of(manager, lost=lambda: LOST)).prepare(Deadline(5.0))

    def refuses(disruption: Any) -> None:
        raise Inconclusive("the copy of the data is not complete")

    with pytest.raises(Inconclusive, match="not complete"):
        Failback(of(manager, permit=refuses)).prepare(Deadline(5.0))
    assert manager.moves == []


def test_a_move_before_a_failback_that_breaks_leaves_a_mark() -> None:
    manager = Moving(state(IN, OUT))
    manager.fails = HarnessError("perform_action has not ended within 35 s")
    one = Failback(of(manager))
    with pytest.raises(HarnessError):
        one.prepare(Deadline(5.0))
    assert "the move to lknode02 was begun, and did not come to its end: perform_action has not" in told(one._subject)


def test_one_that_is_where_it_must_be_is_moved_and_asked_for_nothing() -> None:
    manager = Moving(state(OUT, IN))
    one = Failback(of(manager, permit=pytest.fail))
    one.prepare(Deadline(5.0))
    assert manager.moves == [] == one.observations()


def full(manager: Moving, monkeypatch: pytest.MonkeyPatch, **about: Any) -> SharedDiskFull:
    """One whose file is removed, behind which the cluster is as the manager says."""
    monkeypatch.setattr(host_fault_base.OnHost, "undo", lambda self, deadline: None)
    subject = of(manager, **about)
    seen, manager._state = manager._state, state(IN, OUT)
    one = SharedDiskFull(subject)
    manager._state = seen
    one._armed = [SimpleNamespace(host=None)]  # type: ignore[list-item]
    monkeypatch.setattr(one, "_remove", lambda deadline: None)
    return one


def test_what_a_full_disk_brought_down_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = Moving(state(OUT, OUT), switch=lambda question: no("nothing is in service on either node, so there is nothing to move"))
    full(manager, monkeypatch).undo(Deadline(1.0))
    assert manager.moves == ["lknode01"]


@pytest.mark.parametrize(
    ("seen", "answers", "why"),
    [
        (state(OUT, MOVING), {}, "lknode02: the state of ip is not known"),  # the other node is in the middle of its recovery
        (state(IN, IN), {}, "ip is in service on every node"),
        (state(OUT, OUT), {"mirror": cannot_tell("who has the newer copy is not known")}, "who has the newer copy is not known"),
        (state(OUT, OUT), {"switch": lambda question: no("an action holds a lock there")}, "an action holds a lock there"),
    ],
)
def test_what_might_be_started_twice_or_on_an_old_copy_is_not(
    monkeypatch: pytest.MonkeyPatch, seen: ClusterState, answers: dict[str, Any], why: str
) -> None:
    manager = Moving(seen, **answers)
    with pytest.raises(Inconclusive, match=f"shared disk full is undone, but .*{why}.*move everything to lknode01"):
        full(manager, monkeypatch).undo(Deadline(0.3))
    assert manager.moves == []


def test_it_is_not_started_on_another_runs_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = Moving(state(OUT, OUT))
    with pytest.raises(LeaseLost, match=LOST):
        full(manager, monkeypatch, lost=lambda: LOST, stolen=lambda: LOST).undo(Deadline(1.0))
    assert manager.moves == []


def test_one_that_was_refused_looks_for_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    one = full(Moving(state(OUT, OUT)), monkeypatch)
    one._armed = []
    monkeypatch.setattr(one, "_remove", lambda deadline: pytest.fail("it waits for a disk"))
    one.undo(Deadline(1.0))


@pytest.mark.parametrize("theirs", [True, False])
def test_a_mark_of_failure_on_another_runs_cluster_is_left(theirs: bool) -> None:
    manager = Moving(state(IN, ResourceState.FAILED), switch=lambda question: YES)
    subject = of(manager, **({"lost": lambda: LOST, "stolen": lambda: LOST} if theirs else {}))
    if theirs:
        with pytest.raises(LeaseLost, match=LOST):
            clear_failures(subject, Deadline(5.0))
    else:
        clear_failures(subject, Deadline(5.0))
    assert manager.cleared == ([] if theirs else ["ip"])
