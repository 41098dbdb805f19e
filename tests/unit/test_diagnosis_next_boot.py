"""The diagnosis of what a node's next boot brings, and how a host tells of it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from diagnosis_sample import CLUSTER, IN, both, client, evidence, faults, listening, node, only, state, with_host

from harness.collect import next_boot_script
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.diagnosis.linux_host_script_parse import host
from harness.diagnosis.rules.next_boot import boot_units

DATABASE = next(s for s in CLUSTER.services if s.kind == "postgres")
SOME = "unit cron.service\n"


def told(name: str, text: str = "", rules: str = "", **more: Any) -> HostSeen:
    """A node that told this of its next boot."""
    seen = host(name, f"@@ next boot\n{text}\n@@ rules at boot\n{rules}\n")
    return node(name, next_boot=seen.next_boot, **more)


def of_both(first: str = "", second: str = "", **more: Any) -> Evidence:
    """What the two nodes told; the first is active, and its listeners are the usual ones but PostgreSQL's."""
    here = [listening(12345, process="nc"), *(listening(s.port, process="python3") for s in CLUSTER.services if s != DATABASE)]
    here.append(listening(DATABASE.port, process="postgres", pid=7))
    one = told("lknode01", first, **{"listeners": here, **more.pop("active_node", {})})
    two = told("lknode02", second, **more.pop("standby_node", {}))
    return evidence(hosts={"lknode01": one, "lknode02": two, "lkclient": client()}, **more)


def possible(seen: Evidence) -> list[Cause]:
    return [c for c in diagnose(seen).causes if not c.is_fault]


def by_file(seen: Evidence, **manager: Any) -> Evidence:
    """With another [manager] in the cluster file."""
    return replace(seen, cluster=CLUSTER.model_copy(update={"manager": CLUSTER.manager.model_copy(update=manager)}))


def test_a_service_that_a_boot_starts_beside_the_manager() -> None:
    unit = "unit postgresql@15-main.service\n"
    cause = only(of_both(second=unit), "lknode02", "postgresql@15-main.service is enabled on lknode02", DATABASE.tag, "without `--now`")
    assert cause.certainty is Certainty.LIKELY
    only(of_both(first=unit), "lknode01", "enabled on lknode01")
    only(of_both(unit, unit), "lknode02", "enabled on lknode02 and lknode01")
    for name in ("postgresql-15.service", "postgresql.service", "rh-postgresql12-postgresql.service", "postgresql", "edb-as-15.service"):
        only(of_both(second=f"unit {name}"), "lknode02", name)
    for other in ("mariadb", "nginx", "postgresql-exporter", "postgresqlx", "pgbouncer", "lkharness", ""):
        assert faults(diagnose(of_both(second=f"unit {other}.service"))) == [], other


def test_what_may_well_start_by_itself() -> None:
    """What runs on both nodes, what is a clone's, what is another instance of the same program, what nobody was told the program of."""
    unit = "unit postgresql.service"
    theirs = [listening(5433, process="postgres")]
    assert faults(diagnose(of_both(second=unit, standby_node={"listeners": theirs}))) == []
    assert faults(diagnose(of_both(second=unit, standby_node={"listeners": None}))) == []
    assert faults(diagnose(of_both(second=unit, active_node={"units": {f"instances of {DATABASE.tag}": "clone"}}))) == []
    here = [listening(12345), *(listening(s.port, process="postgres", pid=7) for s in CLUSTER.services)]
    other = [*here, listening(5433, process="postgres", pid=9)]
    assert faults(diagnose(of_both(second=unit, active_node={"listeners": other}))) == []
    unknown = [replace(s, process=None, pid=None) for s in here]
    assert faults(diagnose(of_both(second=unit, active_node={"listeners": unknown}))) == []
    assert faults(diagnose(of_both(second=unit, moved=True))) == []
    on_both = state({DATABASE.tag: IN}, {DATABASE.tag: IN})
    assert not [c for c in faults(diagnose(of_both(second=unit, state=on_both))) if "enabled" in c.says]


