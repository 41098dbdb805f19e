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
    probe_by_id = {p.id: p for r in rules if (p := balancer.probe_of(r)) is not None}
    for health_probe in probe_by_id.values():
        yield from _target(cluster, balancer.name, health_probe)
        yield from _times(cluster, balancer.name, health_probe)
        if health_probe.no_healthy_backends.lower() != "allprobeddown":
            do = "set noHealthyBackendsBehavior to AllProbedDown: now, with both probes down, clients are sent to any node"
            says = f"noHealthyBackendsBehavior is {health_probe.no_healthy_backends}"
            yield Finding(Weight.FAULT, balancer.name, f"probe {health_probe.name}", says, do, ("FLOW-08",))


def _target(cluster: Cluster, balancer_name: str, probe: Probe) -> Iterator[Finding]:
    expected, subject = cluster.load_balancer.probe, f"probe {probe.name}"
    if probe.protocol != expected.protocol:
        do = "set the probe's protocol, or load_balancer.probe.protocol in the file, to what the health-check resource answers"
        yield Finding(
            Weight.FAULT,
            balancer_name,
            subject,
            f"it asks by {probe.protocol}, and the file says {expected.protocol}",
            do,
            ("PRB-04", "PRB-12"),
        )
    elif probe.protocol == "http" and (probe.path or "/").lstrip("/") != expected.path.lstrip("/"):
        do = "set requestPath, or load_balancer.probe.path in the file, to what the health-check resource answers with 200"
        yield Finding(Weight.FAULT, balancer_name, subject, f"it asks for {probe.path}, and the file says {expected.path}", do, ("PRB-13",))
    if probe.port != expected.port:
        do = "set the probe's port, or load_balancer.probe.port in the file, to the one that the active node alone answers"
        yield Finding(
            Weight.FAULT, balancer_name, subject, f"it asks port {probe.port}, and the file says {expected.port}", do, ("PRB-22", "PRB-03")
        )
    if probe.protocol in ("http", "https") and probe.port in CLOSED_TO_HTTP:
        do = "choose another port: Azure sends no HTTP probe to this one"
        yield Finding(Weight.FAULT, balancer_name, subject, f"it asks by {probe.protocol} on port {probe.port}", do, ("PRB-15",))


def _times(cluster: Cluster, balancer_name: str, probe: Probe) -> Iterator[Finding]:
    expected, subject = cluster.load_balancer.probe, f"probe {probe.name}"
    if probe.interval_s not in (expected.interval_s, ceil(expected.interval_s)):  # Azure counts whole seconds; a lab's may be shorter
        do = "set intervalInSeconds, or interval_s in the file, to what is meant; every budget follows from it"
        says = f"it asks every {probe.interval_s:g} s, and the file says {expected.interval_s:g} s"
        yield Finding(Weight.FAULT, balancer_name, subject, says, do, ("PRB-05", "TIME-07"))
    elif probe.interval_s > 120:
        do = "set intervalInSeconds to 5: a failover takes at least as long as this"
        yield Finding(Weight.NOTE, balancer_name, subject, f"it asks every {probe.interval_s:g} s", do, ("PRB-06",))
    threshold = 1 if probe.threshold is None else probe.threshold
    if threshold != expected.threshold:
        ignored = f"; numberOfProbes = {probe.number_of_probes} does nothing" if probe.number_of_probes not in (None, threshold) else ""
        threshold_text = f"probeThreshold is {threshold}{' (its default)' if probe.threshold is None else ''}"
        do = "set probeThreshold by API 2022-05-01 or later (the portal cannot), or threshold in the file, to what is meant"
        facts = ("PRB-07", "PRB-09", "PRB-08") if ignored else ("PRB-07", "PRB-09")
        yield Finding(Weight.FAULT, balancer_name, subject, f"{threshold_text}, and the file says {expected.threshold}{ignored}", do, facts)
    elif probe.number_of_probes not in (None, 0, 1, threshold):
        do = "set probeThreshold if that many failures were meant; numberOfProbes is ignored, and goes away in 2027"
        says = f"numberOfProbes is {probe.number_of_probes}, which does nothing: probeThreshold is {threshold}"
        yield Finding(Weight.NOTE, balancer_name, subject, says, do, ("PRB-08",))
