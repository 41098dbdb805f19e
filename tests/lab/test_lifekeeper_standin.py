"""The LifeKeeper stand-in, two real nodes in namespaces: every test names the facts that it rests on."""

from __future__ import annotations

import os
import re
import shutil

import pytest

from tests.lab.lifekeeper_cluster import COMM, DISK, FAST, IP, LBHC, ROW, SERVICES, TOP, Cluster, Node, eventually, structure

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare, for namespaces")
LOG = re.compile(
    r"^(\w{3} +\d+ [\d:]+) (\S+) (\S+?)\[(\d+)\]: (EMERG|FATAL|ERROR|WARN|NOTIFY|INFO|DEBUG):([^:]*):([^:]*):([^:]*):(\d+):(.*)$"
)


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


# display


def test_short_status_has_the_shape_of_the_facts(kept):
    """LKL-04 to LKL-09, LKL-17: the header of the sample, rows and paths that the adapters' patterns match, nothing else."""
    lines = kept.node1.lk("lcdstatus", "-q").stdout.splitlines()
    blank = lines.index("")
    assert lines[0].split() == ["LOCAL", "TAG", "ID", "STATE", "PRIO", "PRIMARY"]
    assert lines[blank + 1] == "MACHINE   NETWORK ADDRESSES/DEVICE       STATE     PRIO"
    assert lines[blank + 2 :] == [
        "lknode02  TCP     10.20.1.11/10.20.1.12  ALIVE        1",
        "lknode02  TCP     10.20.2.11/10.20.2.12  ALIVE        2",
    ]
    assert f"lknode01    {IP}  IP-10.20.1.200    ISP          1  lknode01" in lines
    rows = lines[1:blank]
    offset = lines[0].index("TAG")
    depth = {m["tag"]: len(row[offset:]) - len(row[offset:].lstrip()) for row in rows if (m := ROW.match(row))}
    assert depth == {TOP: 0, **dict.fromkeys(SERVICES, 1), IP: 2, LBHC: 2, DISK: 2}
    assert sum(IP in row for row in rows) == 3  # shown under each of its parents
    assert not any(
        p.match(line) for p in (ROW, COMM) for line in (lines[0], "", lines[blank + 1], "LifeKeeper does not appear to be running.")
    )


def test_backup_status_names_the_next_node_or_dashes(kept):
    """LKL-05, LKL-07: -e; PRIMARY is the best priority, not the active node."""
    active = kept.node1.lk("lcdstatus", "-e").stdout.splitlines()
    standby = kept.node2.lk("lcdstatus", "-e").stdout.splitlines()
    assert active[0].startswith("BACKUP    TAG") and standby[0].startswith("BACKUP    TAG")
    assert active[1].split()[0] == "lknode02" and standby[1].split()[0] == "------"
    assert standby[1].split()[-3:] == ["OSU", "10", "lknode01"]


def test_long_status_and_the_other_lists(kept):
    """LKL-12, LKL-13, LKL-18 to LKL-20, and -r, -u, -d."""
    long = kept.node1.lk("lcdstatus").stdout
    assert f"{IP}: id=IP-10.20.1.200 app=comm type=ip state=ISP" in long
    assert "        info=lknode01 eth1 10.20.1.200 ffffffff\n" in long and "        FAILOVER ALLOWED\n" in long
    assert kept.node1.lk("lcdstatus", "-qu", "-r", TOP).stdout == kept.node1.lk("lcdstatus", "-q").stdout
    assert kept.node2.lk("lcdstatus", "-q", "-d", "lknode01").stdout == kept.node1.lk("lcdstatus", "-q").stdout
    fields = kept.node1.lk("ins_list", "-t", IP).stdout.rstrip("\n").split("\x01")
    assert fields == ["lknode01", "comm", "ip", IP, "IP-10.20.1.200", "lknode01 eth1 10.20.1.200 ffffffff", "ISP"]
    assert kept.node1.lk("ins_list", "-f|", "-t", IP).stdout.count("|") == 6
    assert kept.node1.lk("ins_list", "-t", "nothing").returncode == 7
    assert kept.node1.lk("eqv_list", "-f:", "-t", IP).stdout.split(":")[2:4] == ["lknode02", IP]
    assert kept.node1.lk("dep_list", "-f:", "-p", "pgsql-5432").stdout.split() == [f"pgsql-5432:{c}" for c in (IP, LBHC, DISK)]
    assert kept.node1.lk("lcduname").stdout == "lknode01\n"


