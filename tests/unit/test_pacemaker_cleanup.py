"""Whatever the adapter cleans of failures is one named resource's on one node.

A cleanup of everything starts what somebody left stopped, and wipes the history of other groups and of fence devices.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.lab.lifecycle import default_cluster
from harness.managers.kinds.pacemaker import Pacemaker
from harness.managers.manager import NodeState, ResourceState

CLUSTER = cluster_config.parse(default_cluster.cluster_data(overrides={"manager": {"kind": "pacemaker"}}), Path("cluster.toml"))
TO = "lknode02"
CLEANS = re.compile(r"crm_resource [^;|&]*(?:--cleanup|--refresh|-C\b|-R\b)[^;|&]*")


class Recorded(Pacemaker):
    """Its lines, none of which reaches a host; the standby's IP resource has failed until something was cleaned."""

    def __init__(self) -> None:
        super().__init__(CLUSTER, {})
        self.lines: list[str] = []

    def _do(self, node: str, line: str, deadline: Deadline) -> Any:
        self.lines.append(line)
        return SimpleNamespace(ok=True, exit=0, out="", err="")

    _run = _do

    def _node_state(self, node: str, limit: float) -> NodeState:
        failed = not any(CLEANS.search(line) for line in self.lines)
        return NodeState(node, True, {"ip": ResourceState.FAILED if failed else ResourceState.IN_SERVICE}, ())


@pytest.mark.parametrize("act", ["switch_over", "clear_failure"])
def test_one_resource_on_one_node_is_cleaned(act: str) -> None:
    adapter = Recorded()
    if act == "switch_over":
        adapter.switch_over(TO, deadline=Deadline(5.0))
    else:
        adapter.clear_failure("ip", TO, deadline=Deadline(5.0))
    cleaned = [found for line in adapter.lines for found in CLEANS.findall(line)]
    assert len(cleaned) == 1 and re.search(rf"-r \S+ -N {TO}\b", cleaned[0]), cleaned


def test_what_the_plan_shows_cleans_no_more() -> None:
    cleaned = [found for line in Recorded().switch_over_lines(TO) for found in CLEANS.findall(line)]
    assert len(cleaned) == 1 and re.search(rf"-r \S+ -N {TO}\b", cleaned[0]), cleaned
