# ruff: noqa: F811 (a fixture is imported and then named as an argument)
"""The LifeKeeper stand-in, two real nodes in namespaces: every test names the facts that it rests on."""

from __future__ import annotations

import re

import pytest

from tests.lab.lifekeeper_cluster import COMM, DISK, FAST, IP, LBHC, ROW, SERVICES, TOP, eventually, structure
from tests.lab.lifekeeper_fixtures import cluster, comes_to, kept, kinds_of, needs_namespaces, whole  # noqa: F401

pytestmark = needs_namespaces
LOG = re.compile(
    r"^(\w{3} +\d+ [\d:]+) (\S+) (\S+?)\[(\d+)\]: (EMERG|FATAL|ERROR|WARN|NOTIFY|INFO|DEBUG):([^:]*):([^:]*):([^:]*):(\d+):(.*)$"
)


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
    slow[1]["parameters"]["restore"] = [
        "sh",
        "-c",
        "n=0; until [ -e /run/go ] || [ $n = 400 ]; do sleep 0.05; n=$((n+1)); done; sleep 3600 & echo $! > /run/listener-1521.pid",
    ]
    whole.node1.lk("lkstop")
    whole.node1.configure(resources=slow, timers={"action_wait_s": 0.1})
    whole.node1.starts()
    eventually(lambda: whole.node1.lk("flg_list").stdout, lambda seen: "!action!" in seen, "the lock flag")
    refused = whole.node1.lk("perform_action", "-t", TOP, "-a", "remove")
    assert refused.returncode == 1 and "was not begun" in refused.stderr
    whole.node1.run("touch", "/run/go")
    comes_to(whole.node1, "ISP")
    eventually(lambda: whole.node1.lk("flg_list").stdout, lambda seen: "!action!" not in seen, "the lock flag being gone")


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
    whole.node1.run("touch", "/run/listener-1521.slow")  # its checks last two rounds each, and are logged
    eventually(lambda: whole.node1.log().count(":990201:"), lambda seen: seen >= 2, "several rounds of checks")
    assert whole.node1.states()["http-80"] == "ISU" and whole.node2.all("OSU") and whole.node1.service_pid("http-80") == pid
    assert whole.node1.lk("ins_setstate", "-t", "http-80", "-S", "OSF").returncode == 5


def test_fault_of_the_ip_resource_is_recovered(kept):
    """LKL-41 on a real address."""
    kept.node1.run("ip", "addr", "del", "10.20.1.200/32", "dev", "eth1")
    eventually(kept.node1.has_vip, bool, "the address is back")
    assert kept.node2.all("OSU")


# load balancer health check


def test_lbhc_without_a_prober_goes_osf_and_abandons_the_start(cluster):
    """LKL-31, LKL-56, LKL-57, TRP-04."""
    cluster.tunables(**{**FAST, "HC_TIMEOUT": 0.4})
    cluster.node1.starts()
    eventually(cluster.node1.stored, lambda seen: seen.get(LBHC) == "OSF", "lbhc OSF")
    assert cluster.node1.states()["listener-1521"] == "OSU"
    failed = cluster.node1.lk("perform_action", "-t", TOP, "-a", "restore")
    assert failed.returncode == 1 and "HC_TIMEOUT" in failed.stderr
    cluster.tunables(**FAST)
    cluster.probe("lknode01")
    assert cluster.node1.lk("perform_action", "-t", TOP, "-a", "restore").returncode == 0


def test_blocked_probes_fail_over_although_the_application_is_fine(cluster):
    """LKL-58, LKL-59: the flag, then the failover; probes at the other node only."""
    cluster.tunables(**{**FAST, "HC_TIMEOUT": 0.8})
    cluster.whole()
    cluster.probe("lknode02")
    comes_to(cluster.node2, "ISP")
    assert f"flag {LBHC}-hc-ng is set" in cluster.node1.log()
    assert cluster.node1.lk("flg_test", "-f", f"{LBHC}-hc-ng").returncode == 7


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


@pytest.mark.fact("DES-06")
def test_a_killed_responder_fails_over_without_local_recovery(whole):
    """DES-06, LKL-58."""
    whole.node1.run("sh", "-c", f"kill -9 $(cut -d' ' -f1 /run/lifekeeper-standin/lbhcd-{LBHC}.pid)")
    comes_to(whole.node2, "ISP")
    assert whole.node1.states()[LBHC] == "OSF" and "recovered" not in kinds_of(whole.node1)


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
    assert any("sped up" in line for line in lines[:4]) and any("HC_TIMEOUT=3" in line for line in lines[:4])
    matched = [LOG.match(line) for line in lines]
    assert all(matched) and all(990001 <= int(m[9]) <= 990999 and len(m[9]) == 6 for m in matched if m)


def test_starting_twice_starts_one(kept):
    again = kept.node1.lk("lkstart")
    assert again.returncode == 0 and "already running" in again.stdout
