# ruff: noqa: F811 (a fixture is imported and then named as an argument)
"""What the stand-in does as a failover cluster of Windows and LifeKeeper does not: paused nodes (WCLU-66), restarts and failovers that are
counted within a period (WCLU-81 to WCLU-84)."""

from __future__ import annotations

from harness.lab.lifekeeper.hierarchy.state_store import PAUSED
from tests.lab.lifekeeper_cluster import FAST, Cluster, Node, eventually
from tests.lab.lifekeeper_fixtures import cluster, comes_to, kinds_of, needs_namespaces, whole  # noqa: F401

TOP, LISTENER = "cluster-services", "listener-1521"


def pause(node: Node) -> None:
    assert node.lk("flg_create", "-f", PAUSED).returncode == 0


def resume(node: Node) -> None:
    assert node.lk("flg_remove", "-f", PAUSED).returncode == 0


def crash_listener(node: Node, kind: str) -> None:
    """Ended, and then seen to the end that is recorded under `kind` in the node's journal, once more than before."""
    before = kinds_of(node).count(kind)
    assert node.run("kill", "-KILL", node.service_pid(LISTENER)).returncode == 0
    eventually(lambda: kinds_of(node).count(kind), lambda now: now > before, f"{kind} on {node.name}")


@needs_namespaces
def test_a_paused_node_keeps_what_it_has_and_takes_nothing(whole: Cluster) -> None:
    pause(whole.node2)
    refused = whole.node2.lk("perform_action", "-t", TOP, "-a", "restore")
    assert refused.returncode != 0 and "lknode02 is paused" in refused.stderr
    whole.node1.crash()
    eventually(lambda: kinds_of(whole.node2), lambda seen: "failover-withheld" in seen, "the paused node taking nothing")
    assert whole.node2.all("OSU")
    whole.boot(whole.node1)
    whole.node1.starts()
    comes_to(whole.node1, "ISP")

    resume(whole.node2)
    pause(whole.node1)
    assert whole.node1.all("ISP")
    crash_listener(whole.node1, "failover-out")  # nothing is brought online there, so it is not restarted
    comes_to(whole.node2, "ISP")
    back = whole.node1.lk("perform_action", "-t", TOP, "-a", "restore")
    assert back.returncode != 0 and whole.node2.all("ISP")
    resume(whole.node1)
    assert whole.node1.lk("perform_action", "-t", TOP, "-a", "restore").returncode == 0
    comes_to(whole.node1, "ISP")


@needs_namespaces
def test_after_the_counted_restarts_it_moves_and_after_the_counted_failovers_it_is_failed(cluster: Cluster) -> None:
    cluster.tunables(**FAST, STANDIN_RESTARTS=1, STANDIN_FAILOVERS=1)
    cluster.whole()
    crash_listener(cluster.node1, "recovered")
    crash_listener(cluster.node1, "failover-out")
    comes_to(cluster.node2, "ISP")
    crash_listener(cluster.node2, "recovered")
    crash_listener(cluster.node2, "failovers-used-up")
    assert "OSF" in cluster.node2.states().values() and "ISP" not in cluster.node1.states().values()
    assert cluster.node2.lk("perform_action", "-t", TOP, "-a", "restore").returncode == 0  # a person may, always
    comes_to(cluster.node2, "ISP")