def test_a_cluster_manager_that_one_node_does_not_start() -> None:
    seen = of_both(f"{SOME}unit pacemaker.service", SOME)
    cause = only(by_file(seen, kind="pacemaker", starts_at_boot=None), "lknode02", "starts at boot on lknode01 and not on lknode02")
    assert cause.certainty is Certainty.LIKELY and "systemctl enable pacemaker" in cause.do
    for says in (True, False):
        assert diagnose(by_file(seen, kind="pacemaker", starts_at_boot=says)).causes == ()
    keeper = of_both(SOME, f"{SOME}unit lifekeeper.service")
    only(by_file(keeper, starts_at_boot=None), "lknode01", "lifekeeper.service starts at boot on lknode02")
    both_have = of_both("unit pacemaker.service", "unit pacemaker.service")
    for quiet in (both_have, of_both("unit pacemaker.service", ""), of_both()):  # a node that told no link told nothing
        assert diagnose(by_file(quiet, kind="pacemaker", starts_at_boot=None)).causes == ()
    neither = by_file(of_both(SOME, SOME), kind="pacemaker", starts_at_boot=None)
    assert faults(diagnose(neither)) == [] and "on neither node" in possible(neither)[0].says
    assert diagnose(by_file(of_both(SOME, SOME), starts_at_boot=None)).causes == ()  # LifeKeeper: how else it may start is not known


def test_a_node_that_begins_as_standby_or_stays_out_after_fencing() -> None:
    line = "setting /etc/default/pacemaker PCMK_node_start_state standby"
    pacemaker = {"kind": "pacemaker", "starts_at_boot": None}
    cause = only(by_file(of_both(second=line), **pacemaker), "lknode02", "PCMK_node_start_state is standby in /etc/default/pacemaker")
    assert cause.certainty is Certainty.LIKELY
    for value in ("default", "online", ""):
        assert diagnose(by_file(of_both(second=line.replace("standby", value)), **pacemaker)).causes == ()
    assert faults(diagnose(of_both(second=line))) == []  # of LifeKeeper's node it is nobody's
    unit = "unit pacemaker.service\nunit sbd.service\n"
    clean = of_both(f"{unit}setting /etc/sysconfig/sbd SBD_STARTMODE clean", unit)
    (told_of,) = diagnose(by_file(clean, **pacemaker)).causes
    assert told_of.certainty is Certainty.POSSIBLE and "SBD_STARTMODE is clean on lknode01" in told_of.says
    assert diagnose(by_file(clean, kind="pacemaker", starts_at_boot=False)).causes == ()
    unused = of_both("unit pacemaker.service\nsetting /etc/sysconfig/sbd SBD_STARTMODE clean", unit)
    assert diagnose(by_file(unused, **pacemaker)).causes == ()


@pytest.mark.parametrize(
    "file",
    [
        "/etc/netplan/60-vip.yaml",
        "/etc/sysconfig/network-scripts/ifcfg-eth1:0",
        "/etc/NetworkManager/system-connections/Wired connection 1.nmconnection",
        "/etc/network/interfaces",
        "/etc/network/interfaces.d/vip",
        "/etc/systemd/network/10-eth1.network",
        "/etc/rc.local",
        "/var/spool/cron/crontabs/root",
    ],
)
def test_the_vip_in_a_file_of_the_hosts_own(file: str) -> None:
    cause = only(of_both(second=f"address {file}"), "lknode02", f"{file} of lknode02 gives it 10.20.1.200", "answers itself")
    assert cause.certainty is Certainty.LIKELY
    assert faults(diagnose(of_both(second=f"address {file}\noff {file}"))) == []
    for copy in (f"{file}.bak", f"{file}~", f"{file}.rpmsave", f"/srv{file}"):
        assert faults(diagnose(of_both(second=f"address {copy}"))) == [], copy


def test_what_rc_local_seems_to_start() -> None:
    text = "starts postgres /etc/rc.local\nstarts responder /etc/rc.local\nstarts nginx /etc/rc.local\nstarts postgres /etc/rc.local.old"
    seen = of_both(second=text)
    assert faults(diagnose(seen)) == []
    assert sorted(c.says.split(" at boot")[0] for c in possible(seen)) == [
        "a line of /etc/rc.local on lknode02 seems to start postgres",
        "a line of /etc/rc.local on lknode02 seems to start something at the probe's port",
    ]
    running = of_both(second=text, standby_node={"listeners": [listening(12345, process="nc"), listening(5433, process="postgres")]})
    assert not [c for c in diagnose(running).causes if "rc.local" in c.says]


