"""NICs: down, without the address that the cluster file says they have, in a bridge with it, or with a foreign hardware address."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.cluster_nics import ClusterNic, cluster_nics, explained_patterns, has_answers, is_felt
from harness.diagnosis.evidence import DOWN, Evidence, HostSeen, Link
from harness.diagnosis.required_flows import join_names
from harness.diagnosis.rules.network import arp, own_addresses, shapers
from harness.diagnosis.rules.network.host_firewall import BESIDE

# What takes over all that its ports receive. A NIC keeps its address in a VRF; of other masters it is not known.
TAKES_ALL = {"bridge": "the bridge", "bond": "the bond", "team": "the team", "openvswitch": "the Open vSwitch"}


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    for node, host in evidence.nodes:
        for address, subnet in ((node.address, "Subnet#1"), (node.second_address, "Subnet#2")):
            if host.addresses is not None:
                yield from _address_causes(evidence, host, str(address), subnet)
    yield from _no_address_of_the_client(evidence)
    yield from _loopback(evidence)
    for nic in cluster_nics(evidence):
        yield from _enslaved(evidence, nic)
        yield from _foreign_hardware(evidence, nic)
    yield from _dead_path(evidence)


def at_fault(evidence: Evidence) -> frozenset[str]:
    """The hosts whose own NIC in Subnet#1 is what loses packets: of their silence nothing follows for Azure, nor for the way to them."""
    first_subnet_nics = [nic for nic in cluster_nics(evidence) if nic.subnet == "Subnet#1"]
    nic_causes = [
        c
        for nic in first_subnet_nics
        for rule in (_enslaved, _foreign_hardware, shapers.held_back, own_addresses.disowned, arp.asks_nobody)
        for c in rule(evidence, nic)
    ]
    return frozenset(c.host for c in nic_causes if c.is_fault)


def _address_causes(evidence: Evidence, host: HostSeen, address: str, subnet: str) -> Iterator[Cause]:
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


def _no_address_of_the_client(evidence: Evidence) -> Iterator[Cause]:
    """Its attempts are told by their own sockets, so paths may pass; but rules, routes and security groups are judged for the file's."""
    client = evidence.cluster.client
    host = evidence.hosts.get(client.name)
    if host is None or not host.addresses or host.nic_of(client.address) is not None:
        return
    others = [f"{a.address} on {a.interface}" for a in host.addresses if a.interface != "lo" and ":" not in a.address]
    yield Cause(
        f"the cluster file's address of the client, {client.address}, is on none of the NICs of {client.name}, which has "
        f"{join_names(others) if others else 'none'}: what is judged for the client, its routes, firewalls and security groups, is judged "
        "for a stranger",
        client.name,
        Certainty.CERTAIN,
        f"correct client.address in the cluster file, or give {client.name} its address again",
        (f"`ip addr` on {client.name}: {client.address} is not there",),
        explains=tuple(p.name for p in evidence.failed if p.origin == client.name),
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


def _enslaved(evidence: Evidence, nic: ClusterNic) -> Iterator[Cause]:
    """With accelerated networking Azure's VF is a slave of the NIC: it has no address, and is none of these."""
    link = nic.seen.links.get(nic.nic, Link())
    if not link.master:
        return
    felt = is_felt(evidence, nic) and not has_answers(evidence, nic)
    if link.kind in TAKES_ALL:
        yield Cause(
            f"{nic} is a port of {TAKES_ALL[link.kind]} {link.master}, and the address stayed on the NIC: what arrives there is "
            f"{link.master}'s, and is not taken for the address of {nic.nic}",
            nic.host,
            Certainty.POSSIBLE if not felt else Certainty.CERTAIN if nic.subnet == "Subnet#1" else Certainty.LIKELY,
            f"take it out (`ip link set {nic.nic} nomaster` on {nic.host}), or give the address and its routes to {link.master}, and see "
            "what enslaved it",
            (f"`ip link` on {nic.host}: {nic.nic} has the master {link.master} ({link.kind}); `ip addr`: {nic.address} is on {nic.nic}",),
            explains=explained_patterns(evidence, nic) if felt else (),
        )
        return
    what = f"the VRF {link.master}" if link.kind == "vrf" else f"{link.master}, its master"
    accepts = nic.seen.sysctls.get("tcp_l3mdev_accept")  # 1: who listens outside of every VRF is reached by all of them
    cut_off = felt and link.kind == "vrf" and accepts != "1"
    yield Cause(
        f"{nic} belongs to {what}: who listens or connects outside of that is not reached by it, and does not reach it",
        nic.host,
        Certainty.LIKELY if cut_off else Certainty.POSSIBLE,
        f"if nobody meant it: `ip link set {nic.nic} nomaster` on {nic.host}; if so, let the services run in it "
        "(`ip vrf exec`), or set net.ipv4.tcp_l3mdev_accept=1",
        (
            f"`ip link` on {nic.host}: {nic.nic} has the master {link.master}",
            *([f"net.ipv4 on {nic.host}: tcp_l3mdev_accept {accepts}"] if accepts is not None and link.kind == "vrf" else []),
        ),
        explains=explained_patterns(evidence, nic) if cut_off else (),
    )


def _foreign_hardware(evidence: Evidence, nic: ClusterNic) -> Iterator[Cause]:
    """Azure delivers by the hardware address that it gave a NIC, whatever the host made of it; the kernel drops what is for another."""
    link = nic.seen.links.get(nic.nic, Link())
    probes = evidence.probes.get(nic.host)
    astray = probes.misdelivered.get(nic.address, 0) if probes is not None and nic.nic in nic.seen.hardware else 0
    changed = link.permanent and link.permanent != link.hardware and link.kind not in ("bond", "team") and not link.master
    felt = is_felt(evidence, nic) and not has_answers(evidence, nic)
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
        explains=explained_patterns(evidence, nic) if felt else (),
    )


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
            peer_port = evidence.hosts.get(name, HostSeen(name)).port_between(cluster, ends)
            ports = f"{peer_port[0].upper()} port {peer_port[1]}" if peer_port else ""
            if (cause := _swallowed(evidence, path.addresses, ends, subnet)) is not None:
                yield cause
                continue
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


def _swallowed(evidence: Evidence, path: str, ends: frozenset[str], subnet: str) -> Cause | None:
    """What the other node's manager begins was seen at this node's NIC: no security group keeps it back."""
    for node in evidence.cluster.nodes:
        probes = evidence.probes.get(node.name)
        own = next((a for a in sorted(ends) if a in (str(node.address), str(node.second_address))), "")
        if probes is None or not probes.swallowed.get(own):
            continue
        peer = evidence.cluster.peer_of(node.name).name
        return Cause(
            f"the communication path {path} in {subnet} is dead, though the cluster manager runs on both nodes: what {peer} sends to {own} "
            f"arrives at the NIC of {node.name}, and its kernel neither answers nor refuses it",
            node.name,
            Certainty.LIKELY,
            f"look on {node.name} {BESIDE}; with the last path gone both nodes start everything",
            (f"the packet capture on {node.name}: SYNs of {peer} to {own} arrived, and no SYN-ACK or RST left",),
            explains=("*:communication path",),
            general=True,
        )
    return None
