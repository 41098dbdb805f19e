"""A cluster of two nodes without hosts, whose manager moves everything at once: for tests of the put-back and of the run around it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.attach import restore
from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.timeline import Timeline
from harness.core.verdict import passed
from harness.lab.lifecycle import default_cluster
from harness.managers.kinds.lifekeeper import LifeKeeper
from harness.managers.manager import Answer, ClusterState, CommPath, NodeState, ResourceState, Says
from harness.managers.switchover_readiness import by_state

CLUSTER = cluster_config.parse(
    default_cluster.cluster_data(overrides={"manager": {"boot_s": 0.4, "takeover_s": 0.2, "check_interval_s": 0.1, "heartbeat_s": 0.05}}),
    Path("a test's"),
)
PATHS = (CommPath("other", "10.20.1.11/10.20.1.12", True), CommPath("other", "10.20.2.11/10.20.2.12", True))
S, B = ResourceState.IN_SERVICE, ResourceState.STANDBY


def node(name: str, **resources: ResourceState) -> NodeState:
    return NodeState(name, True, dict(resources), PATHS)


def both(first: NodeState, second: NodeState) -> ClusterState:
    return ClusterState({first.node: first, second.node: second})


class Manager:
    """A cluster whose `switch_over` gives everything to a node."""

    def __init__(self, state: ClusterState, *, no: tuple[str, ...] = ()) -> None:
        self.now, self.no = state, no
        self.copy, self.copy_asked = [Answer(Says.YES)], list[str]()  # what is said of the copy of the data, the last one from then on
        self.moves: list[str] = []
        self.counts: dict[str, dict[str, int]] = {}
        self.by_hand_line = LifeKeeper(CLUSTER, {}).by_hand_line

    def state(self, *, limit: float = 10.0) -> ClusterState:
        return self.now

    def may_switch_over(self, to: str) -> Answer:
        against = (*by_state(to, self.now).against, *self.no)
        return Answer(Says.NO if against else Says.YES, against)

    def mirror(self, to: str) -> Answer:
        self.copy_asked.append(to)
        return self.copy.pop(0) if len(self.copy) > 1 else self.copy[0]

    def switch_over(self, to: str, *, deadline: Deadline) -> None:
        self.moves.append(to)
        tags = next(iter(self.now.nodes.values())).resources
        self.now = ClusterState({n: node(n, **{t: S if n == to else B for t in tags}) for n in self.now.nodes})

    def fail_counts(self, *, limit: float = 10.0) -> dict[str, dict[str, int]]:
        return {n: dict(tags) for n, tags in self.counts.items()}

    def end_own_move(self, on: str, *, deadline: Deadline) -> None:
        self.no = tuple(reason for reason in self.no if "ours" not in reason)

    def clear_failure(self, tag: str, on: str, *, deadline: Deadline) -> None:
        self.counts.get(on, {}).pop(tag, None)
        old = self.now.nodes[on]
        if old.resources.get(tag) is not ResourceState.FAILED:
            return
        fresh = NodeState(on, True, {**old.resources, tag: B}, old.comm_paths)
        self.now = ClusterState({**self.now.nodes, on: fresh})


def subject_of(manager: Manager) -> Any:
    def wait_until_healthy(deadline: Deadline) -> ClusterState:
        return deadline.wait_for(manager.state, until=lambda s: s.healthy, what="the cluster being healthy", every=0.01)

    return SimpleNamespace(
        cluster=CLUSTER,
        manager=manager,
        state=lambda **limit: manager.state(**limit),
        timeline=Timeline(),
        hosts={n.name: SimpleNamespace(name=n.name, check=lambda *words, **more: "") for n in CLUSTER.nodes},
        standing=[],
        absent=set(),
        before_undoing=lambda: None,
        lost=str,
        stolen=str,
        takes_unproven=False,
        wait_until_healthy=wait_until_healthy,
    )


@pytest.fixture(autouse=True)
def audit_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "audit", lambda subject, patience_s: passed("as it must be"))
