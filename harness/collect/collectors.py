"""What is gathered from a host: names, lines of its shell, and limits, in tables; adding a row, or a table, is all it takes to gather more.

No row asks for processes' arguments or environments: that is where secrets live, and nothing there explains a network.
"""

from __future__ import annotations

import shlex
from abc import ABC
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from harness.config.cluster_config import Cluster, Machine
from harness.plugins.extension_points import COLLECTORS

KB = 1024
LINUX, WINDOWS = "linux", "windows"
EXITED = "# exited "  # and the code, as the last line of what a line printed that failed
PATHS = 'PATH="$PATH:/usr/sbin:/sbin"; '  # an ordinary user's PATH often lacks them

# Kernel settings that decide what becomes of the VIP's and the probe's packets, and how soon a dead peer is noticed; NIC_SYSCTLS of every
# NIC. What the diagnosis reads of a live host are those of net.ipv4.
SYSCTLS = (
    "net.ipv4.ip_forward",
    "net.ipv4.ip_nonlocal_bind",
    "net.ipv4.ip_default_ttl",
    "net.ipv4.tcp_timestamps",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_ecn",
    "net.ipv4.tcp_l3mdev_accept",
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
NEIGHBOUR_SYSCTLS = ("mcast_solicit", "app_solicit")  # how often a NIC asks everybody for a hardware address, and a program of its host


@dataclass(frozen=True)
class Collector:
    """One question to a host. `line` may hold {root}, {begin}, {end} (local times of the host) and {port}, filled in by `line_for`. Windows
    hosts are asked by a `script` without parameters instead (harness/hosts/windows/scripts), or, where `logs` names logs, by that of the
    event log for the time window.

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
    script: str = ""
    logs: tuple[str, ...] = ()


class CollectorTable(ABC):
    """Questions that belong together; found by being in `tables/`, or an entry point of an installed package."""

    rows: ClassVar[tuple[Collector, ...]]


def table() -> list[Collector]:
    """Every row that can be used, this product's own first. What cannot be used, `faults` tells."""
    return _load_table()[0]


def faults() -> list[str]:
    """Why tables of plug-ins, or rows of them, cannot be used, a sentence each."""
    return COLLECTORS.faults() + _load_table()[1]


def _load_table() -> tuple[list[Collector], list[str]]:
    collectors: dict[tuple[str, str], Collector] = {}
    faults_found: list[str] = []
    for label, (collector_table,) in COLLECTORS.usable().items():
        if not isinstance(collector_table.rows, tuple) or not all(isinstance(row, Collector) for row in collector_table.rows):
            faults_found.append(COLLECTORS.unusable(label, "its rows are no tuple of Collector"))
            continue
        for row in collector_table.rows:
            if collectors.setdefault((row.platform, row.name), row) is not row:
                faults_found.append(COLLECTORS.unusable(label, f"there is another collector {row.name!r}, so give it a name of its own"))
    return list(collectors.values()), faults_found


def of_machine(cluster: Cluster, machine: Machine) -> list[Collector]:
    """The rows that are for this machine."""
    is_node = machine.name != cluster.client.name
    return [
        row
        for row in table()
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


def _journal_time(epoch: float) -> str:
    return f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%d %H:%M:%S} UTC"
