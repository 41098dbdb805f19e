"""When a lab that is made like a bundle is up, its dead paths are dead to its nodes, or it says that they are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.collect.lab_from_bundle import Shape
from harness.config import cluster_config
from harness.lab.lifecycle import bundle_reproduction, default_cluster
from harness.lab.lifecycle.bundle_reproduction import still_alive
from harness.managers.manager import ClusterState, CommPath, NodeState

CUTS = [("10.20.2.11", "10.20.2.12"), ("10.20.2.12", "10.20.2.11")]


def state(*alive: bool) -> ClusterState:
    """Two paths of the first node, and the second of the other, alive or not."""
    first, second, other = alive
    paths = {
        "lknode01": (CommPath("lknode02", "10.20.1.11/10.20.1.12", first), CommPath("lknode02", "10.20.2.11/10.20.2.12", second)),
        "lknode02": (CommPath("lknode01", "10.20.2.12/10.20.2.11", other),),
    }
    return ClusterState({node: NodeState(node, True, {}, those) for node, those in paths.items()})


def test_which_of_the_cut_paths_a_node_takes_for_alive() -> None:
    assert still_alive(state(True, True, True), CUTS) == ["lknode01: 10.20.2.11/10.20.2.12", "lknode02: 10.20.2.12/10.20.2.11"]
    assert still_alive(state(True, False, True), CUTS) == ["lknode02: 10.20.2.12/10.20.2.11"]
    assert still_alive(state(True, False, False), CUTS) == [] == still_alive(state(True, True, True), [])
    assert still_alive(state(True, True, True), [("10.20.2.1", "20.2.11")]) == [], "part of an address is none"


class Telling:
    """A manager whose nodes take the path for alive so many times more."""

    def __init__(self, times: int) -> None:
        self.times = times

    def state(self) -> ClusterState:
        self.times -= 1
        return state(True, self.times >= 0, False)


@pytest.mark.parametrize(("times", "failed"), [(0, 0), (2, 0), (10**9, 1)])
def test_it_is_waited_for_and_told_when_it_does_not_come(monkeypatch: pytest.MonkeyPatch, times: int, failed: int) -> None:
    monkeypatch.setattr(bundle_reproduction, "JOIN_TIMEOUT_S", 0.5 if failed else 60.0)
    data = {**default_cluster.cluster_data(), "manager": {"heartbeat_s": 0.01}}
    manager: Any = Telling(times)
    lab: Any = None
    making = bundle_reproduction._Reproduction(lab, cluster_config.parse(data, Path("a test's")), manager)
    making.know_dead_paths(Shape({}, cuts=CUTS))
    assert len(making.failed) == failed and manager.times < times
    assert all("communication paths" in said and "10.20.2.11/10.20.2.12" in said for said in making.failed)
    making.know_dead_paths(Shape({}))
    assert len(making.failed) == failed, "without a cut nothing is asked"
