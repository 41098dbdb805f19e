"""NICs: down, or without the address that the cluster file says they have, in a bridge with it, with a foreign hardware address, or held
back by a shaper; and neighbours that are written down by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.config.cluster_config import Cluster, Machine
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import DOWN, Evidence, HostSeen, Link
from harness.diagnosis.firewall import ArpPacket, Outcome, evaluate_arp
from harness.diagnosis.host_config.queueing import Queue
from harness.managers.manager_registry import manager_class

FABRIC = "12:34:56:78:9a:bc"  # FAB-04
STRANGLING_BITS_S = 1e6  # nothing that a cluster serves is meant to be slower than that
MANY_DROPS = 0.05  # of what a shaper got: less is how it tells a sender to slow down
LONG_DELAY_S = 1.0
USUAL_MTU = 1500  # of Azure's NICs, where it was not told
ETHERNET_HEADER = 14  # bytes, which a queueing discipline counts
# What takes over all that its ports receive. A NIC keeps its address in a VRF; of other masters it is not known.
TAKES_ALL = {"bridge": "the bridge", "bond": "the bond", "team": "the team", "openvswitch": "the Open vSwitch"}


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    for node, host in evidence.nodes:
        for address, subnet in ((node.address, "Subnet#1"), (node.second_address, "Subnet#2")):
            if host.addresses is not None:
                yield from _of(evidence, host, str(address), subnet)
    yield from _loopback(evidence)
    yield from _without_arp(evidence)
    yield from _arp_filtered(evidence)
    yield from _written_down(evidence)
    for nic in _cluster_nics(evidence):
        yield from _enslaved(evidence, nic)
        yield from _foreign_hardware(evidence, nic)
        yield from _held_back(evidence, nic)
    yield from _dead_path(evidence)


def at_fault(evidence: Evidence) -> frozenset[str]:
    """The hosts whose own NIC in Subnet#1 is what loses packets: of their silence nothing follows for Azure, nor for the way to them."""
    first_subnet_nics = [nic for nic in _cluster_nics(evidence) if nic.subnet == "Subnet#1"]
    nic_causes = [c for nic in first_subnet_nics for rule in (_enslaved, _foreign_hardware, _held_back) for c in rule(evidence, nic)]
    return frozenset(c.host for c in nic_causes if c.is_fault)


def _of(evidence: Evidence, host: HostSeen, address: str, subnet: str) -> Iterator[Cause]:
    assigned = next((a for a in host.addresses or () if a.address == address), None)
    begun_there = tuple(p.name for p in evidence.failed if p.origin == host.name)
    path_patterns = () if subnet != "Subnet#1" else ("*/*",) if host.name == evidence.active else begun_there
    explains = (*path_patterns, "*:communication path", f"{host.name}:route to the VIP", f"{host.name}:route to the probe")
    if assigned is None:
        yield Cause(
            f"{host.name}'s address {address} in {subnet} is on none of its NICs",
            host.name,
            Certainty.CERTAIN,
            "give the NIC its address again (DHCP in Azure), or correct the cluster file",
            (f"`ip addr` on {host.name}: {address} is not there",),
            explains=explains,
        )
    elif assigned.state in DOWN:
        yield Cause(
            f"{host.name}'s NIC {assigned.interface} in {subnet} ({address}) is down (link {assigned.state}): the communication path over "
            f"it is dead, and the IP resource "
            "could not be held there",
            host.name,
            Certainty.CERTAIN,
            f"bring it up: `ip link set {assigned.interface} up`, and see what took it down",
            (f"`ip addr` on {host.name}: {assigned.interface} state {assigned.state}",),
            explains=explains,
        )


def _loopback(evidence: Evidence) -> Iterator[Cause]:
    """What a host sends to an address of its own, the VIP too, goes by lo, whatever NIC has the address."""
    for name, host in evidence.hosts.items():
        lo = next((a for a in host.addresses or () if a.interface == "lo"), None)
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


