"""Resources of Pacemaker's that nobody looks at, or hardly ever: what becomes of them goes unnoticed (facts DES-07)."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.diagnosis.host_config.lifekeeper_settings import RARE_CHECKS_S
from harness.diagnosis.host_config.manager_settings import FALSE
from harness.managers.manager import ResourceState

# Fence devices whose agents look after the device by themselves, and need no monitor.
WATCHED_BY_ITSELF = ("fence_sbd", "fence_watchdog", "fence_kdump", "fence_heuristics_ping")  # or with nothing that could be asked


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    host = evidence.hosts.get(evidence.active or "")
    if evidence.moved or host is None or host.units.get("option maintenance-mode", "").lower() == "true":
        return
    yield from _of_services(evidence, host)
    yield from _of_disks(evidence, host)
    yield from _of_fence_devices(host)


def _of_services(evidence: Evidence, host: HostSeen) -> Iterator[Cause]:
    """The responder, the services and the IP resource."""
    cluster = evidence.cluster
    probed = {tag: cluster.load_balancer.probe.port for tag in evidence.responders}
    for tag, port in {**{s.tag: s.port for s in cluster.services}, cluster.ip_resource.tag: None, **probed}.items():
        state = evidence.resource(host.name, tag)
        away = port is not None and not host.listening(port)
        if away or (tag not in probed and state is not ResourceState.IN_SERVICE):
            continue
        what = f"what listens on port {port} dies" if port is not None else f"{cluster.vip} is taken away"
        if host.units.get(f"monitor {tag}") == "none":
            yield Cause(
                f"{tag} has no monitor operation: when {what}, the cluster manager goes on saying that it is in service",
                host.name,
                Certainty.CERTAIN if port is not None else Certainty.LIKELY,
                f"give {tag} a recurring monitor, every 10 s for instance",
                (f"the cluster's configuration on {host.name}: {tag} has no recurring monitor",),
            )
        elif interval := _rare_interval(host, tag):
            yield Cause(
                f"the monitor of {tag} runs every {interval:g} s only: when {what}, it goes unnoticed for up to {interval / 3600:g} hours, "
                "and the cluster manager goes on saying that it is in service",
                host.name,
                Certainty.LIKELY,
                f"give the monitor of {tag} an interval of 10 s or so",
                (f"the cluster's configuration on {host.name}: {tag}, operation monitor, interval {interval:g} s",),
            )


def _rare_interval(host: HostSeen, tag: str) -> float | None:
    """The seconds between two looks at a resource, where nobody can mean them."""
    text = host.units.get(f"monitor interval {tag}", "")
    return float(text) if text and float(text) >= RARE_CHECKS_S else None


def _of_disks(evidence: Evidence, host: HostSeen) -> Iterator[Cause]:
    """The file systems that something of the file's lies on."""
    tags = {evidence.cluster.ip_resource.tag, *evidence.responders, *(s.tag for s in evidence.cluster.services)}
    for disk in dict.fromkeys(disk for tag in sorted(tags) for disk in host.units.get(f"disk of {tag}", "").split()):
        if host.units.get(f"monitor {disk}") == "none" and evidence.resource(host.name, disk) is ResourceState.IN_SERVICE:
            yield Cause(
                f"{disk}, a file system that a service lies on, has no monitor operation: when it is gone or takes no more writes, the "
                "cluster manager goes on saying that it is in service",
                host.name,
                Certainty.LIKELY,
                f"give {disk} a recurring monitor, every 20 s for instance",
                (f"the cluster's configuration on {host.name}: {disk} has no recurring monitor",),
            )


def _of_fence_devices(host: HostSeen) -> Iterator[Cause]:
    """A device that nobody asks is found dead on the day that it is needed; guides ask it once an hour, which is enough."""
    if host.units.get("option stonith-enabled", "").lower() in FALSE:
        return
    for name, program in host.units.items():
        tag = name.removeprefix("fence agent ")
        sees_to_itself = program.rpartition("/")[2] in WATCHED_BY_ITSELF or host.units.get(f"disabled {tag}") == "yes"
        if tag == name or sees_to_itself or host.units.get(f"monitor {tag}") != "none":
            continue
        yield Cause(
            f"the fence device {tag} has no monitor operation: when it cannot fence any more (a password that has expired, a role that was "
            "taken away), nobody notices before a node has to be fenced, and then nothing is taken over",
            host.name,
            Certainty.LIKELY,
            f"give {tag} a recurring monitor, every 60 s to an hour",
            (f"the cluster's configuration on {host.name}: {tag} has no recurring monitor",),
        )