def test_stopped_it_says_the_one_line(cluster):
    """LKL-10; the exit code is a switch (section 9)."""
    assert cluster.node1.lk("lcdstatus", "-q").stdout == "LifeKeeper does not appear to be running.\n"
    cluster.node1.configure(unknowns={"lcdstatus_stopped_exit": 0})
    assert cluster.node1.lk("lcdstatus", "-q").returncode == 0


def test_empty_it_prints_the_header_only(cluster):
    """LKL-10: no resources and no paths."""
    cluster.node1.configure(resources=[], comm_paths=[])
    cluster.node1.lk("lkstart", "-w", "10")
    assert cluster.node1.lk("lcdstatus", "-q").stdout.split() == ["LOCAL", "TAG", "ID", "STATE", "PRIO", "PRIMARY"]


# moving


def test_switchover_and_failback(kept):
    """LKL-29: removed on the other node first, then restored here, children before parents."""
    assert kept.node2.lk("perform_action", "-t", TOP, "-a", "restore").returncode == 0
    assert kept.node2.all("ISP") and kept.node1.all("OSU")
    assert kept.node2.has_vip() and not kept.node1.has_vip()
    assert kept.disk.holder == "lknode02" and "/run/shared-disk" not in kept.node1.run("cat", "/proc/mounts").stdout
    assert not kept.node1.service_pid("pgsql-5432") and kept.node2.service_pid("pgsql-5432")
    away = [e["at_us"] for e in kept.node1.journal() if e["kind"] == "state" and e["to"] == "OSU" and e["from"] == "ISP"]
    up = {e["tag"]: e["at_us"] for e in kept.node2.journal() if e["kind"] == "state" and e["to"] == "ISP"}
    assert max(away) < min(up.values()) and max(up[IP], up[LBHC], up[DISK]) < up["pgsql-5432"] < up[TOP]
    assert kept.node1.lk("perform_action", "-t", "listener-1521", "-a", "restore").returncode == 0
    assert kept.node1.all("ISP") and kept.node2.all("OSU")


def test_remove_starts_nothing_elsewhere_and_takes_what_is_above(whole):
    """LKL-28, LKL-30: -s limits to the tag, without it everything above goes too; nothing below does."""
    assert whole.node1.lk("perform_action", "-s", "-t", IP, "-a", "remove").returncode == 0
    assert [tag for tag, state in whole.node1.states().items() if state == "OSU"] == [IP] and not whole.node1.has_vip()
    assert whole.node1.lk("perform_action", "-s", "-t", IP, "-a", "restore").returncode == 0
    assert whole.node1.all("ISP") and whole.node1.has_vip()
    assert whole.node1.lk("perform_action", "-t", "pgsql-5432", "-a", "remove").returncode == 0
    assert [tag for tag, state in whole.node1.states().items() if state == "OSU"] == [TOP, "pgsql-5432"]
    assert whole.node2.all("OSU")


def test_one_action_at_a_time(whole):
    """LKL-23: the lock flag is there while an action runs, and another one waits its turn or says why it cannot."""
    whole.node1.configure(timers={"action_wait_s": 0.1})
    slow = structure(whole.node1, whole)["resources"]
    slow[1]["parameters"]["restore"] = ["sh", "-c", "touch /run/slow; sleep 0.7; sleep 3600 & echo $! > /run/listener-1521.pid"]
    whole.node1.lk("lkstop")
    whole.node1.configure(resources=slow, timers={"action_wait_s": 0.1})
    whole.node1.starts()
    eventually(lambda: whole.node1.lk("flg_list").stdout, lambda seen: "!action!" in seen, "the lock flag")
    refused = whole.node1.lk("perform_action", "-t", TOP, "-a", "remove")
    assert refused.returncode == 1 and "was not begun" in refused.stderr
    comes_to(whole.node1, "ISP")
    assert "!action!" not in whole.node1.lk("flg_list").stdout


# detection and recovery


def test_a_killed_service_is_recovered_locally(kept):
    """LKL-41, LKL-42: the first step of the chain, and nothing else moves."""
    before, vip_holder = kept.node1.service_pid("http-80"), kept.disk.holder
    kept.node1.run("kill", "-9", before)
    eventually(lambda: kept.node1.service_pid("http-80"), lambda pid: pid not in ("", before), "a new process")
    eventually(lambda: kinds_of(kept.node1), lambda seen: "recovered" in seen, "the recovery's journal line")
    assert kept.node1.all("ISP") and kept.node2.all("OSU") and kept.disk.holder == vip_holder


