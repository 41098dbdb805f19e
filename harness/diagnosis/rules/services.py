"""The service itself: reached by the right way, it refuses, redirects, or answers what it should not. Its own sentence is the cause."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, PathSeen


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    told: dict[tuple[str, str], list[PathSeen]] = {}
    for path in evidence.paths:
        judged = path.failed or (path.hung and path.outcome != "pass")
        if judged and path.connects and path.identity and path.full is not False:  # what only loses large segments serves
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
            else "fix what the service itself says: the way to it is right",
            tuple(f"asked on the path {p.path}, from {p.origin}: {p.identity}" for p in paths),
            "its log says whether it hangs or is only slow" if any(p.hung for p in paths) else "",
            explains=tuple(p.name for p in paths),
        )


def _certainty(paths: list[PathSeen]) -> Certainty:
    """Its own words are certain; its silence is likely, and no more than possible where a host is too busy to tell that from slowness."""
    if any(p.overload for p in paths):
        return Certainty.POSSIBLE
    return Certainty.LIKELY if any(p.hung for p in paths) else Certainty.CERTAIN
