"""What the stand-in's tests share: clusters as fixtures, and two ways of reading a node."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.lab.lifekeeper_cluster import Cluster, Node, eventually

needs_namespaces = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare, for namespaces")


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path)
    yield made
    made.close()


@pytest.fixture
def whole(cluster):
    cluster.whole()
    return cluster


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """One whole cluster for the tests that only look, or put everything back."""
    made = Cluster(tmp_path_factory.mktemp("kept"))
    made.whole()
    yield made
    made.close()


def comes_to(node: Node, state: str) -> None:
    eventually(node.stored, lambda seen: bool(seen) and set(seen.values()) == {state}, f"everything {state} on {node.name}")


def kinds_of(node: Node) -> list[str]:
    return [event["kind"] for event in node.journal()]
