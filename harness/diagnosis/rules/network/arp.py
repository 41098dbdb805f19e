"""Neighbours: NICs that send no ARP queries, or none to everybody, or filter ARP, and neighbours that are written down by hand."""

from __future__ import annotations

from collections.abc import Iterator

from harness.config.cluster_config import Cluster, Machine
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.cluster_nics import ClusterNic, cluster_nics, explained_patterns, is_felt
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.diagnosis.firewall import ArpPacket, Outcome, evaluate_arp

FABRIC = "12:34:56:78:9a:bc"  # FAB-04


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    yield from _without_arp(evidence)
    for nic in cluster_nics(evidence):
        yield from asks_nobody(evidence, nic)
    yield from _arp_filtered(evidence)
    yield from _written_down(evidence)


def _without_arp(evidence: Evidence) -> Iterator[Cause]:
    """A NIC that asks nobody for hardware addresses, and answers nobody: in Azure its packets reach nobody (facts FAB-04)."""
    nics = {m.name: {str(m.address): "Subnet#1"} for m in evidence.cluster.machines}
    for node in evidence.cluster.nodes:
        nics[node.name][str(node.second_address)] = "Subnet#2"
    for name, host in evidence.hosts.items():
        for address, subnet in nics.get(name, {}).items():
            nic = host.nic_of(address)
            if nic is None or nic not in host.without_arp:
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


def asks_nobody(evidence: Evidence, nic: ClusterNic) -> Iterator[Cause]:
    """A NIC that is to send no ARP query for an address that it does not know: the kernel fails at once. What it knows goes on working."""
    asked = {name: nic.seen.sysctls.get(f"neigh.{nic.nic}.{name}") for name in ("mcast_solicit", "app_solicit")}
    if asked["mcast_solicit"] != "0" or asked["app_solicit"] not in ("0", None):
        return
    felt = is_felt(evidence, nic)
    paths = tuple(p.name for p in evidence.failed if nic.subnet == "Subnet#1" and nic.host in (p.origin, evidence.active))
    yield Cause(
        f"{nic} is to ask nobody for a hardware address (net.ipv4.neigh.{nic.nic}.mcast_solicit is 0): whom it does not know yet, or has "
        "forgotten, gets nothing from it",
        nic.host,
        Certainty.CERTAIN if felt else Certainty.LIKELY,
        f"set net.ipv4.neigh.{nic.nic}.mcast_solicit=3 on {nic.host}, below /etc/sysctl.d too, and see what set it to 0",
        (f"net.ipv4.neigh on {nic.host}: {nic.nic}/mcast_solicit 0, {nic.nic}/app_solicit {asked['app_solicit'] or 'not told'}",),
        explains=(*explained_patterns(evidence, nic), *paths) if felt else (),
    )


def _arp_filtered(evidence: Evidence) -> Iterator[Cause]:
    """Tables of the family arp: whom they drop resolves nobody's hardware address, or tells nobody its own. Where a rule may mean
    something else (what it depends on was not seen) it is possible only, and told where nothing else explains what is lost in silence."""
    for machine in evidence.cluster.machines:
        host = evidence.hosts.get(machine.name)
        nic = host.nic_of(machine.address) if host is not None else None
        if host is None or host.firewall is None or nic is None:
            continue
        stopped: dict[str, list[str]] = {}
        doubted: dict[str, list[str]] = {}
        for packet, other in _arp_packets(evidence.cluster, machine, nic):
            decision = evaluate_arp(host.firewall, packet)
            if decision.rule and decision.passes is not True:
                (stopped if decision.outcome is Outcome.DROP else doubted).setdefault(decision.rule, []).append(other)
        sure = bool(stopped)
        for rule, affected in list((stopped or doubted).items())[:1]:
            silent_paths = [p for p in evidence.failed if p.silent and machine.name in (p.origin, evidence.active)]
            lost_paths = [p.name for p in silent_paths if "" in affected or machine.name == p.origin or p.origin in affected]
            yield Cause(
                f"a filter of ARP on {machine.name} {'drops' if sure else 'may drop'} what is asked or answered by {nic}: {rule}; who is "
                "not resolved gets no packet, and no error says so",
                machine.name,
                Certainty.LIKELY if sure and lost_paths else Certainty.POSSIBLE,
                f"see what put that table there (`nft list tables arp`, `arptables -L`), and let ARP pass by {nic}",
                (f"the ruleset of {machine.name}: {rule}",),
                f"`ip neigh` on {machine.name} shows whom it cannot resolve",
                explains=(*lost_paths, *(("*:communication path",) if lost_paths else ())),
                general=not sure,
            )


def _arp_packets(cluster: Cluster, machine: Machine, nic: str) -> Iterator[tuple[ArpPacket, str]]:
    """What asks for this machine's hardware address or tells it, and what it asks and is told, each with whose packets depend on it: "" for
    everybody's, where Azure's fabric itself asks."""
    own_address = str(machine.address)
    yield ArpPacket("input", nic, True, None, own_address), ""
    yield ArpPacket("output", nic, False, own_address, None), ""
    names_by_address = {str(m.address): m.name for m in cluster.machines if m is not machine} | {str(cluster.vip): machine.name}
    for address, name in names_by_address.items():
        yield ArpPacket("output", nic, True, own_address, address), name
        yield ArpPacket("input", nic, False, address, own_address), name


def is_foreign_neighbour(host: HostSeen, address: str) -> bool:
    """Did somebody write down another hardware address for it than the one that Azure answers every query with?"""
    return host.neighbours.get(address, FABRIC).lower() != FABRIC


def _written_down(evidence: Evidence) -> Iterator[Cause]:
    """In Azure every address of the subnet is answered for by one and the same hardware address (facts FAB-04 to FAB-06)."""
    cluster = evidence.cluster
    vip = str(cluster.vip)
    names = {vip: "the load balancer's frontend", **{str(m.address): m.name for m in cluster.machines}}
    names |= {str(n.second_address): n.name for n in cluster.nodes}
    for name, host in evidence.hosts.items():
        gateways = {r.gateway: f"the gateway on its way to {to}" for (to, _), r in host.routes.items() if r.gateway}
        for address, hardware in host.neighbours.items():
            if not is_foreign_neighbour(host, address):
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
