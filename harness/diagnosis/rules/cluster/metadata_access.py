"""Azure's instance metadata service, by which a fence agent with a managed identity gets its token: can a node ask it?"""

from __future__ import annotations

from collections.abc import Iterator

from harness.config.azure_config import METADATA_ADDRESS
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.diagnosis.firewall import Packet, opening
from harness.diagnosis.required_flows import join_names

NO_WAY = ("blackhole", "unreachable", "prohibit", "throw")
EVENT_AGENTS = ("azure-events", "azure-events-az")


def causes(evidence: Evidence) -> Iterator[Cause]:
    """Only where a device or a resource of the cluster asks it; its monitor may be an hour apart (facts WNET-98: it wants no proxy)."""
    for node, host in evidence.nodes:
        devices = [key.removeprefix("managed identity ") for key in host.units if key.startswith("managed identity ")]
        events = [key.removeprefix("agent ") for key, agent in host.units.items() if key.startswith("agent ") and agent in EVENT_AGENTS]
        stopped = _stopped_by(evidence, host, str(node.address)) if devices or events else ""
        if not stopped:
            continue
        lost = [
            *([f"with {join_names(devices)} no node could be fenced from there, for want of a token"] if devices else []),
            *([f"{join_names(events)} hears of no scheduled event"] if events else []),
        ]
        yield Cause(
            f"{node.name} cannot ask Azure's instance metadata service ({METADATA_ADDRESS}, port 80): {stopped}; {', and '.join(lost)}",
            node.name,
            Certainty.LIKELY,
            f"let what root sends to {METADATA_ADDRESS} pass on {node.name}, and see what keeps it back (a hardening script against that "
            "service leaves root out, as a rule by its owner can)",
            (f"{node.name}: {stopped}", *(f"the cluster's configuration: {tag} uses it" for tag in (*devices, *events))),
        )


def _stopped_by(evidence: Evidence, host: HostSeen, own_address: str) -> str:
    """What surely keeps root's connections from it, in words; "" where nothing does, or it cannot be told."""
    route = host.routes.get((METADATA_ADDRESS, ""))
    if route is not None and route.kind in NO_WAY:
        return f"`ip route get {METADATA_ADDRESS}` there says {route.kind}"
    if host.firewall is None:
        return ""
    out_nic = route.interface if route is not None and route.interface else host.nic_of(own_address)
    syn = Packet(own_address, METADATA_ADDRESS, 80, hook="output", out_nic=out_nic, uid=0)
    judged = opening(host.firewall, host.place_packet(evidence.cluster.vip, syn))
    return f"its own firewall stops that by {judged.decision.rule}" if judged.passes is False else ""
