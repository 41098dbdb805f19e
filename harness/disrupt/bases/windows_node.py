"""What disruptions need on a Windows node: whether they are for it at all, its role and its lease, its boots, and who owns a port there.

Shape only: nothing of this was run on Windows.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.core.errors import Inconclusive
from harness.disrupt.bases.listening_process import known_ports, only_listener, reason_not_to_end
from harness.disrupt.disruption import Moment
from harness.hosts.windows.boot_identity import Boot, boot_of
from harness.hosts.windows.script_protocol import Row
from harness.hosts.windows.script_runner import rows_of
from harness.managers.windows_base import OnWindows

if TYPE_CHECKING:
    from harness.cluster.cluster_under_test import ClusterUnderTest
    from harness.core.deadline import Deadline
    from harness.disrupt.disruption import Disruption

WHICH_BOOT = "cat /proc/sys/kernel/random/boot_id && cut -d ' ' -f 22 /proc/1/stat"  # hosts that share a kernel differ in process 1
BOOT_TIMEOUT_S = 10.0  # a PowerShell that is started first takes seconds
SHARED = ("svchost", "services", "lsass", "wininit", "csrss", "smss", "winlogon", "System", "sshd", "w3wp", "http")
CLUSTERS_OWN = ("rhs", "clussvc")  # of a failover cluster; one rhs holds resources of any number of roles (WCLU-06, WCLU-80)
OWNER_TIMEOUT_S = 30.0  # all services are asked of WMI


def on_windows(subject: ClusterUnderTest, host: str) -> bool:
    """Does PowerShell answer there?"""
    return any(m.name == host and m.platform == "windows" for m in subject.cluster.machines)


def lease_token(subject: ClusterUnderTest, host: str) -> str:
    """What the host's scripts ask the lease for; empty on a client, which has none, and where no run holds one."""
    return subject.lease_token if host in {n.name for n in subject.cluster.nodes} else ""


def demand_role(subject: ClusterUnderTest, disruption: Disruption) -> None:
    """As `lease_and_role_check` on Linux, right before the deed. Raises Inconclusive where it is not known to be active any more."""
    target = disruption.target()
    if target != disruption.chosen_as_active or any(other is not disruption for other in subject.standing):
        return
    manager = subject.manager
    assert isinstance(manager, OnWindows)
    here = manager.has_in_service(subject.cluster.ip_resource.tag, target)
    if here is not True:
        role = "is not any more" if here is False else "whether it still is could not be told"
        raise Inconclusive(f"{target} was active and {role}, so nothing was done")


def which_boot(subject: ClusterUnderTest, node: str, *, limit: float) -> str | Boot:
    """Two answers are equal when they are of one boot. Raises HostUnreachable, DeadlineExceeded and what scripts raise."""
    host = subject.hosts[node]
    return boot_of(host, limit=max(limit, BOOT_TIMEOUT_S)) if on_windows(subject, node) else host.check(WHICH_BOOT, limit=limit)


def owner_of(subject: ClusterUnderTest, node: str, port: int) -> Row:
    """The process that listens there and may be ended. Raises Inconclusive when there is none, or more, or one that others need."""
    listeners = subject.facts[node].listeners()
    pid = only_listener(node, port, listeners)
    rows = rows_of(subject.hosts[node], "process-owner", {"Id": pid}, limit=OWNER_TIMEOUT_S)
    if why := reason_not_to_end(pid, port, listeners, known_ports(subject, port), ()) or reason_not_to_end_process(
        rows[0] if rows else None, pid, port
    ):
        raise Inconclusive(f"{node}: {why}; nothing was done")
    return rows[0]


def reason_not_to_end_process(row: Row | None, pid: int, port: int) -> str:
    """Why the process must not be ended by what the host says of it; empty when it may. Pure."""
    if row is None:
        return f"process {pid}, which listened on port {port}, is gone"
    name = re.sub(r"\.exe$", "", str(row["Name"]), flags=re.IGNORECASE)
    if pid <= 4 or name.lower() in {shared.lower() for shared in SHARED}:
        return f"{name} ({pid}) listens on port {port} for others; with it everything else that it serves would go"
    if name.lower() in CLUSTERS_OWN:
        return f"{name} ({pid}), which listens on port {port}, is the failover cluster's own, and may hold other roles (facts WCLU-80)"
    if row["StartedAt"] is None:
        return f"when {name} ({pid}) started is not told, so it could be taken for another; is the account an administrator there?"
    if len(row["Services"]) > 1:
        return f"{name} ({pid}) holds the services {', '.join(row['Services'])}, which would all go (facts WHST-86)"
    if row["Restarts"] is None:
        services = ", ".join(row["Services"])
        return f"whether a failure action of the service {services} restarts the whole node could not be read (facts WHST-76; sc qfailure)"
    if row["Restarts"]:
        return f"a failure action of the service {', '.join(row['Services'])} restarts the whole node (facts WHST-76; sc qfailure tells)"
    return ""


def end_process(subject: ClusterUnderTest, disruption: Disruption, row: Row, deadline: Deadline) -> Moment:
    """TerminateProcess, if it is still the one that was looked at. Raises CommandFailed, HostUnreachable, DeadlineExceeded."""
    node = disruption.target()
    demand_role(subject, disruption)
    parameters = {"Id": int(row["Id"]), "StartedAt": row["StartedAt"], "Lease": lease_token(subject, node)}
    result = rows_of(subject.hosts[node], "process-kill", parameters, limit=max(deadline.within(10.0), 1.0))[0]
    return Moment(node, float(result["Before"]), float(result["After"]))


def wait_for_end(subject: ClusterUnderTest, node: str, row: Row, deadline: Deadline) -> None:
    """Until the process is gone, or its number is another's. Raises DeadlineExceeded."""

    def is_gone() -> bool:
        rows = rows_of(subject.hosts[node], "process", {"Id": int(row["Id"])}, limit=max(deadline.within(10.0), 1.0))
        return not rows or rows[0]["StartedAt"] != row["StartedAt"]

    deadline.wait_for(is_gone, what=f"the end of process {row['Id']:.0f} on {node}", every=0.2)