def test_a_disk_that_is_gone_and_that_fstab_wants() -> None:
    line = "lacks UUID=0b5c4c1e-0000-4000-8000-000000000001 /data"
    mounts = {"/": "ext4"}
    cause = only(of_both(second=line, standby_node={"mounts": mounts}), "lknode02", "/etc/fstab of lknode02 mounts UUID=0b5c", "nofail")
    assert cause.certainty is Certainty.LIKELY
    for those in ({}, {"/": "ext4", "/data": "xfs"}):
        assert faults(diagnose(of_both(second=line, standby_node={"mounts": those}))) == []
    for words in ("lacks UUID=1", "lacks", "lacks UUID=1 data", "lacks a b c"):
        assert faults(diagnose(of_both(second=words, standby_node={"mounts": mounts}))) == []


def test_a_reboot_that_is_scheduled() -> None:
    text = "shutdown USEC 1796616000000000\nshutdown MODE reboot\n"
    for first, second, name, then in ((text, "", "lknode01", "goes down with it"), ("", text, "lknode02", "nobody can take over")):
        seen = of_both(first, second)
        (cause,) = diagnose(seen).causes
        assert (
            (cause.host, cause.certainty) == (name, Certainty.POSSIBLE) and then in cause.says and "is to reboot at 2026-12-0" in cause.says
        )
    assert diagnose(of_both(text, active_node={"clock": 1796616001.0})).causes == ()
    for broken in ("shutdown USEC 1796616000000000", text.replace("reboot", "dry-reboot"), text.replace("1796616000000000", "soon")):
        assert diagnose(of_both(broken)).causes == (), broken


RULES = """*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m multiport --dports {} -j ACCEPT
COMMIT
"""
V4, NFT = "/etc/iptables/rules.v4", "/etc/nftables.conf"


def with_rules(text: str, file: str = V4, units: str = "netfilter-persistent.service", **more: Any) -> Evidence:
    lines = "\n".join(f"unit {unit}" for unit in units.split())
    return with_host(told("lknode02", lines, f"==> {file} <==\n{text}\n", **more))


def test_saved_rules_that_stop_what_passes_now() -> None:
    ports = [12345, 7365, *(s.port for s in CLUSTER.services)]
    all_but_the_probe = RULES.format(",".join(map(str, ports[1:])))
    cause = only(with_rules(all_but_the_probe), "lknode02", f"{V4} of lknode02", "the probe from 168.63.129.16 to port 12345", "next boot")
    assert cause.certainty is Certainty.LIKELY
    assert faults(diagnose(with_rules(RULES.format(",".join(map(str, ports)))))) == []
    quiet = [
        with_rules(all_but_the_probe, units="cron.service"),
        with_rules(all_but_the_probe, units="netfilter-persistent.service nftables.service"),
        with_rules(all_but_the_probe, units="iptables.service"),
        with_rules("-A INPUT -m something --odd -j DROP\n" + all_but_the_probe.replace("INPUT DROP", "INPUT ACCEPT")),
        with_rules(RULES.format(",".join(map(str, ports))).replace("-A", "-A INPUT -p tcp -m bpf --bytecode 4 -j DROP\n-A", 1)),
        with_rules(""),
    ]
    for seen in quiet:
        assert faults(diagnose(seen)) == []
    closed = with_rules(all_but_the_probe, firewall=host("x", f"@@ firewall\n{all_but_the_probe}").firewall)
    assert not [c for c in diagnose(closed).causes if "loads at boot" in c.says]  # it does not pass now: that is another rule's


def test_saved_rules_of_nft() -> None:
    text = "flush ruleset\n\ntable inet filter {\n chain input {\n  type filter hook input priority 0; policy accept;\n"
    text += "  tcp dport 12345 drop\n }\n}\n"
    only(with_rules(text, NFT, "nftables.service"), "lknode02", NFT, "168.63.129.16")
    for more in ('include "/etc/nftables.d/*.nft"\n', "define probe = 12345\n"):
        assert faults(diagnose(with_rules(more + text, NFT, "nftables.service"))) == []


