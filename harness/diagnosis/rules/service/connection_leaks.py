"""Connections that clients have closed and the server has not: it keeps them until its descriptors or its slots are used up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence

MANY, OLD_S = 50, 60.0  # busy servers have a few of them for moments


def causes(evidence: Evidence) -> Iterator[Cause]:
    """Of connections that a process has accepted; what waits in a queue is told of the queue."""
    host = evidence.hosts.get(evidence.active or "")
    for service in evidence.cluster.services if host else ():
        assert host is not None
        closed = [s for s in host.sockets if s.state == "CLOSE-WAIT" and s.port == service.port and s.pid]
        old = [s for s in closed if s.idle_s is not None and s.idle_s > OLD_S]
        if len(old) < MANY:
            continue
        (pid, number), *_ = Counter(s.pid for s in old).most_common(1)
        owner = next(s.owner for s in old if s.pid == pid)
        used, most = host.descriptors.get(pid or 0, (0, 0))
        peers = sorted({s.peer for s in old})
        yield Cause(
            f"{owner} keeps connections of port {service.port} ({service.name}) that clients have closed long ago (CLOSE-WAIT): it does "
            "not close them, and runs out of descriptors",
            host.name,
            Certainty.LIKELY if most and number > most / 2 else Certainty.POSSIBLE,
            "see what the program does with a connection whose client has gone (its own log, its version); a restart in a quiet hour frees "
            "them for a time",
            (
                f"`ss -tanopi` on {host.name}: {len(old)} in CLOSE-WAIT on port {service.port}, silent for more than {OLD_S:.0f} s, from "
                f"{', '.join(peers[:5])}",
                *([f"/proc/{pid} on {host.name}: {used} descriptors, Max open files {most}"] if most else []),
            ),
        )
