"""The health probe that Azure has, against the file's and what the facts say of probes. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from harness.azure.inventory.resource_model import Balancer, Probe, Rule
from harness.config.cluster_config import Cluster
from harness.core.finding import Finding, Weight

CLOSED_TO_HTTP = {19, 21, 25, 70, 110, 119, 143, 220, 993}  # facts PRB-15


def probe(cluster: Cluster, balancer: Balancer, rules: list[Rule]) -> Iterator[Finding]:
    """Every rule needs the file's probe; each probe is judged once."""
    for rule in rules:
        if balancer.probe_of(rule) is None:
            do = "give it the probe that follows the cluster's role: without one every member gets connections, active or not"
            yield Finding(Weight.FAULT, balancer.name, f"rule {rule.name}", "it has no health probe", do, ("PRB-19", "PRB-22"))
    used = {p.id: p for r in rules if (p := balancer.probe_of(r)) is not None}
    for one in used.values():
        yield from _target(cluster, balancer.name, one)
        yield from _times(cluster, balancer.name, one)
        if one.no_healthy_backends.lower() != "allprobeddown":
            do = "set noHealthyBackendsBehavior to AllProbedDown: now, with both probes down, clients are sent to any node"
            says = f"noHealthyBackendsBehavior is {one.no_healthy_backends}"
            yield Finding(Weight.FAULT, balancer.name, f"probe {one.name}", says, do, ("FLOW-08",))


def _target(cluster: Cluster, own: str, one: Probe) -> Iterator[Finding]:
    meant, what = cluster.load_balancer.probe, f"probe {one.name}"
    if one.protocol != meant.protocol:
        do = "set the probe's protocol, or load_balancer.probe.protocol in the file, to what the health-check resource answers"
        yield Finding(Weight.FAULT, own, what, f"it asks by {one.protocol}, and the file says {meant.protocol}", do, ("PRB-04", "PRB-12"))
    elif one.protocol == "http" and (one.path or "/").lstrip("/") != meant.path.lstrip("/"):
        do = "set requestPath, or load_balancer.probe.path in the file, to what the health-check resource answers with 200"
        yield Finding(Weight.FAULT, own, what, f"it asks for {one.path}, and the file says {meant.path}", do, ("PRB-13",))
    if one.port != meant.port:
        do = "set the probe's port, or load_balancer.probe.port in the file, to the one that the active node alone answers"
        yield Finding(Weight.FAULT, own, what, f"it asks port {one.port}, and the file says {meant.port}", do, ("PRB-22", "PRB-03"))
    if one.protocol in ("http", "https") and one.port in CLOSED_TO_HTTP:
        do = "choose another port: Azure sends no HTTP probe to this one"
        yield Finding(Weight.FAULT, own, what, f"it asks by {one.protocol} on port {one.port}", do, ("PRB-15",))


def _times(cluster: Cluster, own: str, one: Probe) -> Iterator[Finding]:
    meant, what = cluster.load_balancer.probe, f"probe {one.name}"
    if one.interval_s not in (meant.interval_s, ceil(meant.interval_s)):  # Azure counts whole seconds; a lab's may be shorter
        do = "set intervalInSeconds, or interval_s in the file, to what is meant; every budget follows from it"
        says = f"it asks every {one.interval_s:g} s, and the file says {meant.interval_s:g} s"
        yield Finding(Weight.FAULT, own, what, says, do, ("PRB-05", "TIME-07"))
    elif one.interval_s > 120:
        do = "set intervalInSeconds to 5: a failover takes at least as long as this"
        yield Finding(Weight.NOTE, own, what, f"it asks every {one.interval_s:g} s", do, ("PRB-06",))
    threshold = 1 if one.threshold is None else one.threshold
    if threshold != meant.threshold:
        idle = f"; numberOfProbes = {one.number_of_probes} does nothing" if one.number_of_probes not in (None, threshold) else ""
        given = f"probeThreshold is {threshold}{' (its default)' if one.threshold is None else ''}"
        do = "set probeThreshold by API 2022-05-01 or later (the portal cannot), or threshold in the file, to what is meant"
        facts = ("PRB-07", "PRB-09", "PRB-08") if idle else ("PRB-07", "PRB-09")
        yield Finding(Weight.FAULT, own, what, f"{given}, and the file says {meant.threshold}{idle}", do, facts)
    elif one.number_of_probes not in (None, 0, 1, threshold):
        do = "set probeThreshold if that many failures were meant; numberOfProbes is ignored, and goes away in 2027"
        says = f"numberOfProbes is {one.number_of_probes}, which does nothing: probeThreshold is {threshold}"
        yield Finding(Weight.NOTE, own, what, says, do, ("PRB-08",))
