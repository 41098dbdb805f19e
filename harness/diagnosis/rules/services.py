"""The service itself: reached by the right way, it refuses, redirects, or answers what it should not. Its own sentence is the cause."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, PathSeen

# How servers say that they have no connection left: SQLSTATE 53300 (PGS-01), MySQL, Oracle (ORA-14), SQL Server (SQL-68).
NO_CONNECTION_LEFT = re.compile(r"\b53300\b|error (?:1040|1203|1226)\b|ORA-(?:00018|00020|12516|12519|12520)|\b(?:17809|10928)\b")


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    told: dict[tuple[str, str], list[PathSeen]] = {}
    for path in evidence.paths:
        judged = path.failed or (path.hung and path.outcome != "pass")
        reached = path.connects or _by_the_active_node_alone(evidence, path)
        if judged and reached and path.identity and path.full is not False:  # what only loses large segments serves
            told.setdefault((path.service.name, path.identity.partition(": ")[2] or path.identity), []).append(path)
    for (service, _), paths in told.items():
        one = paths[0]
        where = ", ".join(f"{p.path} ({p.origin})" for p in paths)
        overload = "; ".join(dict.fromkeys(p.overload for p in paths if p.overload))
        words = f"{service} (port {one.service.port}) takes connections and does not serve them, {where}: {one.identity}"
        yield Cause(
            f"{words}; or it is only slow, which cannot be told apart: {overload}" if overload else words,
            evidence.active or one.origin,
            _certainty(paths),
            "ask again when the hosts are less busy; see what keeps them busy (`top`, `cat /proc/pressure/cpu`)"
            if overload
            else _advice(one.identity),
            tuple(f"asked on the path {p.path}, from {p.origin}: {p.identity}" for p in paths),
            "its log says whether it hangs or is only slow" if any(p.hung for p in paths) else "",
            explains=tuple(p.name for p in paths),
        )


def _by_the_active_node_alone(evidence: Evidence, path: PathSeen) -> bool:
    """Some attempts were answered and some not: is there one node only that can have said it? A second holder of the VIP, or another node
    that gets connections, explains that by itself."""
    holders = {name for name, seen in evidence.hosts.items() if seen.nic_of(evidence.cluster.vip)}
    return "answered" in path.outcomes and holders <= {evidence.active} and path.nodes <= {evidence.active}


def _advice(said: str) -> str:
    if NO_CONNECTION_LEFT.search(said):
        return (
            "all the connections that it may have are taken: see who holds them and ends none (a pool that is too large, sessions that are "
            "idle), and end those, or raise the limit that it names; the way to it is right"
        )
    return "fix what the service itself says: the way to it is right"


def _certainty(paths: list[PathSeen]) -> Certainty:
    """Its own words are certain; its silence is likely, and no more than possible where a host is too busy to tell that from slowness."""
    if any(p.overload for p in paths):
        return Certainty.POSSIBLE
    return Certainty.LIKELY if any(p.hung for p in paths) else Certainty.CERTAIN