def _written_down(evidence: Evidence) -> Iterator[Cause]:
    """In Azure every address of the subnet is answered for by one and the same hardware address (facts FAB-04 to FAB-06)."""
    cluster = evidence.cluster
    vip = str(cluster.vip)
    names = {vip: "the load balancer's frontend", **{str(m.address): m.name for m in cluster.machines}}
    names |= {str(n.second_address): n.name for n in cluster.nodes}
    for name, host in evidence.hosts.items():
        gateways = {r.gateway: f"the gateway on its way to {to}" for (to, _), r in host.routes.items() if r.gateway}
        for address, hardware in host.neighbours.items():
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


@dataclass(frozen=True)
class _Nic:
    """A NIC that has an address of the cluster file."""

    seen: HostSeen
    nic: str
    address: str
    subnet: str

    @property
    def host(self) -> str:
        return self.seen.name

    def __str__(self) -> str:
        return f"{self.host}'s NIC {self.nic} in {self.subnet} ({self.address})"


def _cluster_nics(evidence: Evidence) -> Iterator[_Nic]:
    cluster_addresses = [(m.name, str(m.address), "Subnet#1") for m in evidence.cluster.machines]
    cluster_addresses += [(n.name, str(n.second_address), "Subnet#2") for n in evidence.cluster.nodes]
    for name, address, subnet in cluster_addresses:
        host = evidence.hosts.get(name)
        if host is not None and (nic := host.nic_of(address)) is not None and host.is_up(address):
            yield _Nic(host, nic, address, subnet)


def _lost_paths(evidence: Evidence, nic: _Nic) -> tuple[str, ...]:
    """The paths that fail over this NIC because something does not come through."""
    if nic.subnet != "Subnet#1":
        return ()
    felt = [p for p in evidence.failed if p.path != "inside" and ("silent" in p.outcomes or p.full is False or p.hung)]
    return tuple(p.name for p in felt if nic.host in (p.origin, evidence.active))


def _is_felt(evidence: Evidence, nic: _Nic) -> bool:
    """Is anything lost that goes by this NIC: of a path, of what was tried to its address, of the communication of managers that run?"""
    run = all(n.running for n in evidence.state.nodes.values())
    ends = [p.addresses.split("/") for n in evidence.state.nodes.values() for p in n.comm_paths if run and not p.alive]
    attempts = [d for d in evidence.direct if d.node == nic.host and nic.subnet == "Subnet#1" and not evidence.stealthy(d.node, d.port)]
    silent = any(d.outcome == "silent" for d in attempts)
    return bool(_lost_paths(evidence, nic)) or silent or any(nic.address in both for both in ends)


def _has_answers(evidence: Evidence, nic: _Nic) -> bool:
    """Was anything at all answered or refused over this NIC? Then it is not cut off, whatever is lost besides."""
    if nic.subnet != "Subnet#1":
        return False
    outcomes = [d.outcome for d in evidence.direct if nic.host in (d.node, d.origin)]
    outside = [p for p in evidence.paths if p.path != "inside" and (nic.host == p.origin or nic.host in p.nodes)]
    probes = evidence.probes.get(nic.host)
    by_probe = probes is not None and bool(probes.answered or probes.refused)
    return by_probe or any(o in ("answered", "refused") for o in (*outcomes, *(o for p in outside for o in p.outcomes)))


def _explains(evidence: Evidence, nic: _Nic) -> tuple[str, ...]:
    return (*_lost_paths(evidence, nic), "*:communication path")


def _enslaved(evidence: Evidence, nic: _Nic) -> Iterator[Cause]:
    """With accelerated networking Azure's VF is a slave of the NIC: it has no address, and is none of these."""
    link = nic.seen.links.get(nic.nic, Link())
    if not link.master:
        return
    felt = _is_felt(evidence, nic) and not _has_answers(evidence, nic)
    if link.kind in TAKES_ALL:
        yield Cause(
            f"{nic} is a port of {TAKES_ALL[link.kind]} {link.master}, and the address stayed on the NIC: what arrives there is "
            f"{link.master}'s, and is not taken for the address of {nic.nic}",
            nic.host,
            Certainty.POSSIBLE if not felt else Certainty.CERTAIN if nic.subnet == "Subnet#1" else Certainty.LIKELY,
            f"take it out (`ip link set {nic.nic} nomaster` on {nic.host}), or give the address and its routes to {link.master}, and see "
            "what enslaved it",
            (f"`ip link` on {nic.host}: {nic.nic} has the master {link.master} ({link.kind}); `ip addr`: {nic.address} is on {nic.nic}",),
            explains=_explains(evidence, nic) if felt else (),
        )
        return
    what = f"the VRF {link.master}" if link.kind == "vrf" else f"{link.master}, its master"
    yield Cause(
        f"{nic} belongs to {what}: who listens or connects outside of that is not reached by it, and does not reach it",
        nic.host,
        Certainty.POSSIBLE,
        f"if nobody meant it: `ip link set {nic.nic} nomaster` on {nic.host}; if so, let the services run in it "
        "(`ip vrf exec`), or set net.ipv4.tcp_l3mdev_accept=1",
        (f"`ip link` on {nic.host}: {nic.nic} has the master {link.master}",),
    )


