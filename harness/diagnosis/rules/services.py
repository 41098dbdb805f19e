"""The service itself: reached by the right way, it refuses, redirects, or answers what it should not. Its own sentence is the cause."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, PathSeen
from harness.diagnosis.rules import links
from harness.diagnosis.rules.host_firewall import is_doubted

# How servers say that they have no connection left: SQLSTATE 53300 (PGS-01), MySQL, Oracle (ORA-14), SQL Server (SQL-68).
NO_CONNECTION_LEFT = re.compile(r"\b53300\b|error (?:1040|1203|1226)\b|ORA-(?:00018|00020|12516|12519|12520)|\b(?:17809|10928)\b")


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    unserved = [p for p in evidence.paths if _is_unserved(evidence, p)]
    full = {p.service.name for p in unserved if NO_CONNECTION_LEFT.search(p.identity)}
    for service in sorted(full):
        yield _full(evidence, [p for p in unserved if p.service.name == service])
    told: dict[tuple[str, str], list[PathSeen]] = {}
    for path in unserved:
        if path.identity and path.service.name not in full:
            told.setdefault((path.service.name, path.identity.partition(": ")[2] or path.identity), []).append(path)
    at_fault = links.at_fault(evidence)
    for (service, _), paths in told.items():
        one = paths[0]
        lost = all(_is_silence(p) and at_fault & {p.origin, evidence.active} for p in paths)  # a NIC loses what it would say
        where = ", ".join(f"{p.path} ({p.origin})" for p in paths)
        overload = "; ".join(dict.fromkeys(p.overload for p in paths if p.overload))
        words = f"{service} (port {one.service.port}) takes connections and does not serve them, {where}: {one.identity}"
        yield Cause(
            f"{words}; or it is only slow, which cannot be told apart: {overload}" if overload else words,
            evidence.active or one.origin,
            _certainty(paths),
            "ask again when the hosts are less busy; see what keeps them busy (`top`, `cat /proc/pressure/cpu`)"
            if overload
            else _remedy(paths),
            tuple(f"asked on the path {p.path}, from {p.origin}: {p.identity}" for p in paths),
            "its log says whether it hangs or is only slow" if any(p.hung for p in paths) else "",
            explains=tuple(p.name for p in paths),
            general=lost or any(p.hung and is_doubted(evidence, evidence.active or "", p) for p in paths),  # by its firewall
        )


def _is_unserved(evidence: Evidence, path: PathSeen) -> bool:
    judged = path.failed or (path.hung and path.outcome != "pass")
    return (
        judged and path.full is not False and (path.connects or _by_the_active_node_alone(evidence, path))
    )  # else large segments are lost


def _remedy(paths: list[PathSeen]) -> str:
    if any(p.hung for p in paths):
        return (
            "the service says nothing: see there whether it is stopped, overloaded, or waits for something (a lock, a disk, a name): "
            "its own log, and its list of sessions; the way to it is right"
        )
    if any("28P01" in p.identity for p in paths):
        return (
            "its log says which it is: another password than the cluster file's, one that has expired (`rolvaliduntil` of pg_roles), or an "
            "account without one; the way to it is right"
        )
    return "fix what the service itself says: the way to it is right"


def _is_silence(path: PathSeen) -> bool:
    return path.hung or path.identity.endswith("the connection was silent")


def _full(evidence: Evidence, paths: list[PathSeen]) -> Cause:
    """Which of the paths gets a connection, and what becomes of those that get none, is chance: so they are told together."""
    service = paths[0].service
    said = [p for p in paths if NO_CONNECTION_LEFT.search(p.identity)]
    words = "; ".join(sorted({p.identity for p in said}))
    return Cause(
        f"{service.name} (port {service.port}) has no connection left and turns clients away: {words}",
        evidence.active or paths[0].origin,
        Certainty.CERTAIN,
        "see who holds its connections and ends none (a pool that is too large, sessions that are idle), and end those, or raise the limit "
        "that it names; the way to it is right",
        tuple(f"asked on the path {p.path}, from {p.origin}: {p.identity}" for p in said),
        explains=tuple(p.name for p in paths),
    )


def _by_the_active_node_alone(evidence: Evidence, path: PathSeen) -> bool:
    """Some attempts were answered and some not: is there one node only that can have said it? A second holder of the VIP, or another node
    that gets connections, explains that by itself."""
    holders = {name for name, seen in evidence.hosts.items() if seen.nic_of(evidence.cluster.vip)}
    return "answered" in path.outcomes and holders <= {evidence.active} and path.nodes <= {evidence.active}


def _certainty(paths: list[PathSeen]) -> Certainty:
    """Its own words are certain; its silence is likely, and no more than possible where a host is too busy to tell that from slowness."""
    if any(p.overload for p in paths):
        return Certainty.POSSIBLE
    return Certainty.LIKELY if any(p.hung for p in paths) else Certainty.CERTAIN
