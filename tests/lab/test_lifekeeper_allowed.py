# ruff: noqa: F811 (a fixture is imported and then named as an argument)
"""What the adapter says of a switchover, and its window of the log, asked of two running nodes of the stand-in."""

from __future__ import annotations

import time

import pytest

from harness.config import cluster_config
from harness.hosts.local_host import LocalHost
from harness.managers.kinds.lifekeeper import LifeKeeper
from harness.managers.manager import Question
from tests.lab.lifekeeper_cluster import NODES, TOP, eventually
from tests.lab.lifekeeper_fixtures import cluster, kept, needs_namespaces, whole  # noqa: F401

pytestmark = needs_namespaces


@pytest.fixture
def manager(kept):
    nodes = [{"name": n, "address": a, "second_address": b} for n, (a, b) in NODES.items()]
    data = {
        "name": "kept",
        "client": {"name": "lkclient", "address": "10.20.1.100"},
        "nodes": nodes,
        "services": [{"name": "oracle", "kind": "oracle", "port": 1521, "tag": "listener-1521"}],
        "manager": {"root": str(kept.base / "LifeKeeper"), "resource": TOP, "quorum": "off", "starts_at_boot": True},
    }
    hosts = {node.name: LocalHost(node.name, prefix=node.enter) for node in (kept.node1, kept.node2)}
    return LifeKeeper(cluster_config.Cluster.model_validate(data), hosts)


@pytest.mark.parametrize("question", Question)
def test_a_whole_cluster_would_move_for_every_reason(manager, question):
    assert str(manager.may_switch_over("lknode02", question)) == "yes"


def test_what_a_person_must_know_is_not_guessed(manager):
    """No quorum package and the stand-in's disk are of the cluster file's word (WCLU-28, LKL-40)."""
    silent = type(manager)(manager._cluster.model_copy(update={"manager": unknowing(manager._cluster.manager)}), manager._hosts)
    assert "no QUORUM_MODE is set" in str(silent.may_switch_over("lknode02", Question.LOST))
    assert silent.fencing().no and manager.fencing().no  # these two nodes have no disk
    assert silent.mirror("lknode02").yes and manager.starts_at_boot().yes


def unknowing(told: cluster_config.Manager) -> cluster_config.Manager:
    return told.model_copy(update={"quorum": None, "starts_at_boot": None})


def test_the_active_node_has_it_already(manager):
    assert "lknode01 has everything in service already" in str(manager.may_switch_over("lknode01"))


@pytest.mark.parametrize(
    ("flag", "why"),
    [
        ("!nofailover!lknode01", "no failover from lknode01 is allowed"),
        ("confirmso!lknode01", "a failover from lknode01 waits for a person's word"),
        ("!action!00001!1795356427!lknode02:Restore_hierarchy", "an action holds a lock there: lknode02:Restore_hierarchy, process 00001"),
    ],
)
def test_a_flag_forbids_it_while_it_is_set(manager, kept, flag, why):
    """LKL-22, LKL-23."""
    assert kept.node2.lk("flg_create", "-f", flag).returncode == 0
    try:
        found = manager.may_switch_over("lknode02", Question.LOST)
    finally:
        kept.node2.lk("flg_remove", "-f", flag)
    assert found.no and why in str(found)
    assert manager.may_switch_over("lknode02", Question.LOST).yes


def test_one_dead_path_does_not_forbid_it(manager, kept):
    kept.cut(kept.node2, 1)
    try:
        eventually(
            lambda: kept.node1.journalled_paths() + kept.node2.journalled_paths(), lambda s: s == ["ALIVE", "DEAD"] * 2, "path 2 dead"
        )
        # Seven beats missed on the other path, on a busy machine, are a takeover: then the same is asked of the node that stands by.
        standby = "lknode02" if set(kept.node1.states().values()) == {"ISP"} else "lknode01"
        assert str(manager.may_switch_over(standby, Question.LOST)) == "yes"
    finally:
        kept.mend(kept.node2, 1)
        eventually(lambda: kept.node1.journalled_paths() + kept.node2.journalled_paths(), lambda s: s == ["ALIVE"] * 4, "all paths alive")


def test_the_log_of_a_span_of_time(manager, kept):
    """All of it, none of it, and the newest part that fits."""
    manager.log = kept.node1.base / "lifekeeper.log"
    whole = kept.node1.log().splitlines()
    now = time.time()
    everything = manager.log_between("lknode01", now - 3600, now + 60)
    assert everything.text.splitlines()[: len(whole)] == whole and not everything.left_out
    assert manager.log_between("lknode01", now + 3600, now + 7200).text == ""
    small = manager.log_between("lknode01", now - 3600, now + 60, most=200)
    assert 0 < len(small.text) <= 200 and "did not fit into 200 characters" in small.left_out


def test_a_log_that_is_not_there_is_said(manager, kept):
    manager.log = kept.base / "no such.log"
    found = manager.log_between("lknode01", 0, time.time())
    assert not found.text and "the log could not be read; the host said: ls: cannot access" in found.left_out