def test_ports_that_are_kept_until_the_next_boot_only() -> None:
    sysctls = {"ip_local_port_range": "10000 60999", "ip_local_reserved_ports": "12345"}

    def causes(*lines: str) -> list[str]:
        text = "\n".join(["reserved", *(f"reserved {line}" for line in lines)])
        return [c.says for c in diagnose(with_host(told("lknode01", text, sysctls=sysctls))).causes if "reserved on lknode01 now" in c.says]

    assert len(causes()) == len(causes("999")) == 1 and causes("12345") == causes("80, 12340-12350") == causes("12345,80") == []
    assert not [c for c in diagnose(both(sysctls=(sysctls, sysctls))).causes if "now" in c.says]  # where nobody looked


# How a host tells it.
FILES = {
    "/etc/systemd/system/multi-user.target.wants/nginx.service": "[Unit]",
    "/etc/systemd/system/multi-user.target.wants/postgresql.service": "[Unit]",
    "/etc/systemd/system/corosync.service.requires/sbd.service": "[Unit]",
    "/etc/systemd/system/timers.target.wants/fstrim.timer": "[Unit]",
    "/etc/postgresql/15/main/postgresql.conf": "",
    "/etc/postgresql/15/main/start.conf": "# auto\n\nauto",
    "/etc/postgresql/15/other/postgresql.conf": "",
    "/etc/postgresql/15/other/start.conf": "manual\n",
    "/etc/postgresql/14/gone/postgresql.conf": "",
    "/etc/rc3.d/S99dbora": "",
    "/etc/rc3.d/K01httpd": "",
    "/etc/fstab": "\n".join([
        "UUID=0B5C-0001 /mnt/there ext4 defaults 0 2", "UUID=gone-0 /data ext4 defaults 0 2", 'LABEL="old" /old xfs defaults',
        "UUID=gone-1 /data1 ext4 nofail", "UUID=gone-2 /data2 ext4 noauto,x", "UUID=gone-3 /data3 ext4 _netdev",
        "UUID=gone-4 none swap sw", "#UUID=gone-5 /data5 ext4 defaults", "/dev/mapper/vg-lv /data6 ext4 defaults",
        "/dev/disk/by-uuid/gone-7 /data7 ext4 defaults",
    ]),
    "/dev/disk/by-uuid/0b5c-0001": "",
    "/run/systemd/shutdown/scheduled": "USEC=1796616000000000\nWARN_WALL=1\nMODE=reboot\n",
    "/etc/default/pacemaker": '# PCMK_node_start_state=standby\nPCMK_node_start_state="standby" # S3cret\nPCMK_logpriority=S3cret\n',
    "/etc/netplan/60-vip.yaml": "network:\n ethernets:\n  eth1:\n   addresses: [10.20.2.12/24, 10.20.1.200/32]\n",
    "/etc/netplan/61-list.yaml": "    addresses:\n    - 10.20.1.200/32\n",
    "/etc/netplan/62-none.yaml": "   # addresses: [10.20.1.200/32]\n routes: [{to: 10.20.1.200/32, via: 10.20.2.1}]\n"
    "  gateway4: 10.20.1.200\n  nameservers: {addresses: [10.20.1.200]}\n  - to: 10.20.1.200/32\n"
    "  addresses: [10.20.2.12/24] # 10.20.1.200/32\n  from: 10.20.1.200/32\n  addresses: [110.20.1.200/32] # 10.20.1.200\n"
    "   address=10.20.1.2001 # 10.20.1.200\n",
    "/etc/sysconfig/network-scripts/ifcfg-eth1:0": "IPADDR=10.20.1.200\n",
    "/etc/sysconfig/network-scripts/ifcfg-eth2": 'IPADDR1="10.20.1.200"\nONBOOT="no"\n',
    "/etc/sysconfig/network-scripts/route-eth1": "10.20.1.200/32 via 10.20.2.1\nGATEWAY=10.20.1.200\n",
    "/etc/NetworkManager/system-connections/a b.nmconnection": "psk=S3cret 10.20.1.200\naddress1=10.20.1.200/32,10.20.2.1\n",
    "/etc/NetworkManager/system-connections/c": "route1=10.20.1.200/32\ndns=10.20.1.200;\n",
    "/etc/network/interfaces": " address 10.20.1.200/32\n",
    "/etc/network/interfaces.d/up": "  up ip -4 addr add 10.20.1.200/32 dev eth1\n",
    "/etc/network/interfaces.d/route": "  up ip route add 10.20.1.200/32 via 10.20.2.1\n dns-nameservers 10.20.1.200\n",
    "/etc/rc.local": '#!/bin/sh\nsu postgres -c "pg_ctl start"\nip addr add 10.20.1.200/32 dev eth1\nPGPASSWORD=S3cret psql\n'
    "nc -lk 12345 &\n",
    "/etc/cron.d/x": "@reboot root /usr/sbin/nginx\n5 4 * * * root systemctl restart mysql # 10.20.1.200\n",
    "/var/spool/cron/root": "@reboot lsnrctl start\n# @reboot httpd -k start\n@reboot pg_ctl stop\n",
}  # fmt: skip


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_how_a_host_tells_of_it(tmp_path: Path, shell: str) -> None:
    for name, text in FILES.items():
        file = tmp_path / name[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("/dev/disk", f"{tmp_path}/dev/disk"))
    (tmp_path / "etc/rc.local").chmod(0o755)
    (tmp_path / "etc/systemd/system/masked.service").symlink_to("/dev/null")
    (tmp_path / "etc/systemd/system/multi-user.target.wants/masked.service").write_text("[Unit]")
    for program in ("usr/lib/postgresql/15/bin/postgres", "usr/share/postgresql-common/x"):
        (tmp_path / program).parent.mkdir(parents=True)
        (tmp_path / program).write_text("")
        (tmp_path / program).chmod(0o755)
    text = next_boot_script.look("10.20.1.200", 12345, of_pacemaker=True)
    for folder in ("/etc/", "/dev/disk", "/run/systemd", "/usr/lib/", "/usr/share/", "/var/spool"):
        text = text.replace(folder, f"{tmp_path}{folder}")
    escaped = str(tmp_path).replace("/", r"\/")
    text = text.replace(r"^\/etc\/(rc", rf"^{escaped}\/etc\/(rc").replace(r"|^\/var\/", rf"|^{escaped}\/var\/")
    done = subprocess.run([shell, "-c", f"LKHARNESS_ROOT=\n{text}"], capture_output=True, text=True, timeout=60, check=True)
    printed = done.stdout.replace(str(tmp_path), "")
    assert "S3cret" not in printed and done.stderr == "", printed + done.stderr
    seen = host("it", f"@@ next boot\n{printed}").next_boot
    assert seen.units == {"nginx.service", "postgresql@15-main.service", "sbd.service", "dbora"}
    assert seen.lacking == (("UUID=gone-0", "/data"), ("/dev/mapper/vg-lv", "/data6"), ("/dev/disk/by-uuid/gone-7", "/data7"))
    assert seen.shutdown == (1796616000.0, "reboot")
    assert seen.settings == (("/etc/default/pacemaker", "PCMK_node_start_state", "standby"),)
    assert set(seen.addresses) == {
        "/etc/netplan/60-vip.yaml", "/etc/netplan/61-list.yaml", "/etc/sysconfig/network-scripts/ifcfg-eth1:0", "/etc/network/interfaces",
        "/etc/NetworkManager/system-connections/a b.nmconnection", "/etc/network/interfaces.d/up", "/etc/rc.local",
    }  # fmt: skip
    assert set(seen.starts) == {
        ("postgres", "/etc/rc.local"), ("responder", "/etc/rc.local"), ("nginx", "/etc/cron.d/x"), ("tnslsnr", "/var/spool/cron/root"),
    }  # fmt: skip


