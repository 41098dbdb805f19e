"""The VIP or the probe's port given to two resources, or to one that runs on several nodes: the manager itself has it on both at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import ANY, Evidence
from harness.diagnosis.required_flows import OUTSIDE, join_names


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    yield from _vip(evidence)
    yield from of_probe_port(evidence)


def _vip(evidence: Evidence) -> Iterator[Cause]:
    """Deleted by hand on the standby it would be put back: its resource is in service there."""
    settings, standby, vip = _settings(evidence), evidence.standby, str(evidence.cluster.vip)
    there = evidence.hosts.get(standby or "")
    tags = _enabled(settings, "address ", vip)
    if standby is None or there is None or evidence.moved or not (owners := _words(settings, tags)):
        return
    nic = there.nic_of(vip)
    now = f", as it is now: {standby} has it on {nic} too" if nic else ""
    yield Cause(
        f"{owners} the address {vip}, so the cluster manager may have it in service on both nodes at once{now}",
        standby,
        Certainty.CERTAIN if nic else Certainty.LIKELY,
        f"leave it to one resource, {evidence.cluster.ip_resource.tag}, and give the other one its own address (and frontend) "
        f"or take it away; what is deleted by hand (`ip addr del`) the manager puts back",
        (
            *(f"the cluster's configuration: {tag} has the address {vip}{_in_clone(settings, tag)}" for tag in tags),
            *([f"`ip addr` on {standby}: {vip} is on {nic}"] if nic else []),
        ),
        explains=("*/*", f"{standby}:VIP", f"{standby}:route to the VIP") if nic else (),
    )


def of_probe_port(evidence: Evidence) -> Iterator[Cause]:
    """The responder on both nodes, by the manager's own configuration."""
    settings, standby, port = _settings(evidence), evidence.standby, evidence.cluster.load_balancer.probe.port
    there = evidence.hosts.get(standby or "")
    services = {service.tag for service in evidence.cluster.services}
    tags = [tag for tag in _enabled(settings, "port ", str(port)) if tag not in services and f"fences {tag}" not in settings]
    if standby is None or there is None or evidence.moved or not (owners := _words(settings, tags)):
        return
    answers = any(s.address in {*ANY, str(evidence.cluster.node(standby).address)} for s in there.listening(port))
    now = f", as it does now, so clients are sent to {standby} as well" if answers else ""
    yield Cause(
        f"{owners} the probe's port {port}, so the cluster manager may have it answered on both nodes at once{now}",
        standby,
        Certainty.CERTAIN if answers else Certainty.LIKELY,
        "leave it to one plain resource in the group of the services, or tied to them: make a clone a resource again "
        "(`pcs resource unclone`), and take a second one away or give it a port and a probe of its own",
        (
            *(f"the cluster's configuration: {tag} has the port {port}{_in_clone(settings, tag)}" for tag in tags),
            *([f"`ss -tlnp` on {standby}: {s.owner} listens on {s.address}:{port}" for s in there.listening(port)] if answers else []),
        ),
        explains=(*OUTSIDE, f"{standby}:probe port") if answers else (),
    )


def _settings(evidence: Evidence) -> Mapping[str, str]:
    """The cluster's configuration is one, whichever node told it."""
    return {name: value for _, host in evidence.nodes for name, value in host.units.items()}


def _enabled(settings: Mapping[str, str], kind: str, value: str) -> list[str]:
    tags = sorted(name.removeprefix(kind) for name, its in settings.items() if name.startswith(kind) and its == value)
    return [tag for tag in tags if f"disabled {tag}" not in settings]


def _words(settings: Mapping[str, str], tags: list[str]) -> str:
    """Who has it in common, as the beginning of a sentence; nothing where one resource has it on one node."""
    if len(tags) > 1:
        return f"the resources {join_names(tags)} both have" if len(tags) == 2 else f"the resources {join_names(tags)} all have"
    clone = settings.get(f"clone of {tags[0]}", "") if tags else ""
    return f"{tags[0]} is in the clone {clone}, which runs on every node, and has" if clone else ""


def _in_clone(settings: Mapping[str, str], tag: str) -> str:
    clone = settings.get(f"clone of {tag}", "")
    return f", in the clone {clone}" if clone else ""
