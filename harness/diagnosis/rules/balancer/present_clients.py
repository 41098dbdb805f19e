"""Clients that are connected now, of other networks than the cluster file's client: would the standby answer them after a failover?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Network, ip_address

from harness.config.cluster_config import Design
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.diagnosis.firewall import Packet, opening
from harness.diagnosis.required_flows import join_names
from harness.hosts.linux.linux_parse import InterfaceAddress

MAX_NETWORKS = 8  # that are asked about
MAX_NAMED = 3


def causes(evidence: Evidence) -> Iterator[Cause]:
    """By the active node's connections, and the standby's own networks and firewall."""
    active, standby = (evidence.hosts.get(name or "") for name in (evidence.active, evidence.standby))
    if active is None or standby is None or evidence.moved:
        return
    for service_port, peers in _peers(evidence, active).items():
        service = next(s for s in evidence.cluster.services if s.port == service_port)
        by_reason: dict[str, list[str]] = {}
        for peer in peers:
            if reason := _own_network(evidence, standby, peer) or _shut_out(evidence, active, standby, peer, service_port):
                by_reason.setdefault(reason, []).append(peer)
        for reason, those in by_reason.items():
            named = join_names(those[:MAX_NAMED]) + (f" and {len(those) - MAX_NAMED} more" if len(those) > MAX_NAMED else "")
            count = sum(peers[peer] for peer in those)
            yield Cause(
                f"{named}, which {'is a client' if len(those) == 1 else 'are clients'} of port {service_port} ({service.name}) on "
                f"{active.name} now, would get no answer from {standby.name} after a failover: {reason}",
                standby.name,
                Certainty.LIKELY,
                f"let {standby.name} have what {active.name} has for these clients: no other network of that range, and the same rules",
                (
                    f"`ss` on {active.name}: {count} connection{'s' if count > 1 else ''} of {named} to port {service_port}",
                    f"{standby.name}: {reason}",
                ),
                f"it is no client, but watches {active.name} alone",
            )


def _peers(evidence: Evidence, active: HostSeen) -> dict[int, Counter[str]]:
    """By port, the addresses of connections that came from outside the cluster and its own hosts, of a few networks of 256."""
    cluster = evidence.cluster
    asked = {str(cluster.node(active.name).address), str(cluster.vip)}
    ours = asked | {str(m.address) for m in cluster.machines} | {str(n.second_address) for n in cluster.nodes}
    ours |= {str(cluster.load_balancer.probe.source)} | {a.address for _, host in evidence.nodes for a in host.addresses or ()}
    found: dict[int, Counter[str]] = {}
    networks: set[str] = set()
    ports, own_networks = {s.port for s in cluster.services}, [network for _, network in _networks(active)]
    for socket in active.sockets:
        if (
            socket.state != "ESTAB"
            or socket.port not in ports
            or socket.address not in asked
            or socket.peer in ours
            or not _is_far(socket.peer)
        ):
            continue
        if any(ip_address(socket.peer) in network for network in own_networks):
            continue  # a container of its own, or its own subnet, which the file's client stands for
        networks.add(socket.peer.rpartition(".")[0])
        if len(networks) > MAX_NETWORKS:
            break
        found.setdefault(socket.port, Counter())[socket.peer] += 1
    return found


def _is_far(address: str) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return parsed.version == 4 and not parsed.is_loopback and not parsed.is_link_local


def _networks(host: HostSeen) -> Iterator[tuple[InterfaceAddress, IPv4Network]]:
    """Its addresses with the networks that they lie in, but for those of one address alone."""
    for entry in host.addresses or ():
        try:
            network = IPv4Network(f"{entry.address}/{entry.prefix}", strict=False)
        except ValueError:  # of IPv6, or of nothing that is one
            continue
        if network.prefixlen < network.max_prefixlen:
            yield entry, network


def _own_network(evidence: Evidence, standby: HostSeen, peer: str) -> str:
    """The NIC of the standby's whose network has the client's address, which is then looked for there."""
    subnets = {str(n.address) for n in evidence.cluster.nodes} | {str(n.second_address) for n in evidence.cluster.nodes}
    for entry, network in _networks(standby):
        if entry.address not in subnets and ip_address(peer) in network:
            return f"there {network} is the network of its own NIC {entry.interface}, and answers go that way"
    return ""


def _shut_out(evidence: Evidence, active: HostSeen, standby: HostSeen, peer: str, port: int) -> str:
    """The rule by which the standby's firewall surely drops what the active node's lets in."""
    cluster = evidence.cluster
    verdicts = []
    for host in (active, standby):
        node = cluster.node(host.name)
        target = str(node.address if cluster.design is Design.NAT else cluster.vip)
        if host.firewall is None:
            return ""
        syn = host.place_packet(cluster.vip, Packet(peer, target, port, in_nic=host.nic_of(node.address)))
        verdicts.append(opening(host.firewall, syn).decision)
    here, there = verdicts
    return f"its firewall stops them by {there.rule}" if there.passes is False and here.passes is not False else ""