def test_saved_rules_are_asked_for_only_where_they_are_loaded_alone(tmp_path: Path) -> None:
    rules = tmp_path / "rules.v4"
    rules.write_text("# a comment\n*filter\n:INPUT DROP [0:0]\nCOMMIT\n@@ listening\n")
    text = next_boot_script.saved_firewall().replace("/etc/iptables/rules.v4", str(rules))
    for enabled, told_of in (("netfilter-persistent", True), ("cron", False), ("", False), ("ufw.service  netfilter-persistent", False),
                             ("firewalld.service  netfilter-persistent", False)):  # fmt: skip
        line = f'LKHARNESS_ROOT=; enabled=" {enabled}.service "\n{text.replace("/etc/ufw/ufw.conf", str(tmp_path / "none"))}'
        out = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=False).stdout
        assert ("INPUT DROP" in out) is told_of and "comment" not in out and "@@" not in out, (enabled, out)
    (tmp_path / "ufw.conf").write_text("ENABLED=no\n")
    line = f'LKHARNESS_ROOT=; enabled=" ufw.service  iptables.service "\n{text.replace("/etc/ufw/ufw.conf", str(tmp_path / "ufw.conf"))}'
    assert "INPUT" in subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=False).stdout


def test_no_words_of_a_host_make_it_fail() -> None:
    for text in ("unit\naddress\nstarts\nlacks\nshutdown\nsetting\nreserved", "shutdown USEC\nshutdown MODE", "\x00 \x01", "unit " * 9):
        assert json.dumps([c.as_data() for c in diagnose(of_both(text, text)).causes]) == "[]"


