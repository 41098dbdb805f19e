"""The service itself: reached by the right way, it refuses, redirects, or answers what it should not. Its own sentence is the cause."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, PathSeen


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    told: dict[tuple[str, str], list[PathSeen]] = {}
    for path in evidence.paths:
        if path.failed and path.connects and path.identity and path.full is not False:  # what only loses large segments serves
            told.setdefault((path.service.name, path.identity.partition(": ")[2] or path.identity), []).append(path)
    for (service, _), paths in told.items():
        one = paths[0]
        where = ", ".join(f"{p.path} ({p.origin})" for p in paths)
        yield Cause(
            f"{service} (port {one.service.port}) takes connections and does not serve them, {where}: {one.identity}",
            evidence.active or one.origin,
            Certainty.CERTAIN,
            "fix what the service itself says: the way to it is right",
            tuple(f"asked on the path {p.path}, from {p.origin}: {p.identity}" for p in paths),
            explains=tuple(p.name for p in paths),
        )