def test_failed_local_recovery_fails_over(whole):
    """LKL-42: removed here from the top down, restored on the standby; the failed one stays OSF until a remove or restore."""
    whole.node1.run("touch", "/run/pgsql-5432.broken")
    whole.node1.run("kill", "-9", whole.node1.service_pid("pgsql-5432"))
    comes_to(whole.node2, "ISP")
    states = whole.node1.states()
    assert states.pop("pgsql-5432") == "OSF" and set(states.values()) == {"OSU"}
    assert whole.node1.lk("perform_action", "-t", "pgsql-5432", "-a", "remove").returncode == 0
    assert whole.node1.all("OSU")


def test_a_remove_that_fails_halts_the_node_and_the_standby_takes_over(whole):
    """LKL-43."""
    whole.node1.run("touch", "/run/http-80.stuck", "/run/http-80.broken")
    whole.node1.run("kill", "-9", whole.node1.service_pid("http-80"))
    comes_to(whole.node2, "ISP")
    assert (whole.node1.base / "halted").exists()
    assert any(m[5] == "EMERG" and m[10].endswith("SYSTEM HALTED") for line in whole.node1.log().splitlines() if (m := LOG.match(line)))


def test_a_quick_check_out_of_time_is_no_failure(whole):
    """LKL-44: logged as NOTIFY, tried again."""
    whole.node1.run("touch", "/run/http-80.slow")
    eventually(whole.node1.log, lambda seen: ":990201:" in seen, "the NOTIFY line")
    assert whole.node1.all("ISP") and "check-failed" not in kinds_of(whole.node1)


def test_isu_is_in_service_and_not_monitored(whole):
    """LKL-15, LKL-25: ins_setstate edits the database only; the switch `isu` says that nothing is checked then."""
    assert whole.node1.lk("ins_setstate", "-t", "http-80", "-S", "ISU").returncode == 0
    pid = whole.node1.service_pid("http-80")
    whole.node1.run("kill", "-9", pid)
    whole.node1.run("kill", "-9", whole.node1.service_pid("listener-1521"))
    eventually(lambda: kinds_of(whole.node1), lambda seen: "recovered" in seen, "a later check of another resource")
    assert whole.node1.states()["http-80"] == "ISU" and whole.node1.service_pid("http-80") == pid
    assert whole.node1.lk("ins_setstate", "-t", "http-80", "-S", "OSF").returncode == 5


def test_fault_of_the_ip_resource_is_recovered(kept):
    """LKL-41 on a real address."""
    kept.node1.run("ip", "addr", "del", "10.20.1.200/32", "dev", "eth1")
    eventually(kept.node1.has_vip, bool, "the address is back")
    assert kept.node2.all("OSU")


# load balancer health check


def test_lbhc_without_a_prober_goes_osf_and_abandons_the_start(cluster):
    """LKL-31, LKL-56, LKL-57, TRP-04."""
    cluster.node1.starts()
    eventually(cluster.node1.stored, lambda seen: seen.get(LBHC) == "OSF", "lbhc OSF")
    assert cluster.node1.states()["listener-1521"] == "OSU"
    failed = cluster.node1.lk("perform_action", "-t", TOP, "-a", "restore")
    assert failed.returncode == 1 and "HC_TIMEOUT" in failed.stderr
    cluster.probe("lknode01")
    assert cluster.node1.lk("perform_action", "-t", TOP, "-a", "restore").returncode == 0


def test_blocked_probes_fail_over_although_the_application_is_fine(whole):
    """LKL-58, LKL-59: the flag, then the failover; probes at the other node only."""
    whole.probe("lknode02")
    comes_to(whole.node2, "ISP")
    assert f"flag {LBHC}-hc-ng is set" in whole.node1.log()
    assert whole.node1.lk("flg_test", "-f", f"{LBHC}-hc-ng").returncode == 7


def test_the_flag_goes_at_the_next_probe(whole):
    """LKL-59, with a check interval that is too long to act on the flag."""
    whole.node1.lk("lkstop")
    whole.tunables(**{**FAST, "LKCHECKINTERVAL": 600, "HC_TIMEOUT": 0.3})
    whole.node1.starts()
    comes_to(whole.node1, "ISP")
    whole.probe()
    eventually(lambda: whole.node1.lk("flg_test", "-f", f"{LBHC}-hc-ng").returncode, lambda code: code == 0, "the flag")
    whole.probe("lknode01")
    eventually(lambda: whole.node1.lk("flg_test", "-f", f"{LBHC}-hc-ng").returncode, lambda code: code == 7, "the flag is gone")