@pytest.mark.parametrize(
    ("mode", "line", "starts"), [(0o755, "nc -lk 12345", True), (0o755, "nc -lk 123", False), (0o644, "nc -lk 12345", False)]
)
def test_rc_local_counts_only_where_it_is_run(tmp_path: Path, mode: int, line: str, starts: bool) -> None:
    file = tmp_path / "rc.local"
    file.write_text(f"{line}\nIPADDR=10.20.1.200\n")
    file.chmod(mode)
    text = next_boot_script.look("10.20.1.200", 12345, of_pacemaker=False).replace("/etc/rc.local", str(file))
    escaped = str(file).replace("/", r"\/")
    done = subprocess.run(
        ["sh", "-c", f"LKHARNESS_ROOT=\n{text.replace(chr(92) + '/etc' + chr(92) + '/(rc', escaped + '|(rc')}"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert (f"starts responder {file}" in done.stdout) is starts and f"address {file}" not in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("target", "times"),
    [("rescue.target", 1), ("emergency.target", 1), ("multi-user.target", 0), ("graphical.target", 0), ("", 0)],
)
def test_a_target_in_which_nothing_starts(target: str, times: int) -> None:
    causes = faults(diagnose(with_host(told("lknode02", f"{SOME}target {target}\n"))))
    assert [c.says[:42] for c in causes] == ["the default target of lknode02 is " + target[:8]] * times


def test_the_script_tells_the_target(tmp_path: Path) -> None:
    link = tmp_path / "default.target"
    line = next_boot_script._TARGET.replace("/etc/systemd/system/default.target", str(link))

    def said() -> str:
        return subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout

    assert said() == ""
    link.symlink_to("/usr/lib/systemd/system/rescue.target")
    assert told("lknode02", said()).next_boot.target == "rescue.target"


UPDATES = "updates APT::Periodic::Unattended-Upgrade 1\nupdates Unattended-Upgrade::Automatic-Reboot {}\n"
AT = "updates Unattended-Upgrade::Automatic-Reboot-Time {}\n"


@pytest.mark.parametrize(
    ("first", "second", "certainty"),
    [
        (UPDATES.format("true") + AT.format("02:00"), UPDATES.format("true") + AT.format("02:00"), Certainty.LIKELY),
        (UPDATES.format("true") + AT.format("02:00"), UPDATES.format("true") + AT.format("04:00"), Certainty.POSSIBLE),
        (UPDATES.format("true"), UPDATES.format("true"), Certainty.POSSIBLE),  # at some minute of an hour
        ("", UPDATES.format("true") + AT.format("02:00"), Certainty.POSSIBLE),
        (UPDATES.format("false"), UPDATES.format("false"), None),
        (UPDATES.format("true").replace(" 1\n", " 0\n"), "", None),
        (UPDATES.format("true") + "updates Unattended-Upgrade::Automatic-Reboot false\n", "", None),  # the last one counts
    ],
)
def test_updates_that_reboot_by_themselves(first: str, second: str, certainty: Certainty | None) -> None:
    causes = [c for c in diagnose(of_both(first, second)).causes if "automatic updates reboot" in c.says]
    assert [c.certainty for c in causes] == ([] if certainty is None else [certainty])
    assert all(("at the same time" in c.says) is (certainty is Certainty.LIKELY) for c in causes)


def test_the_script_tells_of_updates(tmp_path: Path) -> None:
    line = next_boot_script._UPDATES.replace("/etc/apt/apt.conf.d", str(tmp_path))
    (tmp_path / "20auto").write_text('APT::Periodic::Unattended-Upgrade "1";\n// Unattended-Upgrade::Automatic-Reboot "true";\n')
    (tmp_path / "52mine").write_text('  Unattended-Upgrade::Automatic-Reboot "true";\nUnattended-Upgrade::Automatic-Reboot-Time "02:00";\n')
    said = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout
    assert told("lknode02", said).next_boot.updates == {
        "APT::Periodic::Unattended-Upgrade": "1",
        "Unattended-Upgrade::Automatic-Reboot": "true",
        "Unattended-Upgrade::Automatic-Reboot-Time": "02:00",
    }


def test_the_script_tells_of_kernel_names_in_fstab(tmp_path: Path) -> None:
    fstab, there = tmp_path / "fstab", tmp_path / "sda1"
    there.touch()
    lines = [
        "/dev/sdz1 /data ext4 defaults 0 2",
        "/dev/mapper/vg-lv /lv xfs defaults",
        "/dev/vg0/data /vg ext4",
        "/dev/sdy1 /n ext4 nofail 0 0",
    ]
    lines += [
        f"{there} /here ext4 defaults 0 0",
        "/dev/sdx1 none swap sw 0 0",
        "tmpfs /dev/shm tmpfs defaults",
        "/dev/sd$(id) /bad ext4 defaults",
    ]
    fstab.write_text("\n".join(lines))
    script = next_boot_script._MOUNTS.replace("/etc/fstab", str(fstab))

    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True).stdout
    assert told("lknode02", said).next_boot.lacking == (("/dev/sdz1", "/data"), ("/dev/mapper/vg-lv", "/lv"), ("/dev/vg0/data", "/vg"))


