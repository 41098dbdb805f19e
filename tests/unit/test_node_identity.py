"""Which node answered: by name, by address, by start, and when nothing tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config.cluster_config import Cluster, parse
from harness.services.node_identity import node_of
from harness.services.service_kind import Identity


@pytest.fixture
def cluster() -> Cluster:
    return parse(
        {
            "name": "figure",
            "client": {"name": "lkclient", "address": "10.20.1.20"},
            "nodes": [
                {"name": "lknode01", "address": "10.20.1.11", "second_address": "10.20.2.11"},
                {"name": "lknode02", "address": "10.20.1.12", "second_address": "10.20.2.12"},
            ],
            "services": [{"name": "db", "kind": "postgres", "port": 5432, "tag": "pg"}],
        },
        Path("figure.toml"),
    )


def asked(cluster: Cluster, starts: dict[str, float | None] | None = None, /, **told: object) -> tuple[str | None, str]:
    return node_of(Identity(kind="postgres", said="", **told), cluster, starts or {})  # type: ignore[arg-type]


def test_a_name_tells_the_node(cluster: Cluster) -> None:
    assert asked(cluster, node="LKNODE02") == ("lknode02", "the postgres service says that it runs on lknode02")


def test_a_netbios_name_is_the_beginning_of_a_longer_one(cluster: Cluster) -> None:
    """It has 15 characters at most; one that fits both nodes tells none."""
    names = ("application-node-a", "application-node-b")
    longer = cluster.model_copy(update={"nodes": [n.model_copy(update={"name": m}) for n, m in zip(cluster.nodes, names, strict=True)]})
    assert asked(longer, node="APPLICATION-NOD")[0] is None
    one = cluster.model_copy(update={"nodes": [cluster.nodes[0].model_copy(update={"name": "sql-application-01"}), cluster.nodes[1]]})
    assert asked(one, node="SQL-APPLICATION")[0] == "sql-application-01"
    assert asked(cluster, node="LKNODE0")[0] is None


@pytest.mark.parametrize("address", ["10.20.1.12", "10.20.2.12"])
def test_a_private_address_tells_the_node(cluster: Cluster, address: str) -> None:
    node, how = asked(cluster, address=address)
    assert node == "lknode02"
    assert how == f"it was reached at {address}, the private address of lknode02"


def test_the_vip_tells_nothing_and_that_is_said(cluster: Cluster) -> None:
    node, how = asked(cluster, address="10.20.1.200")
    assert node is None
    assert "the VIP 10.20.1.200, which both nodes may hold" in how


def test_behind_the_vip_the_start_tells(cluster: Cluster) -> None:
    node, how = asked(cluster, {"lknode01": 1000.0, "lknode02": 2000.0}, address="10.20.1.200", started=1001.5)
    assert (node, how) == ("lknode01", "the postgres service started when the one on lknode01 did, and no other")


def test_a_start_that_both_nodes_share_tells_nothing(cluster: Cluster) -> None:
    node, how = asked(cluster, {"lknode01": 1000.0, "lknode02": 1001.0}, started=1000.5)
    assert node is None
    assert "the same within 2 s on lknode01 and lknode02" in how


def test_a_start_that_no_node_knows_tells_nothing(cluster: Cluster) -> None:
    node, how = asked(cluster, {"lknode01": 1000.0, "lknode02": None}, started=1002.5)
    assert node is None
    assert "no node reports a service with its start" in how


def test_name_and_address_of_different_nodes_are_a_finding(cluster: Cluster) -> None:
    node, how = asked(cluster, node="lknode01", address="10.20.1.12")
    assert node is None
    assert "says that it runs on lknode01, but it was reached at 10.20.1.12, the private address of lknode02" in how


def test_a_foreign_name_is_told_but_the_address_decides(cluster: Cluster) -> None:
    assert asked(cluster, node="webfarm", address="10.20.1.11")[0] == "lknode01"
    node, how = asked(cluster, node="webfarm")
    assert node is None
    assert "runs on webfarm, which is not lknode01 or lknode02" in how


def test_nothing_told_says_what_was_missing(cluster: Cluster) -> None:
    node, how = asked(cluster)
    assert node is None
    assert how == (
        "the postgres service gave no name for its node; it did not tell the address that it was reached at; it did not tell its start"
    )