def _foreign_hardware(evidence: Evidence, nic: _Nic) -> Iterator[Cause]:
    """Azure delivers by the hardware address that it gave a NIC, whatever the host made of it; the kernel drops what is for another."""
    link = nic.seen.links.get(nic.nic, Link())
    probes = evidence.probes.get(nic.host)
    astray = probes.misdelivered.get(nic.address, 0) if probes is not None and nic.nic in nic.seen.hardware else 0
    changed = link.permanent and link.permanent != link.hardware and link.kind not in ("bond", "team") and not link.master
    felt = _is_felt(evidence, nic) and not _has_answers(evidence, nic)
    if not changed and not (astray and felt):
        return
    current_address = link.hardware if changed else nic.seen.hardware.get(nic.nic, "")
    lines = [
        f"`ip link` on {nic.host}: {nic.nic} has {current_address}" + (f", its permanent address is {link.permanent}" if changed else "")
    ]
    if astray:
        lines += [f"the packet capture on {nic.host}: frames for {nic.address} arrive for another hardware address than the NIC's own"]
    azure_address = f", {link.permanent}" if changed else ""
    yield Cause(
        f"{nic} has a hardware address (MAC){' ' + current_address if current_address else ''} that the network does not know it "
        "by: what is sent to "
        f"{nic.address} comes for {link.permanent if changed else 'another one'}, and the kernel drops it",
        nic.host,
        Certainty.CERTAIN if astray and felt else Certainty.LIKELY if felt else Certainty.POSSIBLE,
        f"give {nic.nic} the hardware address that Azure gave it{azure_address} (Azure's metadata and the portal "
        "tell it), and take the cloned one out of the host's network configuration (NetworkManager, netplan, ifcfg)",
        tuple(lines),
        explains=_explains(evidence, nic) if felt else (),
    )


def _held_back(evidence: Evidence, nic: _Nic) -> Iterator[Cause]:
    """A shaper at the NIC itself or at its slave: with accelerated networking the VF sends for it."""
    nics = {nic.nic, *(slave for slave, link in nic.seen.links.items() if link.master == nic.nic)}
    felt = _is_felt(evidence, nic)
    on_node = any(n.name == nic.host for n in evidence.cluster.nodes)
    there = [queue for queue in nic.seen.queues if queue.nic in nics]
    if (short := next((q for q in there if _cuts(q, nic)), None)) is not None and not _is_slow(short):
        yield _too_short(evidence, nic, short)
        return
    shapers = [(queue, sure) for queue in there if (sure := _certainty(queue, felt, on_node)) is not None]
    for queue, certainty in sorted(shapers, key=lambda each: each[1].rank)[:1]:
        where = "" if queue.nic == nic.nic else f" (at {queue.nic}, which sends for it)"
        way = f"`tc filter show dev {queue.nic} ingress` and `egress`" if queue.incoming else f"`tc qdisc del dev {queue.nic} root`"
        yield Cause(
            f"{nic} {_does(queue)}{where}",
            nic.host,
            certainty,
            f"take it away, if nobody meant it: {way} on {nic.host}, and see what set it",
            (
                f"`tc -s qdisc` on {nic.host}: {queue.shown}",
                f"of its packets {queue.dropped} were dropped, {queue.sent} sent, {queue.waiting} wait",
            ),
            explains=_explains(evidence, nic) if felt and certainty is not Certainty.POSSIBLE else (),
        )


