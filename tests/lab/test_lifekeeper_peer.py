# ruff: noqa: F811 (a fixture is imported and then named as an argument)
"""The LifeKeeper stand-in and its peer: crashes, splits, stops and starts of two real nodes; each test names its facts."""

from __future__ import annotations

import pytest

from tests.lab.lifekeeper_cluster import DISK, FAST, TOP, eventually, structure
from tests.lab.lifekeeper_fixtures import cluster, comes_to, kept, kinds_of, needs_namespaces, whole  # noqa: F401

pytestmark = needs_namespaces


# the peer


def test_crash_fails_over_and_the_node_returns_as_standby(whole):
    """LKL-36, LKL-39, LKL-49, LKL-51."""
    whole.node1.crash()
    comes_to(whole.node2, "ISP")
    assert whole.node2.has_vip() and whole.node2.paths() == ["DEAD", "DEAD"]
    whole.boot(whole.node1)
    whole.node1.starts()
    eventually(whole.node2.journalled_paths, lambda seen: seen == ["ALIVE", "ALIVE"], "both paths ALIVE")
    comes_to(whole.node1, "OSU")
    assert whole.node2.all("ISP") and not whole.node1.has_vip() and not (whole.node1.base / "halted").exists()
    assert "both-in-service" not in kinds_of(whole.node1) + kinds_of(whole.node2)  # what a booting node remembers is not what it has


def test_after_both_crashed_the_former_standby_starts_nothing(whole):
    """LKL-50: the former active node does, when it arrives."""
    whole.node2.crash()
    whole.node1.crash()
    before = len(kinds_of(whole.node2))
    whole.boot(whole.node2)
    whole.node2.starts()
    eventually(lambda: kinds_of(whole.node2)[before:], lambda since: "started" in since, "the second start's end")
    assert whole.node2.all("OSU")
    whole.boot(whole.node1)
    whole.node1.starts()
    comes_to(whole.node1, "ISP")
    assert whole.node2.all("OSU")


def test_a_node_back_from_a_crash_believes_the_disk_not_its_memory(whole):
    """LKL-40, LKL-50: it remembers having everything in service and does not hear the node that has it now."""
    whole.node1.crash()
    comes_to(whole.node2, "ISP")
    whole.boot(whole.node1)
    whole.cut(whole.node1, 0, 1)
    before = len(kinds_of(whole.node1))
    whole.node1.starts()
    eventually(lambda: kinds_of(whole.node1)[before:], lambda since: "started" in since, "the second start's end")
    assert whole.node1.all("OSU") and whole.disk.holder == "lknode02" and whole.node2.all("ISP")
    assert not (whole.node1.base / "halted").exists() and not (whole.node2.base / "halted").exists()


def test_one_dead_path_is_no_failover_and_heals_quickly(kept):
    """LKL-08, LKL-36, LKL-37: commands for the peer go over the path that is left.

    The path in subnet 2, because the probes come in subnet 1.
    """
    kept.cut(kept.node1, 1)
    eventually(kept.node2.journalled_paths, lambda seen: seen == ["ALIVE", "DEAD"], "path 2 DEAD")
    assert kept.node1.all("ISP") and kept.node2.all("OSU")
    assert kept.node2.lk("flg_list", "-d", "lknode01").returncode == 0
    kept.mend(kept.node1, 1)
    eventually(kept.node2.journalled_paths, lambda seen: seen == ["ALIVE", "ALIVE"], "path 2 ALIVE")


def test_all_paths_dead_with_a_shared_disk_fences_the_old_node(whole):
    """LKL-40: the standby takes the reservation, the node that lost it goes down."""
    whole.cut(whole.node1, 0, 1)
    comes_to(whole.node2, "ISP")
    eventually((whole.node1.base / "halted").exists, bool, "the fenced node halts")
    assert whole.disk.holder == "lknode02" and ":EMERG:" not in whole.node2.log()


def test_a_frozen_node_is_fenced_when_it_thaws(cluster):
    """LKL-36, LKL-40; at contact, not only at the next check, which is ten minutes away here."""
    cluster.tunables(**{**FAST, "LKCHECKINTERVAL": 600})
    cluster.whole()
    cluster.node1.run("sh", "-c", "kill -STOP -1")
    comes_to(cluster.node2, "ISP")
    cluster.node1.run("sh", "-c", "kill -CONT -1")
    eventually((cluster.node1.base / "halted").exists, bool, "the thawed node halts")
    assert cluster.node2.all("ISP") and cluster.disk.holder == "lknode02"