def test_a_killed_responder_fails_over_without_local_recovery(whole):
    """DES-06, LKL-58."""
    whole.node1.run("sh", "-c", f"kill -9 $(cut -d' ' -f1 /run/lifekeeper-standin/lbhcd-{LBHC}.pid)")
    comes_to(whole.node2, "ISP")
    assert whole.node1.states()[LBHC] == "OSF" and "recovered" not in kinds_of(whole.node1)


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


def test_after_both_crashed_the_former_standby_starts_nothing(whole):
    """LKL-50: the former active node does, when it arrives."""
    whole.node2.crash()
    whole.node1.crash()
    whole.boot(whole.node2)
    whole.node2.starts()
    eventually(lambda: kinds_of(whole.node2)[-3:], lambda seen: "started" in seen, "the start's end")
    assert whole.node2.all("OSU")
    whole.boot(whole.node1)
    whole.node1.starts()
    comes_to(whole.node1, "ISP")
    assert whole.node2.all("OSU")


def test_one_dead_path_is_no_failover_and_heals_quickly(kept):
    """LKL-08, LKL-36, LKL-37: commands for the peer go over the path that is left."""
    kept.cut(kept.node1, 0)
    eventually(kept.node2.journalled_paths, lambda seen: seen == ["DEAD", "ALIVE"], "path 1 DEAD")
    assert kept.node1.all("ISP") and kept.node2.all("OSU")
    assert kept.node2.lk("flg_list", "-d", "lknode01").returncode == 0
    kept.mend(kept.node1, 0)
    eventually(kept.node2.journalled_paths, lambda seen: seen == ["ALIVE", "ALIVE"], "path 1 ALIVE")


def test_all_paths_dead_with_a_shared_disk_fences_the_old_node(whole):
    """LKL-40: the standby takes the reservation, the node that lost it goes down."""
    whole.cut(whole.node1, 0, 1)
    comes_to(whole.node2, "ISP")
    eventually((whole.node1.base / "halted").exists, bool, "the fenced node halts")
    assert whole.disk.holder == "lknode02" and ":EMERG:" not in whole.node2.log()


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


# commands and files


def test_flags_and_exit_codes(whole):
    """LKL-22, LKL-24; flg_test's code for an absent flag is a switch (section 9)."""
    node = whole.node1
    codes = [node.lk(c, "-f", "mine").returncode for c in ("flg_test", "flg_create", "flg_create", "flg_test", "flg_remove", "flg_remove")]
    assert codes == [7, 0, 4, 0, 0, 7]
    assert node.lk("flg_create", "-d", "lknode02", "-f", "there").returncode == 0
    assert whole.node2.lk("flg_list").stdout == "there\n"
    whole.node2.crash()
    eventually(node.journalled_paths, lambda seen: seen == ["DEAD", "DEAD"], "silence")
    lost = node.lk("flg_create", "-d", "lknode02", "-f", "more")
    assert lost.returncode == 9 and "no contact" in lost.stderr


def test_an_action_that_is_not_modelled_fails_loudly(kept):
    """Section 10: a line on stderr that names the stand-in."""
    done = kept.node1.lk("perform_action", "-t", TOP, "-a", "deepcheck")
    assert done.returncode == 5 and "stand-in" in done.stderr


def test_it_says_what_it_is(kept):
    """Section 10: --version and the first line of the log; LKL-62: form of every line, codes of our own range."""
    assert "not LifeKeeper, not by its vendor" in kept.node1.lk("lcdstatus", "--version").stdout
    lines = kept.node1.log().splitlines()
    assert "not LifeKeeper, not by its vendor" in lines[0]
    assert any("sped up" in line for line in lines[:4]) and any("HC_TIMEOUT=0.6" in line for line in lines[:4])
    matched = [LOG.match(line) for line in lines]
    assert all(matched) and all(990001 <= int(m[9]) <= 990999 and len(m[9]) == 6 for m in matched if m)


def test_starting_twice_starts_one(kept):
    again = kept.node1.lk("lkstart")
    assert again.returncode == 0 and "already running" in again.stdout
