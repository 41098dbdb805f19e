"""NICs: down, or without the address that the cluster file says they have; and neighbours that are written down by hand."""

from __future__ import annotations

from collections.abc import Iterator

from harness.config.cluster_config import Cluster, Machine
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import DOWN, Evidence, HostSeen
from harness.diagnosis.firewall import ArpPacket, Outcome, evaluate_arp
from harness.managers.manager_registry import manager_class

FABRIC = "12:34:56:78:9a:bc"  # FAB-04


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    for node, seen in evidence.nodes:
        for address, subnet in ((node.address, "Subnet#1"), (node.second_address, "Subnet#2")):
            if seen.addresses is not None:
                yield from _of(evidence, seen, str(address), subnet)
    yield from _loopback(evidence)
    yield from _without_arp(evidence)
    yield from _arp_filtered(evidence)
    yield from _written_down(evidence)
    yield from _dead_path(evidence)


def _of(evidence: Evidence, seen: HostSeen, address: str, subnet: str) -> Iterator[Cause]:
    found = next((a for a in seen.addresses or () if a.address == address), None)
    begun_there = tuple(p.name for p in evidence.failed if p.origin == seen.name)
    mine = () if subnet != "Subnet#1" else ("*/*",) if seen.name == evidence.active else begun_there
    explains = (*mine, "*:communication path", f"{seen.name}:route to the VIP", f"{seen.name}:route to the probe")
    if found is None:
        yield Cause(
            f"{seen.name}'s address {address} in {subnet} is on none of its NICs",
            seen.name,
            Certainty.CERTAIN,
            "give the NIC its address again (DHCP in Azure), or correct the cluster file",
            (f"`ip addr` on {seen.name}: {address} is not there",),
            explains=explains,
        )
    elif found.state in DOWN:
        yield Cause(
            f"{seen.name}'s NIC {found.interface} in {subnet} ({address}) is down (link {found.state}): the communication path over "
            f"it is dead, and the IP resource "
            "could not be held there",
            seen.name,
            Certainty.CERTAIN,
            f"bring it up: `ip link set {found.interface} up`, and see what took it down",
            (f"`ip addr` on {seen.name}: {found.interface} state {found.state}",),
            explains=explains,
        )


def _loopback(evidence: Evidence) -> Iterator[Cause]:
    """What a host sends to an address of its own, the VIP too, goes by lo, whatever NIC has the address."""
    for name, seen in evidence.hosts.items():
        lo = next((a for a in seen.addresses or () if a.interface == "lo"), None)
        if lo is not None and lo.state in DOWN:
            yield Cause(
                f"the loopback NIC lo of {name} is down: what it sends to its own addresses is lost, the VIP's on the active node",
                name,
                Certainty.CERTAIN,
                f"`ip link set lo up` on {name}, and see what took it down",
                (f"`ip addr` on {name}: lo state {lo.state}",),
                explains=tuple(p.name for p in evidence.failed if p.origin == name and p.path == "inside"),
            )


def _without_arp(evidence: Evidence) -> Iterator[Cause]:
    """A NIC that asks nobody for hardware addresses, and answers nobody: in Azure its packets reach nobody (facts FAB-04)."""
    nics = {m.name: {str(m.address): "Subnet#1"} for m in evidence.cluster.machines}
    for node in evidence.cluster.nodes:
        nics[node.name][str(node.second_address)] = "Subnet#2"
    for name, seen in evidence.hosts.items():
        for address, subnet in nics.get(name, {}).items():
            nic = seen.nic_of(address)
            if nic is None or nic not in seen.without_arp:
                continue
            active = name == evidence.active and subnet == "Subnet#1"
            paths = ("*/*",) if active else tuple(p.name for p in evidence.failed if p.origin == name)
            yield Cause(
                f"{name}'s NIC {nic} in {subnet} ({address}) is set to use no ARP (flag NOARP): what it sends reaches nobody",
                name,
                Certainty.CERTAIN,
                f"`ip link set {nic} arp on` on {name}, and see what set it",
                (f"`ip addr` on {name}: {nic} has the flag NOARP",),
                explains=(*paths, "*:communication path"),
            )


def _arp_filtered(evidence: Evidence) -> Iterator[Cause]:
    """Tables of the family arp: whom they drop resolves nobody's hardware address, or tells nobody its own. Where a rule may mean
    something else (what it depends on was not seen) it is possible only, and told where nothing else explains what is lost in silence."""
    for machine in evidence.cluster.machines:
        seen = evidence.hosts.get(machine.name)
        nic = seen.nic_of(machine.address) if seen is not None else None
        if seen is None or seen.firewall is None or nic is None:
            continue
        stopped: dict[str, list[str]] = {}
        doubted: dict[str, list[str]] = {}
        for packet, other in _arp_packets(evidence.cluster, machine, nic):
            decision = evaluate_arp(seen.firewall, packet)
            if decision.rule and decision.passes is not True:
                (stopped if decision.outcome is Outcome.DROP else doubted).setdefault(decision.rule, []).append(other)
        sure = bool(stopped)
        for rule, others in list((stopped or doubted).items())[:1]:
            mine = [p for p in evidence.failed if p.silent and machine.name in (p.origin, evidence.active)]
            lost = [p.name for p in mine if "" in others or machine.name == p.origin or p.origin in others]
            yield Cause(
                f"a filter of ARP on {machine.name} {'drops' if sure else 'may drop'} what is asked or answered by {nic}: {rule}; who is "
                "not resolved gets no packet, and no error says so",
                machine.name,
                Certainty.LIKELY if sure and lost else Certainty.POSSIBLE,
                f"see what put that table there (`nft list tables arp`, `arptables -L`), and let ARP pass by {nic}",
                (f"the ruleset of {machine.name}: {rule}",),
                f"`ip neigh` on {machine.name} shows whom it cannot resolve",
                explains=(*lost, *(("*:communication path",) if lost else ())),
                general=not sure,
            )


