"""A service that takes connections at once and answers after seconds, everybody and each time."""

from __future__ import annotations

from collections.abc import Iterator

from harness.config.cluster_config import Service
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, PathSeen
from harness.diagnosis.required_flows import join_names

SLOW_S, FAR_TOO_SLOW_S = 2.0, 5.0  # for a first answer, where a log-in and a query take tenths of a second


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The fastest of a look counts: the first answer of a program that was just started may well be late."""
    for service in evidence.cluster.services:
        paths = [p for p in evidence.paths if p.service.name == service.name and p.outcome != "fail" and p.answered_s is not None]
        if paths and min(p.answered_s or 0.0 for p in paths) >= SLOW_S and not evidence.moved:
            yield _cause(evidence, service, paths)


def _cause(evidence: Evidence, service: Service, paths: list[PathSeen]) -> Cause:
    fastest_s = min(p.answered_s or 0.0 for p in paths)
    overloads = list(dict.fromkeys(p.overload for p in paths if p.overload))
    far = fastest_s >= FAR_TOO_SLOW_S
    limit_s = FAR_TOO_SLOW_S if far else SLOW_S
    return Cause(
        f"{service.name} (port {service.port}) takes connections at once, and answers after more than {limit_s:g} s, by "
        f"{join_names(p.path for p in paths)}",
        evidence.active or paths[0].origin,
        Certainty.LIKELY if far and not overloads else Certainty.POSSIBLE,
        "see there what it waits for as a connection begins: a name of who connects, a log-in or its directory, a setting that delays "
        "(PostgreSQL's pre_auth_delay and post_auth_delay, a pause against guessing), a lock, a disk, its own back end; a client that "
        "gives up earlier sees an outage",
        tuple(f"asked on the path {p.path}, from {p.origin}: answered after {p.answered_s:.1f} s" for p in paths),
        "; ".join(overloads),
        explains=tuple(p.name for p in paths),  # a longer question, with a shorter limit, may not have been answered
    )
