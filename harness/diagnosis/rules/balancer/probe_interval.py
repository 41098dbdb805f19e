"""How often the load balancer's probes come, against the cluster file: every budget of an outage follows from that."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence

SLACK_S = 2.0  # by how much a busy host may delay probes, without anything being wrong with the file
DEVIATION = 0.3  # of the file's interval, that is no chance
MIN_FASTER_S = 1.0  # by which probes must come earlier: two probes of one port may well


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    cluster, probe = evidence.cluster, evidence.cluster.load_balancer.probe
    seen = interval_seen(evidence)
    slow = comes_slowly(evidence)
    faster = (
        seen is not None and seen < (1 - DEVIATION) * probe.interval_s and probe.interval_s - seen > MIN_FASTER_S and _is_steady(evidence)
    )
    if not slow and not faster:
        return
    none = not any(p.syns.get(probe.port) for p in evidence.probes.values())
    other = ""
    if faster:
        other = "two probes of the load balancer may ask the same port: its list of probes decides"
    elif none:
        other = (
            "a network security group that denies the probe at both nodes, while the rule sends clients all the same "
            "(noHealthyBackendsBehavior AllProbedUp), looks the same where none comes"
        )
    how_often = _how_often(evidence, seen, none=none)
    yield Cause(
        f"the load balancer's probes {how_often}, though it sends clients on, and the cluster file says that one comes every "
        f"{probe.interval_s:g} s (load_balancer.probe.interval_s): how long a failover may take is reckoned from that",
        cluster.name,
        Certainty.LIKELY,
        "give the cluster file the interval that the load balancer's probe has in Azure (intervalInSeconds), or the probe the file's",
        tuple(
            f"the packet capture on {name}: {p.syns.get(probe.port, 0)} probes to port {probe.port} in {p.seconds:.1f} s"
            + (f", {p.every_s:.2f} s apart" if p.every_s is not None else "")
            for name, p in evidence.probes.items()
        ),
        other,
    )


def _how_often(evidence: Evidence, seen: float | None, *, none: bool) -> str:
    if seen is not None:
        return f"come every {seen:.1f} s"
    seconds = max(p.seconds for p in evidence.probes.values())
    return f"did not come once in {seconds:.0f} s" if none else f"came once in {seconds:.0f} s"


def interval_seen(evidence: Evidence) -> float | None:
    """Seconds between two probes of one node, as they were seen; the shortest of all nodes'."""
    return min((p.every_s for p in evidence.probes.values() if p.every_s is not None), default=None)


def comes_slowly(evidence: Evidence) -> bool:
    """Do probes come less often than the cluster file says, while the load balancer sends clients on? Then a node where none was seen yet
    may well be probed."""
    probe = evidence.cluster.load_balancer.probe
    sent = any(p.connects and p.nodes for p in evidence.paths if p.path != "inside")
    other_port = any(p.syns and not p.syns.get(probe.port) for p in evidence.probes.values())
    if not sent or not evidence.probes or other_port:
        return False
    seen = interval_seen(evidence)
    least = seen if seen is not None else min(p.seconds / (1 + p.syns.get(probe.port, 0)) for p in evidence.probes.values())
    return least > (1 + DEVIATION) * probe.interval_s + SLACK_S


def _is_steady(evidence: Evidence) -> bool:
    """Were three probes and more seen of one node?"""
    return any(p.syns.get(evidence.cluster.load_balancer.probe.port, 0) > 2 for p in evidence.probes.values())