def _arp_packets(cluster: Cluster, machine: Machine, nic: str) -> Iterator[tuple[ArpPacket, str]]:
    """What asks for this machine's hardware address or tells it, and what it asks and is told, each with whose packets depend on it: "" for
    everybody's, where Azure's fabric itself asks."""
    own = str(machine.address)
    yield ArpPacket("input", nic, True, None, own), ""
    yield ArpPacket("output", nic, False, own, None), ""
    others = {str(m.address): m.name for m in cluster.machines if m is not machine} | {str(cluster.vip): machine.name}
    for address, name in others.items():
        yield ArpPacket("output", nic, True, own, address), name
        yield ArpPacket("input", nic, False, address, own), name


def _written_down(evidence: Evidence) -> Iterator[Cause]:
    """In Azure every address of the subnet is answered for by one and the same hardware address (facts FAB-04 to FAB-06)."""
    cluster = evidence.cluster
    vip = str(cluster.vip)
    names = {vip: "the load balancer's frontend", **{str(m.address): m.name for m in cluster.machines}}
    names |= {str(n.second_address): n.name for n in cluster.nodes}
    for name, seen in evidence.hosts.items():
        gateways = {r.gateway: f"the gateway on its way to {to}" for (to, _), r in seen.routes.items() if r.gateway}
        for address, hardware in seen.neighbours.items():
            if hardware.lower() == FABRIC:
                continue
            if address in gateways and address not in names:
                yield _wrong_gateway(evidence, name, address, gateways[address], hardware)
            if address not in names:
                continue
            to_vip = [p.name for p in evidence.failed if p.origin == name and address == vip]
            answers = [p.name for p in evidence.failed if name == evidence.active and names[address] == p.origin]
            second = address in {str(n.second_address) for n in cluster.nodes}
            yield Cause(
                f"{name} has a neighbour entry for {address} ({names[address]}) that somebody wrote down (lladdr {hardware}, PERMANENT): "
                f"its packets to {address} go to that machine, and ARP is not asked",
                name,
                Certainty.CERTAIN if to_vip or answers else Certainty.LIKELY,
                f"take it away: `ip neigh del {address} dev …` on {name}, and where it is configured",
                (f"`ip neigh show nud permanent` on {name}: {address} lladdr {hardware}; Azure answers every ARP query with {FABRIC}",),
                explains=(*to_vip, *answers, *(("*:communication path",) if second or address != vip else ())),
            )


def _wrong_gateway(evidence: Evidence, name: str, address: str, what: str, hardware: str) -> Cause:
    probes = evidence.probes.get(name)
    felt = name == evidence.active and probes is not None and bool(probes.answered) and any(p.silent for p in evidence.failed)
    return Cause(
        f"{name} has a neighbour entry for {address} ({what}) that somebody wrote down (lladdr {hardware}, PERMANENT): what it sends by "
        "that gateway goes to that machine, as its answers to the probe, and ARP is not asked",
        name,
        Certainty.CERTAIN if felt else Certainty.LIKELY,
        f"take it away: `ip neigh del {address} dev …` on {name}, and where it is configured",
        (f"`ip neigh show nud permanent` on {name}: {address} lladdr {hardware}; Azure answers every ARP query with {FABRIC}",),
        explains=("client/*", "standby/*", f"{name}:probe port") if name == evidence.active else (),
    )


def _dead_path(evidence: Evidence) -> Iterator[Cause]:
    """Told only where nothing of the nodes themselves explains it: what is between them in Azure is their security groups and routes."""
    cluster = evidence.cluster
    subnets = {str(n.second_address): "Subnet#2" for n in cluster.nodes} | {str(n.address): "Subnet#1" for n in cluster.nodes}
    told: set[frozenset[str]] = set()
    for name, state in evidence.state.nodes.items():
        for path in state.comm_paths:
            ends = frozenset(path.addresses.split("/"))
            subnet = next((subnets[e] for e in sorted(ends) if e in subnets), None)
            if path.alive or subnet is None or ends in told or not all(n.running for n in evidence.state.nodes.values()):
                continue
            told.add(ends)
            peer_port = manager_class(cluster).peer_port
            ports = f"{peer_port[0].upper()} port {peer_port[1]}" if peer_port else ""
            yield Cause(
                f"the communication path {path.addresses} in {subnet} is dead, though the cluster manager runs on both nodes: a network "
                f"security group (NSG) rule there denies {ports or 'its port'} between them, or a route takes it elsewhere",
                name,
                Certainty.LIKELY,
                f"look at the security rules of both nodes' NICs in {subnet} for {ports or 'that port'}"
                "; with the last path gone both nodes start everything",
                (f"the cluster manager on {name}: {path.addresses} is dead; both NICs have their addresses, and are up",),
                explains=("*:communication path",),
                general=True,
            )
