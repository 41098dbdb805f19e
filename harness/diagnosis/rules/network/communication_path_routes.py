"""Routes of the second subnet: one communication path, and often the data's copies, go by it alone."""

from __future__ import annotations

from collections.abc import Iterator

from harness.config.cluster_config import Node
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.diagnosis.rules.network.hop_limits import MIN_HOPS
from harness.diagnosis.rules.network.routes import way_of
from harness.hosts.linux.linux_parse import Route


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    for node, host in evidence.nodes:
        peer, nic = evidence.cluster.peer_of(node.name), host.nic_of(node.second_address)
        own_address, peer_address = str(node.second_address), str(peer.second_address)
        route = host.routes.get((peer_address, own_address))
        if route is None or nic is None or not host.is_up(own_address):
            continue
        if route.kind != "unicast" or route.interface != nic or (route.hops and route.hops < MIN_HOPS):
            yield from _astray(evidence, node, host, peer, nic, route)


def _astray(evidence: Evidence, node: Node, host: HostSeen, peer: Node, nic: str, route: Route) -> Iterator[Cause]:
    own_address, peer_address = str(node.second_address), str(peer.second_address)
    alive = _alive(evidence, {own_address, peer_address})
    if alive and route.kind == "unicast":
        return  # the manager's packets come through, whatever this look-up says
    rules = [rule for rule in host.rules if own_address in rule or peer_address in rule]
    by = f" by the policy rule `{rules[0]}`, or a route of its table" if rules else " by a route or a policy rule"
    if route.kind == "unicast" and route.interface == nic:
        says = f"has a time to live of {route.hops} by its route (`hoplimit`), so that the first routers drop it"
    else:
        says = f"is routed {way_of(route)}{by}, not by {nic}"
        says += ", and Azure drops what leaves a NIC with another one's address" if route.kind == "unicast" else ""
    uses = "the communication path in Subnet#2 is dead" if alive is False else "what the nodes say to each other in Subnet#2 is lost"
    yield Cause(
        f"what {node.name} sends as {own_address} to {peer.name}'s address {peer_address} {says}: {uses}",
        node.name,
        Certainty.CERTAIN if alive is False else Certainty.LIKELY if alive else Certainty.POSSIBLE,
        f"let {peer_address} be routed by {nic}: look at `ip route get {peer_address} from {own_address}`, `ip route show table all` and "
        f"`ip rule` on {node.name}",
        (
            f"`ip route get {peer_address} from {own_address}` on {node.name}: {route.kind} dev {route.interface}"
            + (f" hoplimit {route.hops}" if route.hops else ""),
        ),
        explains=("*:communication path",) if alive is False else (),
    )


def _alive(evidence: Evidence, ends: set[str]) -> bool | None:
    """Whether the manager's path between these addresses is alive; None where it has none there."""
    states = [p.alive for n in evidence.state.nodes.values() for p in n.comm_paths if ends & set(p.addresses.split("/"))]
    return all(states) if states else None
