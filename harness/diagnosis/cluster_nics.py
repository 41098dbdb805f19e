"""The NICs that have an address of the cluster file, and what is lost over one of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.config.cluster_config import Cluster
from harness.diagnosis.evidence import Evidence, HostSeen


@dataclass(frozen=True)
class ClusterNic:
    """A NIC that has an address of the cluster file."""

    seen: HostSeen
    nic: str
    address: str
    subnet: str

    @property
    def host(self) -> str:
        """The name of its host."""
        return self.seen.name

    def __str__(self) -> str:
        return f"{self.host}'s NIC {self.nic} in {self.subnet} ({self.address})"


def cluster_nics(evidence: Evidence) -> Iterator[ClusterNic]:
    """Those that are up, of all hosts that were looked at."""
    cluster_addresses = [(m.name, str(m.address), "Subnet#1") for m in evidence.cluster.machines]
    cluster_addresses += [(n.name, str(n.second_address), "Subnet#2") for n in evidence.cluster.nodes]
    for name, address, subnet in cluster_addresses:
        host = evidence.hosts.get(name)
        if host is not None and (nic := host.nic_of(address)) is not None and host.is_up(address):
            yield ClusterNic(host, nic, address, subnet)


def lost_paths(evidence: Evidence, nic: ClusterNic) -> tuple[str, ...]:
    """The paths that fail over this NIC because something does not come through."""
    if nic.subnet != "Subnet#1":
        return ()
    felt = [p for p in evidence.failed if p.path != "inside" and ("silent" in p.outcomes or p.full is False or p.hung)]
    return tuple(p.name for p in felt if nic.host in (p.origin, evidence.active))


def is_felt(evidence: Evidence, nic: ClusterNic) -> bool:
    """Is anything lost that goes by this NIC: of a path, of what was tried to its address, of the communication of managers that run?"""
    run = all(n.running for n in evidence.state.nodes.values())
    ends = [p.addresses.split("/") for n in evidence.state.nodes.values() for p in n.comm_paths if run and not p.alive]
    attempts = [d for d in evidence.direct if d.node == nic.host and nic.subnet == "Subnet#1" and not evidence.stealthy(d.node, d.port)]
    silent = any(d.outcome == "silent" for d in attempts)
    return bool(lost_paths(evidence, nic)) or silent or any(nic.address in both for both in ends)


def lost_ports(evidence: Evidence, nic: ClusterNic) -> frozenset[int]:
    """Of what the cluster has, the ports where nothing comes back that goes by this NIC, the probe's where it arrives and is not heeded."""
    if nic.subnet != "Subnet#1":
        return frozenset()
    names, probe = lost_paths(evidence, nic), evidence.cluster.load_balancer.probe.port
    ports = {p.service.port for p in evidence.failed if p.name in names}
    ports |= {d.port for d in evidence.direct if d.node == nic.host and d.outcome == "silent" and not evidence.stealthy(d.node, d.port)}
    probes = evidence.probes.get(nic.host)
    unheeded = probes is not None and bool(probes.syns.get(probe)) and not probes.answered and not probes.refused
    return frozenset(ports | ({probe} if unheeded else set()))


def has_answers(evidence: Evidence, nic: ClusterNic) -> bool:
    """Was anything at all answered or refused over this NIC? Then it is not cut off, whatever is lost besides."""
    if nic.subnet != "Subnet#1":
        return False
    outcomes = [d.outcome for d in evidence.direct if nic.host in (d.node, d.origin)]
    outside = [p for p in evidence.paths if p.path != "inside" and (nic.host == p.origin or nic.host in p.nodes)]
    probes = evidence.probes.get(nic.host)
    by_probe = probes is not None and bool(probes.answered or probes.refused)
    return by_probe or any(o in ("answered", "refused") for o in (*outcomes, *(o for p in outside for o in p.outcomes)))


def explained_patterns(evidence: Evidence, nic: ClusterNic) -> tuple[str, ...]:
    """What follows from a NIC that loses packets, as patterns of symptoms."""
    return (*lost_paths(evidence, nic), "*:communication path")


def is_vip_on_first_nics(cluster: Cluster, active: str | None, hosts: Mapping[str, HostSeen | None]) -> bool:
    """Is the VIP on the active node's NIC in Subnet#1, and has the manager's configuration of both nodes it there, or leave the NIC to
    routes? Other vendors' recipes put it there: it goes to no wrong NIC then, wherever the cluster file would have it."""
    holder = hosts.get(active or "")
    if holder is None or active is None or holder.nic_of(cluster.vip) is None:
        return False
    for node in cluster.nodes:
        host = hosts.get(node.name)
        first = host.nic_of(node.address) if host is not None else None
        if host is None or first is None or "ip address" not in host.units or host.units.get("ip nic", first) != first:
            return False
    return holder.nic_of(cluster.vip) == holder.nic_of(cluster.node(active).address)
