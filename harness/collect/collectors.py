"""What is gathered from a host: a table of names, lines of its shell, and limits. Adding a row is all it takes to gather more.

No row asks for processes' arguments or environments: that is where secrets live, and nothing there explains a network.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import UTC, datetime

from harness.config.cluster_config import Cluster, Machine

KB = 1024
LINUX, WINDOWS = "linux", "windows"
EXITED = "# exited "  # and the code, as the last line of what a line printed that failed
PATHS = 'PATH="$PATH:/usr/sbin:/sbin"; '  # an ordinary user's PATH often lacks them

# Kernel settings that decide what becomes of the VIP's and the probe's packets, and how soon a dead peer is noticed; NIC_SYSCTLS of every
# NIC. What the diagnosis reads of a live host are those of net.ipv4.
SYSCTLS = (
    "net.ipv4.ip_forward",
    "net.ipv4.ip_nonlocal_bind",
    "net.ipv4.tcp_timestamps",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_retries2",
    "net.ipv4.tcp_syn_retries",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_mtu_probing",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.core.somaxconn",
)
NIC_SYSCTLS = ("rp_filter", "arp_ignore", "arp_announce", "arp_filter", "accept_local", "route_localnet", "src_valid_mark", "forwarding")


@dataclass(frozen=True)
class Collector:
    """One question to a host. `line` may hold {root}, {begin}, {end} (local times of the host) and {port}, filled in by `line_for`.

    `seconds` and `most` (bytes) are its limits; `nodes_only` leaves the client out, `managers` names the kinds it is for (none: all).
    `newest`: the end is kept, not the beginning, when it is too long.
    """

    name: str
    title: str
    line: str
    platform: str = LINUX
    seconds: float = 10.0
    most: int = 256 * KB
    nodes_only: bool = False
    managers: tuple[str, ...] = ()
    newest: bool = False


def _each(*commands: str) -> str:
    """Several commands, each under its own heading; one that is not installed says so and the rest goes on."""
    return "; ".join(f'echo "# {c}"; {c} 2>&1' for c in commands)


_SYSCTL_LINE = (
    f"cd /proc/sys && for f in {' '.join(n.replace('.', '/') for n in SYSCTLS)}"
    + "".join(f" net/ipv4/conf/*/{n}" for n in NIC_SYSCTLS)
    + '; do [ -r "$f" ] && echo "$f = $(cat "$f")"; done'
)
_PACKAGES = (
    "steeleye|lifekeeper|sios|pacemaker|corosync|resource-agents|fence-agents|pcs|crmsh|postgres|oracle|openssh|nftables|iptables|iproute"
)
_JOURNAL = "journalctl --no-pager -q -o short-iso --since {begin} --until {end} -n 4000"
_LK, _PCMK = ("lifekeeper",), ("pacemaker",)

TABLE: tuple[Collector, ...] = (
    Collector(
        "os", "Kernel, operating system, uptime", _each("uname -a", "cat /etc/os-release", "uptime", "date --iso-8601=seconds", "id")
    ),
    Collector("addresses", "Links and addresses", _each("ip -s -d link", "ip addr")),
    Collector("routes", "Routes, rules, neighbours", _each("ip rule", "ip route show table all", "ip -6 route", "ip neigh")),
    Collector("listeners", "Who listens", _each("ss -Hltnp", "ss -Hlunp")),
    Collector("sockets", "Connections", _each("ss -s", "ss -Htanoi", "nstat -az"), most=512 * KB),
    Collector("sysctls", "Kernel settings that matter", _SYSCTL_LINE, most=64 * KB),
    Collector("firewall", "Firewall", _each("nft list ruleset", "iptables-save", "firewall-cmd --list-all-zones", "ufw status verbose")),
    Collector("clock", "Clock and its source", _each("date +%s.%N", "timedatectl", "chronyc -n tracking", "ntpq -pn")),
    Collector("load", "Load, memory, disks", _each("cat /proc/loadavg", "free -m", "df -hT", "cat /proc/pressure/cpu /proc/pressure/io")),
    Collector("processes", "Processes, by name only", "ps -eo pid,ppid,user,stat,lstart,rss,comm"),
    Collector(
        "packages",
        "Versions of what is installed",
        "{ rpm -qa 2>/dev/null; dpkg-query -W 2>/dev/null; } | grep -Ei '" + _PACKAGES + "' | sort",
    ),
    Collector("kernel-log", "The kernel's log", "{ journalctl -k --no-pager -q -n 1000 || dmesg; } 2>&1 | tail -n 1000", newest=True),
    Collector("system-log", "The system's log in the time window", _JOURNAL + " 2>&1", most=1024 * KB, seconds=20.0, newest=True),
    Collector(
        "lifekeeper-status", "LifeKeeper's tables", _each("{root}/bin/lcdstatus -q", "{root}/bin/lcdstatus"), nodes_only=True, managers=_LK
    ),
    Collector("lifekeeper-settings", "LifeKeeper's settings", "cat /etc/default/LifeKeeper", nodes_only=True, managers=_LK),
    Collector(
        "lifekeeper-flags", "LifeKeeper's flags", "ls -la {root}/config/flg 2>&1; {root}/bin/flg_list 2>&1", nodes_only=True, managers=_LK
    ),
    Collector(
        "pacemaker-status",
        "Pacemaker's and Corosync's state",
        _each("crm_mon -1rnfA", "corosync-cfgtool -s", "corosync-quorumtool -s", "pcs constraint", "crmadmin --version", "corosync -v"),
        nodes_only=True,
        managers=_PCMK,
    ),
    Collector(
        "pacemaker-settings",
        "Pacemaker's configuration",
        _each("cibadmin -Q", "cat /etc/corosync/corosync.conf"),
        nodes_only=True,
        managers=_PCMK,
    ),
    # Windows: shapes from memory, never run there.
    Collector(
        "os",
        "Windows version and uptime",
        "Get-CimInstance Win32_OperatingSystem|fl Caption,Version,BuildNumber,LastBootUpTime",
        WINDOWS,
        30.0,
    ),
    Collector("addresses", "Addresses and adapters", "Get-NetIPAddress|ft -auto;Get-NetAdapter|ft -auto", WINDOWS, 30.0),
    Collector("routes", "Routes and neighbours", "Get-NetRoute|ft -auto;Get-NetNeighbor|ft -auto", WINDOWS, 30.0),
    Collector(
        "sockets",
        "Listeners and connections",
        "Get-NetTCPConnection|ft -auto LocalAddress,LocalPort,RemoteAddress,RemotePort,State,OwningProcess",
        WINDOWS,
        30.0,
    ),
    Collector(
        "weak-host",
        "Weak-host settings",
        "Get-NetIPInterface|ft -auto InterfaceAlias,AddressFamily,WeakHostSend,WeakHostReceive,Forwarding",
        WINDOWS,
        30.0,
    ),
    Collector(
        "firewall", "Firewall", "Get-NetFirewallProfile -PolicyStore ActiveStore|ft -auto Name,Enabled,DefaultInboundAction", WINDOWS, 30.0
    ),
    Collector("clock", "Clock and its source", "[DateTime]::UtcNow.ToString('o');w32tm /query /status", WINDOWS, 30.0),
    Collector("processes", "Processes, by name only", "Get-Process|ft -auto Id,ProcessName,StartTime", WINDOWS, 30.0),
    Collector(
        "cluster",
        "Failover cluster",
        "Get-ClusterNode|ft -auto;Get-ClusterResource|ft -auto",
        WINDOWS,
        30.0,
        nodes_only=True,
        managers=("wsfc",),
    ),
)


def of_machine(cluster: Cluster, machine: Machine) -> list[Collector]:
    """The rows that are for this machine."""
    is_node = machine.name != cluster.client.name
    return [
        row
        for row in TABLE
        if row.platform == machine.platform
        and (is_node or not row.nodes_only)
        and (not row.managers or cluster.manager.kind in row.managers)
    ]


def line_for(row: Collector, cluster: Cluster, begin: float, end: float) -> str:
    """The line to run: filled in and, on Linux, cut off by the host itself just beyond its limit, so that no flood crosses the network."""
    line = row.line
    for name, value in {
        "{root}": shlex.quote(str(cluster.manager.root)),
        "{begin}": shlex.quote(_journal_time(begin)),
        "{end}": shlex.quote(_journal_time(end)),
    }.items():
        line = line.replace(name, value)
    if row.platform == WINDOWS:
        return line
    # A pipe's exit is its last part's, so the line's own is told as a last line.
    return f'{PATHS}{{ {{ {line}; }} 2>&1 || echo "{EXITED}$?"; }} | {"tail" if row.newest else "head"} -c {row.most + 1}'


def _journal_time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
