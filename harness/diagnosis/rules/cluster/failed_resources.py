"""Resources that the cluster manager has as failed: what is not there for it, what is there all the same, and what is in service on the
other node, and failed here once."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, is_served
from harness.diagnosis.manager_log_excerpts import about
from harness.diagnosis.rules.cluster.manager_state import explained_symptoms
from harness.managers.manager import ResourceState


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    if evidence.moved:
        return
    for name, node in evidence.state.nodes.items():
        for tag, state in node.resources.items():
            if state is not ResourceState.FAILED or tag == evidence.cluster.manager.resource:
                continue
            host = evidence.hosts.get(name)
            words = about(host.log if host else (), tag)
            last = f"; its last words: {words[-1]}" if words else ""
            seen = (f"the cluster manager on {name}: {tag} is {state}", *(f"its log on {name}: {w}" for w in words[-3:]))
            elsewhere = [n for n in evidence.state.nodes if n != name and (s := evidence.resource(n, tag)) is not None and s.active]
            if elsewhere:
                yield _left_failed(name, elsewhere[0], tag, last, seen)
            elif there := _what_is_there(evidence, name, tag):
                yield _marked_failed(name, tag, there, last, seen)
            else:
                yield Cause(
                    f"{tag} failed on {name}, so what it serves is not there{last}",
                    name,
                    Certainty.CERTAIN,
                    "fix what the log says of it, then let the manager try again; nothing is wrong with addresses that nobody "
                    "listens on yet",
                    seen,
                    explains=explained_symptoms(evidence, name, tag),
                )


def _left_failed(name: str, active: str, tag: str, last: str, seen: tuple[str, ...]) -> Cause:
    return Cause(
        f"{tag} is left failed on {name}, where it was tried once, and is in service on {active}: what it failed of may keep it from "
        f"starting on {name} at the next failover{last}",
        name,
        Certainty.LIKELY,
        f"see why it failed on {name} (the manager's log there, from then), and put that right; then clear the state (Pacemaker: "
        f"`crm_resource --cleanup -r {tag} -N {name}`; LifeKeeper clears it when {tag} is next brought in service there, which a "
        "switchover in a quiet hour tries)",
        (*seen, f"the cluster manager on {active}: {tag} is in service"),
        explains=(f"{name}:resource",),
    )


def _marked_failed(name: str, tag: str, there: str, last: str, seen: tuple[str, ...]) -> Cause:
    return Cause(
        f"the cluster manager has {tag} as failed on {name}, but {there}: the manager does not count on it, and may neither watch it nor "
        f"move it{last}",
        name,
        Certainty.CERTAIN,
        f"see why it counts as failed (the manager's log), and whether somebody set the state by hand; then put {tag} in service by the "
        "cluster manager, in a quiet hour, as that may restart it",
        seen,
        explains=("*:roles", f"{name}:resource"),
    )


def _what_is_there(evidence: Evidence, name: str, tag: str) -> str:
    """What it should serve, where that is served from outside, or is on a NIC and every path is well; empty otherwise."""
    cluster, host = evidence.cluster, evidence.hosts.get(name)
    if host is None or name != evidence.active:
        return ""
    if service := next((s for s in cluster.services if s.tag == tag), None):
        owner = next((s.owner for s in host.listening(service.port)), "")
        served = owner and is_served(evidence.paths, name, service.port)
        return f"{owner} listens on port {service.port} ({service.name}) there, and serves" if served else ""
    if tag in evidence.responders:
        port, probes = cluster.load_balancer.probe.port, evidence.probes.get(name)
        owner = next((s.owner for s in host.listening(port)), "")
        answers = owner and probes is not None and probes.answered > 0 and probes.unheeded(port) == 0
        return f"{owner} listens on port {port} (the probe port) there, and answers" if answers else ""
    well = bool(evidence.paths) and all(path.outcome == "pass" for path in evidence.paths)
    if tag == cluster.ip_resource.tag and well and (nic := host.nic_of(cluster.vip)) is not None:
        return f"{cluster.vip} is on {nic} there, and every path is well"
    return ""