@pytest.mark.parametrize("switch", ["lower_priority_removes", "keep"])
def test_both_in_service_without_a_disk(cluster, switch):
    """LKL-17, LKL-40: ISP on both; what happens when they meet again is not known (section 9), hence the switch."""
    for node in (cluster.node1, cluster.node2):
        resources = [r for r in structure(node, cluster)["resources"] if r["tag"] != DISK]
        for r in resources:
            r["children"] = [c for c in r["children"] if c != DISK]
        node.configure(resources=resources, unknowns={"split_brain": switch})
    cluster.whole()
    cluster.probe(*("lknode01", "lknode02"))
    cluster.cut(cluster.node2, 1)
    cluster.cut(cluster.node1, 1)
    for node in (cluster.node1, cluster.node2):  # only the paths: the probes still come in subnet 1
        node.run("ip", "route", "add", "blackhole", f"10.20.1.{12 if node.name == 'lknode01' else 11}/32")
    comes_to(cluster.node2, "ISP")
    assert cluster.node1.all("ISP")
    for node in (cluster.node1, cluster.node2):
        node.run("ip", "route", "del", "blackhole", f"10.20.1.{12 if node.name == 'lknode01' else 11}/32")
    if switch == "keep":
        eventually(cluster.node2.log, lambda seen: ":990313:" in seen, "the ERROR line")
        assert cluster.node2.all("ISP")
    else:
        comes_to(cluster.node2, "OSU")
    assert cluster.node1.all("ISP")


def test_confirmso_asks_before_a_failover(whole):
    """LKL-45: nothing moves until lk_confirmso answers."""
    assert whole.node2.lk("flg_create", "-f", "confirmso!lknode01").returncode == 0
    whole.node1.crash()
    eventually(lambda: whole.node2.lk("lk_confirmso", "-y", "lknode01").returncode, lambda code: code == 0, "the question")
    comes_to(whole.node2, "ISP")


# stop and start


def test_lkstop_takes_all_down_without_a_failover_and_start_brings_it_back(whole):
    """LKL-46, LKL-47, LKL-49, LKL-23: the peer knows by the flag, which goes when contact returns."""
    assert whole.node1.lk("lkstop").returncode == 0
    assert not whole.node1.has_vip() and whole.disk.holder is None
    eventually(whole.node2.journalled_paths, lambda seen: seen == ["DEAD", "DEAD"], "silence")
    eventually(lambda: kinds_of(whole.node2), lambda seen: "failover-withheld" in seen, "the decision to do nothing")
    assert whole.node2.all("OSU") and "!nofailover!lknode01\n" in whole.node2.lk("flg_list").stdout
    whole.node1.starts()
    comes_to(whole.node1, "ISP")
    eventually(lambda: whole.node2.lk("flg_list").stdout, lambda seen: "nofailover" not in seen, "the flag is gone")


def test_lkstop_f_leaves_everything_running(whole):
    """LKL-47; picked up again at the start as it is (LKL-31)."""
    pid = whole.node1.service_pid("http-80")
    assert whole.node1.lk("lkstop", "-f").returncode == 0
    eventually(lambda: kinds_of(whole.node2), lambda seen: "failover-withheld" in seen, "the decision to do nothing")
    assert whole.node1.has_vip() and whole.node1.service_pid("http-80") == pid and whole.disk.holder == "lknode01"
    whole.node1.starts()
    comes_to(whole.node1, "ISP")
    assert whole.node1.service_pid("http-80") == pid and whole.node2.all("OSU")


@pytest.mark.parametrize("over", [True, False])
def test_orderly_shutdown_follows_the_strategy(whole, over):
    """LKL-46, LKL-48 [from memory: -r]: switched over only with the flag shutdown_switchover (TRP-03)."""
    if over:
        whole.node1.lk("flg_create", "-f", "shutdown_switchover")
        assert "The shutdown strategy is set to: switchover." in whole.node1.lk("lcdstatus").stdout
    assert whole.node1.lk("lkstop", "-r").returncode == 0
    if over:
        comes_to(whole.node2, "ISP")
        whole.node1.starts()
        comes_to(whole.node1, "OSU")
    else:
        eventually(lambda: kinds_of(whole.node2), lambda seen: "failover-withheld" in seen, "the decision to do nothing")
        assert whole.node2.all("OSU")


def test_a_killed_daemon_comes_back_and_nothing_moves(kept):
    """LKL-02: restarted at once, nothing logged of it, everything picked up as it runs."""
    daemon = kept.node1.run("cat", "/run/lifekeeper-standin/daemon.pid").stdout
    service, actions = kept.node1.service_pid("pgsql-5432"), kinds_of(kept.node1).count("action-begun")
    kept.node1.run("kill", "-9", daemon.strip())
    eventually(
        lambda: kept.node1.run("cat", "/run/lifekeeper-standin/daemon.pid").stdout, lambda pid: pid not in ("", daemon), "a new daemon"
    )
    eventually(kept.node1.paths, lambda seen: seen == ["ALIVE", "ALIVE"], "both paths ALIVE")
    assert kept.node1.all("ISP") and kept.node2.all("OSU")
    assert kept.node1.service_pid("pgsql-5432") == service and kinds_of(kept.node1).count("action-begun") == actions
    assert kept.node2.lk("perform_action", "-t", TOP, "-a", "restore").returncode == 0
    assert kept.node1.lk("perform_action", "-t", TOP, "-a", "restore").returncode == 0