def test_data_on_azures_temporary_disk(tmp_path: Path) -> None:
    (tmp_path / "mnt").mkdir()
    line = next_boot_script._TEMPORARY.replace("/mnt", f"{tmp_path}/mnt")

    def said() -> str:
        return subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout.replace(str(tmp_path), "")

    assert said() == ""
    (tmp_path / "mnt/DATALOSS_WARNING_README.txt").write_text("")
    boot = told("lknode01", said()).next_boot
    assert boot.temporary == ("/mnt",)
    web = next(s for s in CLUSTER.services if s.kind == "http")
    at_work = [listening(12345), *(listening(s.port, pid=s.port) for s in CLUSTER.services)]
    for folder, times in (("/mnt/www", 1), ("/mnt", 1), ("/mnt2/www", 0), ("/", 0)):
        causes = faults(diagnose(with_host(node("lknode01", listeners=at_work, next_boot=boot, folders={web.port: folder}))))
        assert [c.says[:35] for c in causes] == [f"web (port 80) works in {folder} of lknode01"[:35]] * times


@pytest.mark.parametrize(
    "unit", ["oracledb_exporter", "oracle-rdbms-server-12cR1-preinstall-firstboot", "oracle-xe-21c", "dbora", "oracledb_ORCL-19c"]
)
def test_what_is_called_like_the_database_and_starts_none(unit: str) -> None:
    (units,) = [units for program, _, units in boot_units.UNITS if program.fullmatch("tnslsnr")]
    assert bool(units.fullmatch(unit)) is not ("exporter" in unit or "preinstall" in unit)
