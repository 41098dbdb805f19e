"""The folder where a database has its socket: may its account make one there on the standby?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.config.cluster_config import Service
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.diagnosis.host_config.node_files import FileSeen
from harness.diagnosis.rules.service.terminal_sessions import OF_A_CONTAINER

# Of a unit of its own, which may make its folder anew at each start (RuntimeDirectory); a cluster manager's children are in its unit.
OF_ITS_OWN_UNIT = re.compile(r"/(?!pacemaker|lifekeeper|steeleye|corosync)[^/]+\.service(?:/|$)")
WRITE_AND_SEARCH = 3


def causes(evidence: Evidence) -> Iterator[Cause]:
    """A folder that is not there may well be made by what starts the server, as Pacemaker's agent and Debian's pg_ctlcluster do: nothing is
    said of that. None of them gives another one's folder away."""
    active, standby = evidence.hosts.get(evidence.active or ""), evidence.hosts.get(evidence.standby or "")
    if active is None or standby is None or evidence.moved:
        return
    for service in evidence.cluster.services:
        for pid in sorted({s.pid or 0 for s in active.listening(service.port)} & set(active.data_folders)):
            folder = active.data_folders[pid].socket_folder.replace("/var/run/", "/run/", 1)
            group = active.control_groups.get(pid, "")
            seen = (standby.files or {}).get(folder)
            if seen is None or OF_A_CONTAINER.search(group) or OF_ITS_OWN_UNIT.search(group):
                continue
            names = {active.account_names.get(uid, "") for uid in active.accounts.get(service.port, ())}
            if len(names) == 1 and (why := _why_not(standby, seen, *names)):
                yield _cause(active, standby, service, folder, seen, why)


def _why_not(standby: HostSeen, seen: FileSeen, account: str) -> str:
    """What keeps this account from making a socket there; empty where nothing does, or that is not known."""
    if seen.kind != "directory":
        return f"is a {seen.kind} there"
    if not account or account == "root" or not seen.owner or account not in standby.account_names.values():
        return ""
    rights = standby.account_rights.get(account)
    if seen.owner == account:
        bits = seen.mode >> 6
    elif rights is None or rights.groups is None:
        return ""
    else:
        bits = seen.mode >> 3 if seen.group in rights.groups else seen.mode
    whose = f"belongs to {seen.owner}:{seen.group} there (mode {seen.mode:o})"
    return "" if bits & WRITE_AND_SEARCH == WRITE_AND_SEARCH else f"{whose}, and {account} may make no socket in it"


def _cause(active: HostSeen, standby: HostSeen, service: Service, folder: str, seen: FileSeen, why: str) -> Cause:
    return Cause(
        f"{folder}, where {service.name} (port {service.port}) on {active.name} has its socket, {why}: after a failover {service.tag} "
        f"would not start on {standby.name}",
        standby.name,
        Certainty.LIKELY,
        f"give it the owner and the mode that it has on {active.name} (`stat {folder}` there), and see who made it: what is below /run is "
        "made anew at each boot, by a file in /usr/lib/tmpfiles.d or /etc/tmpfiles.d",
        (
            f"postmaster.pid on {active.name}: the socket is in {folder}",
            f"`stat -L {folder}` on {standby.name}: mode {seen.mode:o}, {seen.owner}:{seen.group}, {seen.kind}",
        ),
        f"{service.tag} has another folder on {standby.name}, or what starts it gives it this one first",
    )
