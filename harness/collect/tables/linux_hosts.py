"""What is gathered from Linux hosts."""

from __future__ import annotations

from harness.collect.collectors import KB, NEIGHBOUR_SYSCTLS, NIC_SYSCTLS, SYSCTLS, Collector, CollectorTable
from harness.hosts.root_rights import ROOT, read_by_root

AS_ROOT = f"{ROOT} "


def _each(*commands: str) -> str:
    """Several commands, each under its own heading; one that is not installed says so and the rest goes on."""
    return "; ".join(f'echo "# {c.removeprefix(AS_ROOT)}"; {c} 2>&1' for c in commands)


# By one process: a host has some sixty of them. Not by the shell, of which many a one reads no more than the first byte there.
_SYSCTL_LINE = (
    f"cd /proc/sys && grep -Hs '' {' '.join(n.replace('.', '/') for n in SYSCTLS)}"
    + "".join(f" net/ipv4/conf/*/{n}" for n in NIC_SYSCTLS)
    + "".join(f" net/ipv4/neigh/*/{n}" for n in NEIGHBOUR_SYSCTLS)
    + " | sed 's/:/ = /'"
)
_PACKAGES = (
    "steeleye|lifekeeper|sios|pacemaker|corosync|resource-agents|fence-agents|pcs|crmsh|postgres|oracle|openssh|nftables|iptables|iproute"
)
_JOURNAL = "journalctl --no-pager -q -o short-iso --since {begin} --until {end} -n 4000"
_LK, _PCMK = ("lifekeeper",), ("pacemaker",)


class Linux(CollectorTable):
    """What is asked of a Linux host."""

    rows = (
        Collector(
            "os", "Kernel, operating system, uptime", _each("uname -a", "cat /etc/os-release", "uptime", "date --iso-8601=seconds", "id")
        ),
        Collector("addresses", "Links and addresses", _each("ip -s -d link", "ip addr")),
        Collector("routes", "Routes, rules, neighbours", _each("ip rule", "ip route show table all", "ip -6 route", "ip neigh")),
        Collector("listeners", "Who listens", _each(f"{ROOT} ss -Hltnp", f"{ROOT} ss -Hlunp")),
        Collector("sockets", "Connections", _each("ss -s", "ss -Htanoi", "nstat -azs"), most=512 * KB),
        Collector("sysctls", "Kernel settings that matter", _SYSCTL_LINE, most=64 * KB),
        Collector(
            "firewall",
            "Firewall",
            _each(f"{ROOT} nft list ruleset", f"{ROOT} iptables-save", "firewall-cmd --list-all-zones", "ufw status verbose"),
        ),
        Collector("clock", "Clock and its source", _each("date +%s.%N", "timedatectl", "chronyc -n tracking", "ntpq -pn")),
        Collector(
            "load", "Load, memory, disks", _each("cat /proc/loadavg", "free -m", "df -hT", "cat /proc/pressure/cpu /proc/pressure/io")
        ),
        Collector("processes", "Processes, by name only", "ps -eo pid,ppid,user,stat,lstart,rss,comm"),
        Collector(
            "packages",
            "Versions of what is installed",
            "{ rpm -qa 2>/dev/null; dpkg-query -W 2>/dev/null; } | grep -Ei '" + _PACKAGES + "' | sort",
        ),
        Collector("kernel-log", "The kernel's log", "{ journalctl -k --no-pager -q -n 1000 || dmesg; } 2>&1 | tail -n 1000", newest=True),
        Collector("system-log", "The system's log in the time window", _JOURNAL + " 2>&1", most=1024 * KB, seconds=20.0, newest=True),
        Collector(
            "lifekeeper-status",
            "LifeKeeper's tables",
            _each(AS_ROOT + "{root}/bin/lcdstatus -q", AS_ROOT + "{root}/bin/lcdstatus"),
            nodes_only=True,
            managers=_LK,
        ),
        Collector(
            "lifekeeper-settings", "LifeKeeper's settings", read_by_root("cat", "/etc/default/LifeKeeper"), nodes_only=True, managers=_LK
        ),
        Collector(
            "lifekeeper-flags",
            "LifeKeeper's flags",
            "ls -la {root}/config/flg 2>&1; " + AS_ROOT + "{root}/bin/flg_list 2>&1",
            nodes_only=True,
            managers=_LK,
        ),
        Collector(
            "pacemaker-status",
            "Pacemaker's and Corosync's state",
            _each(
                f"{ROOT} crm_mon -1rnfA",
                f"{ROOT} corosync-cfgtool -s",
                f"{ROOT} corosync-quorumtool -s",
                f"{ROOT} pcs constraint",
                "crmadmin --version",
                "corosync -v",
            ),
            nodes_only=True,
            managers=_PCMK,
        ),
        Collector(
            "pacemaker-settings",
            "Pacemaker's configuration",
            _each(f"{ROOT} cibadmin -Q", "cat /etc/corosync/corosync.conf"),
            nodes_only=True,
            managers=_PCMK,
        ),
    )
