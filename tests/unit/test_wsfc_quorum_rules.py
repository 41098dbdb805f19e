"""Would one side of a split Windows cluster surely be stopped? Two nodes and a witness with a vote each are proof, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest

from harness.managers.manager import Says
from harness.managers.parse.wsfc_parse import Rows, read
from harness.managers.rules.wsfc_quorum_rules import fenced_by

QUORUM = {
    "K": "quorum",
    "Witness": "Cloud Witness",
    "State": "Online",
    "Type": "Majority",
    "WitnessVote": 1,
    "Dynamic": 1,
    "Fixed": 0,
    "Prevented": 0,
}
NODE = {"K": "node", "State": "Up", "Vote": 1, "Weight": 1}


def answered(quorum: dict[str, Any] | None = None, second: dict[str, Any] | None = None, more: int = 0) -> Rows:
    names = ("a", "b", "c")[: 2 + more]
    nodes = [{**NODE, "Name": name, **((second or {}) if name == "b" else {})} for name in names]
    return read([{"K": "service", "State": "Running", "Node": "a"}, *nodes, {**QUORUM, **(quorum or {})}])


def test_two_nodes_and_a_witness_that_is_online_are_proof() -> None:
    whole = answered()
    assert fenced_by({"a": whole, "b": whole}).yes
    assert fenced_by({"a": answered(second={"State": "Paused"}), "b": whole}).yes  # it votes all the same
    configured = answered({"Dynamic": 0, "WitnessVote": 0}, {"Vote": 0})  # what votes now is not asked where it does not follow
    assert fenced_by({"a": configured, "b": configured}).yes


@pytest.mark.parametrize(
    ("doubtful", "reason"),
    [
        (answered({"Witness": None, "State": None, "WitnessVote": 0}), "b: there is no witness"),
        (answered({"State": "Failed"}), "Cloud Witness is Failed: neither node would have a majority"),
        (answered({"State": None}), "Cloud Witness is in no known state"),
        (answered({"WitnessVote": 0}), "Cloud Witness has no vote now"),
        (answered({"WitnessVote": None}), "Cloud Witness has no vote now"),
        (answered({"Type": "DiskOnly"}), "of type DiskOnly"),
        (answered({"Type": None}), "of type unknown"),
        (answered({"Prevented": 1}), "PreventQuorum"),
        (answered({"Fixed": None}), "Fixed is not told"),
        (answered({"Dynamic": None}), "Dynamic is not told"),
        (answered(second={"Vote": 0}), "b has 0 votes and not 1"),
        (answered(second={"Vote": None}), "b has no known number of votes"),
        (answered({"Dynamic": 0}, {"Weight": 0}), "b has 0 votes and not 1"),
        (answered(second={"State": "Down"}), "b is Down"),
        (answered(more=1), "has 3 nodes and not 2"),
        (Rows(why="the cluster service is Stopped", stopped=True), "b: the cluster service is Stopped"),
        (Rows({"node": [NODE]}), "b: the quorum could not be read"),
    ],
)
def test_whatever_one_node_tells_otherwise_is_no_proof(doubtful: Rows, reason: str) -> None:
    says = fenced_by({"a": answered(), "b": doubtful})
    assert says.says is Says.CANNOT_TELL
    assert any(reason in because for because in says.because), says.because


def test_a_cluster_that_was_started_by_force_stops_nobody() -> None:
    says = fenced_by({"a": answered(), "b": answered({"Fixed": 1, "State": "Failed"})})
    assert says.no and "FixQuorum" in says.because[0]
