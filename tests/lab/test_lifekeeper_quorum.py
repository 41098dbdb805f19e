# ruff: noqa: F811 (a fixture is imported and then named as an argument)
"""The stand-in with a witness disk, as beneath the lab's failover cluster of Windows: two nodes and it are three votes (WCLU-71)."""

from __future__ import annotations

import pytest

from harness.lab.guests.shared_storage import Witness
from tests.lab.lifekeeper_cluster import DISK, Cluster, Node, eventually, structure
from tests.lab.lifekeeper_fixtures import cluster, comes_to, kinds_of, needs_namespaces  # noqa: F401

TOP = "cluster-services"


def with_witness(cluster: Cluster, *, disk: bool) -> None:
    """The whole cluster, with a witness, and with or without the disk whose reservation would fence."""
    for node in (cluster.node1, cluster.node2):
        resources = [r for r in structure(node, cluster)["resources"] if disk or r["tag"] != DISK]
        for r in resources:
            r["children"] = [c for c in r["children"] if disk or c != DISK]
        node.configure(resources=resources, witness=str(cluster.base / "disk.sock"))
    cluster.whole()


def halted(node: Node) -> bool:
    return (node.base / "halted").exists()


def test_a_claim_goes_over_only_when_it_was_not_renewed() -> None:
    witness = Witness()

    def take(node: str, now: float) -> bool:
        return witness.carry_out({"op": "witness", "node": node, "older_than": 2.0}, now)["ok"]

    assert take("a", 10.0) and not take("b", 11.0) and take("a", 12.0)
    assert not take("b", 14.0) and witness.holder == "a"
    assert take("b", 14.1) and not take("a", 14.2) and witness.holder == "b"
    assert witness.carry_out({"op": "witness-release", "node": "a"}, 15.0)["ok"] and witness.holder == "b"
    witness.carry_out({"op": "witness-release", "node": "b"}, 15.0)
    assert witness.holder is None and take("a", 15.1)
    with pytest.raises(ValueError, match="unknown operation"):
        witness.carry_out({"op": "witness-steal", "node": "a"}, 16.0)


@needs_namespaces
def test_the_survivor_of_a_power_loss_has_the_majority_and_one_that_boots_alone_too(cluster) -> None:
    """WCLU-71. On LifeKeeper a former standby that boots alone starts nothing (LKL-50); a cluster that forms brings its roles online."""
    with_witness(cluster, disk=True)
    assert cluster.disk.witness.holder == "lknode01"
    cluster.node1.crash()
    comes_to(cluster.node2, "ISP")
    assert cluster.disk.witness.holder == "lknode02"
    cluster.boot(cluster.node1)
    cluster.node1.starts()
    comes_to(cluster.node1, "OSU")
    eventually(cluster.node2.journalled_paths, lambda seen: seen == ["ALIVE", "ALIVE"], "both paths ALIVE")
    cluster.node1.crash()
    cluster.node2.crash()
    cluster.boot(cluster.node1)
    cluster.node1.starts()
    comes_to(cluster.node1, "ISP")
    assert cluster.disk.witness.holder == "lknode01" and not halted(cluster.node1) and not halted(cluster.node2)


@needs_namespaces
def test_of_a_split_the_side_without_the_witness_starts_nothing_and_joins_again(cluster) -> None:
    with_witness(cluster, disk=False)
    cluster.probe("lknode01", "lknode02")
    cluster.cut(cluster.node2, 0, 1)
    eventually(lambda: kinds_of(cluster.node2), lambda seen: "quorum-lost" in seen, "lknode02 being without a majority")
    eventually(lambda: kinds_of(cluster.node1), lambda seen: "failover-begun" in seen or "peer-silent" in seen, "lknode01 noticing")
    refused = cluster.node2.lk("perform_action", "-t", TOP, "-a", "restore")
    assert refused.returncode != 0 and "has no majority" in refused.stderr
    assert cluster.node1.all("ISP") and cluster.node2.all("OSU") and not halted(cluster.node2)
    cluster.mend(cluster.node2, 0, 1)
    eventually(cluster.node1.journalled_paths, lambda seen: seen == ["ALIVE", "ALIVE"], "both paths ALIVE")
    assert cluster.node2.lk("perform_action", "-t", TOP, "-a", "restore").returncode == 0
    comes_to(cluster.node2, "ISP")
    comes_to(cluster.node1, "OSU")
    assert "both-in-service" not in kinds_of(cluster.node1) + kinds_of(cluster.node2)
    # Now the active node is the one without the witness: it ends, and the other takes over.
    cluster.cut(cluster.node2, 0, 1)
    eventually(lambda: halted(cluster.node2), bool, "the active node without a majority ending")
    comes_to(cluster.node1, "ISP")


@needs_namespaces
@pytest.mark.deep
@pytest.mark.parametrize("holder", ["the frozen node", "the other node"])
def test_a_frozen_node_ends_when_it_thaws(cluster, holder: str) -> None:
    with_witness(cluster, disk=False)
    frozen, other = cluster.node1, cluster.node2
    if holder == "the other node":
        assert cluster.node2.lk("perform_action", "-t", TOP, "-a", "restore").returncode == 0
        frozen, other = cluster.node2, cluster.node1
    frozen.run("sh", "-c", "kill -STOP -1")
    comes_to(other, "ISP")
    frozen.run("sh", "-c", "kill -CONT -1")
    eventually(lambda: halted(frozen), bool, "the thawed node ending")
    assert other.all("ISP") and cluster.disk.witness.holder == other.name and not halted(other)


@needs_namespaces
@pytest.mark.deep
def test_a_node_that_boots_behind_a_split_starts_nothing_until_it_joins(cluster) -> None:
    with_witness(cluster, disk=False)
    cluster.node1.crash()
    comes_to(cluster.node2, "ISP")
    cluster.boot(cluster.node1)
    cluster.cut(cluster.node1, 0, 1)
    cluster.node1.starts()
    before = len(kinds_of(cluster.node1))
    eventually(lambda: kinds_of(cluster.node1)[before - 1 :], lambda since: "started" in since, "the start's end")
    assert cluster.node1.all("OSU") and cluster.node2.all("ISP") and cluster.disk.witness.holder == "lknode02"
    cluster.mend(cluster.node1, 0, 1)
    eventually(cluster.node2.journalled_paths, lambda seen: seen == ["ALIVE", "ALIVE"], "both paths ALIVE")
    assert cluster.node1.lk("perform_action", "-t", TOP, "-a", "restore").returncode == 0
    comes_to(cluster.node1, "ISP")