def _cuts(queue: Queue, nic: _Nic) -> bool:
    """Does it let through no frame as long as the NIC's MTU makes them?"""
    return queue.whole and queue.largest is not None and queue.largest < nic.seen.mtus.get(nic.nic, USUAL_MTU) + ETHERNET_HEADER


def _too_short(evidence: Evidence, nic: _Nic, queue: Queue) -> Cause:
    """Small packets pass it, so that everything seems to work until somebody sends more."""
    lost_paths = tuple(p.name for p in evidence.failed if p.full is False and nic.host in (p.origin, evidence.active))
    return Cause(
        f"{nic} drops every packet longer than {queue.largest:g} bytes that it sends, by a queueing discipline (`tc` {queue.kind}) whose "
        f"burst is less than the MTU: short exchanges work, long answers hang",
        nic.host,
        Certainty.CERTAIN if lost_paths else Certainty.LIKELY,
        f"give it a burst of several MTUs, or take it away, if nobody meant it: `tc qdisc del dev {queue.nic} root` on {nic.host}; "
        "see what set it",
        (f"`tc -s qdisc` on {nic.host}: {queue.shown}", f"of its packets {queue.dropped} were dropped, {queue.sent} sent"),
        explains=(*lost_paths, *_explains(evidence, nic)),
    )


def _does(queue: Queue) -> str:
    """In words that do not change from look to look."""
    by_tc = f"`tc` {queue.kind}"
    if queue.kind == "drop":
        return "drops what a filter of tc at it takes (action drop)"
    sends = "all that it sends" if queue.whole else "some of what it sends"
    if queue.kind == "netem":
        words = [f"loses {queue.loss:g} %"] if queue.loss else []
        words += [f"delays by {queue.delay_s:g} s"] if queue.delay_s else []
        words += [f"limits to {_rate(queue.rate)}"] if queue.rate else []
        return f"has a queueing discipline for tests on {sends} ({by_tc}), which {' and '.join(words) or 'holds packets back'}"
    slow = "; what is larger than a handshake does not come through in time" if _is_slow(queue) else ""
    most = f" to {_rate(queue.rate)}" if queue.rate else ""
    what = "what it receives" if queue.incoming else sends
    return f"limits {what}{most}, by a {'policer' if queue.incoming else 'queueing discipline that shapes'} ({by_tc}){slow}"


def _rate(bits: float | None) -> str:
    for size, unit in ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")):
        if bits is not None and bits >= size:
            return f"{bits / size:g} {unit}"
    return f"{bits or 0:g} bit/s"


def _is_slow(queue: Queue) -> bool:
    return queue.rate is not None and queue.rate < STRANGLING_BITS_S


def _certainty(queue: Queue, felt: bool, on_node: bool) -> Certainty | None:
    """None for a shaper that is nobody's trouble. Where nothing fails yet, one that everything has to go through is the cluster's trouble
    at its next failover, if it is on a node; a client may be slow on purpose."""
    slow = _is_slow(queue)
    bad = slow or queue.loss >= 1 or queue.delay_s >= LONG_DELAY_S
    loses = queue.dropped > MANY_DROPS * (queue.sent + queue.dropped) or (slow and queue.waiting > 0)
    if felt and loses:
        likely = queue.whole or queue.kind == "netem"  # else who knows whether it is the cluster's packets
        return Certainty.CERTAIN if queue.whole and bad else Certainty.LIKELY if likely else Certainty.POSSIBLE
    if queue.whole and bad and not queue.incoming:
        return Certainty.LIKELY if felt or on_node else Certainty.POSSIBLE
    return None


def _dead_path(evidence: Evidence) -> Iterator[Cause]:
    """Told only where nothing of the nodes themselves explains it: what is between them in Azure is their security groups and routes."""
    cluster = evidence.cluster
    subnets = {str(n.second_address): "Subnet#2" for n in cluster.nodes} | {str(n.address): "Subnet#1" for n in cluster.nodes}
    handled_ends: set[frozenset[str]] = set()
    for name, state in evidence.state.nodes.items():
        for path in state.comm_paths:
            ends = frozenset(path.addresses.split("/"))
            subnet = next((subnets[e] for e in sorted(ends) if e in subnets), None)
            if path.alive or subnet is None or ends in handled_ends or not all(n.running for n in evidence.state.nodes.values()):
                continue
            handled_ends.add(ends)
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
