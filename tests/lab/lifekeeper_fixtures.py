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
def module_cluster(tmp_path_factory):
    made = Cluster(tmp_path_factory.mktemp("kept"))
    made.whole()
    yield made
    made.close()


@pytest.fixture
def kept(module_cluster):
    """One whole cluster for the tests that only look, or put everything back."""
    if module_cluster.disturbed:
        module_cluster.whole_again()
    return module_cluster


@pytest.fixture
def lent(kept):
    """The same cluster, for tests that move everything, stop or crash nodes, or cut paths; it is put together for the next one. Flags,
    files in nodes and settings are the test's to take back."""
    kept.disturbed = True
    return kept


def comes_to(node: Node, state: str) -> None:
    eventually(node.stored, lambda seen: bool(seen) and set(seen.values()) == {state}, f"everything {state} on {node.name}")


def kinds_of(node: Node, since: int = 0) -> list[str]:
    """Of the journal from its entry number `since` on."""
    return [event["kind"] for event in node.journal()[since:]]
