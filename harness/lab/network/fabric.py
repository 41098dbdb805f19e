"""The VNet: a layer-3 overlay in one network namespace, with a leg to every NIC.

Routing does Azure's work (facts, section 12): a /32 route per assigned address, proxy ARP so that every neighbour has
the fabric's one MAC, and a stub device where everything else disappears without a word.
"""

from __future__ import annotations

import subprocess
from ipaddress import IPv4Address
from pathlib import Path

from harness.config.cluster_config import Cluster
from harness.core.errors import Unusable
from harness.lab.topology import FABRIC_MAC, Nic, Topology

STUB = "stub"  # where frontends, unassigned addresses and the gateway live; nothing ever leaves through it
FLOATING_TABLE = 100  # plus a NIC's mark: the routing table of floating-IP flows down its leg


def up(cluster: Cluster, topology: Topology, namespaces: dict[str, str], arp_answers: str) -> None:
    """Make the fabric in this process's network namespace, with legs into `namespaces`: each host's network namespace, a pid or a path;
    the empty string where the legs are there already."""
    _forward_like_a_fabric()
    lines = [
        "link set lo up",
        f"link add {STUB} type veth peer name {STUB}-end",
        f"link set {STUB} arp off up",
        f"link set {STUB}-end arp off up",
        *(f"address add {a}/32 dev {STUB}" for a in own_addresses(cluster)),
    ]
    if arp_answers == "all":
        lines += [f"route add {net} dev {STUB}" for net in (cluster.subnet1, cluster.subnet2)]
    if arp_answers != "assigned":
        lines.append(f"route add {cluster.vip}/32 dev {STUB}")
    batch(lines + [line for host, namespace in namespaces.items() for line in _legs(cluster, topology.of(host), namespace)])
    for nic in topology.nics:
        if nic.host in namespaces:
            _answer_for_all_neighbours(nic.leg)


def own_addresses(cluster: Cluster) -> list[IPv4Address]:
    """The gateways and the address that probes come from (facts PRB-01)."""
    return [cluster.subnet1.network_address + 1, cluster.subnet2.network_address + 1, cluster.load_balancer.probe.source]


def attach(cluster: Cluster, topology: Topology, host: str, namespace: str) -> None:
    """Connect a host that has just been powered on; `namespace` is its network namespace, as `ip` takes it, or empty (see `up`)."""
    nics = topology.of(host)
    batch(_legs(cluster, nics, namespace))
    for nic in nics:
        _answer_for_all_neighbours(nic.leg)


def detach(topology: Topology, host: str) -> None:
    """Take the legs of a host away; what is sent to it then ends at the stub, in silence."""
    batch([f"link del {nic.leg}" for nic in topology.of(host)])


def guest_lines(nics: list[Nic], *, asks: bool = False) -> list[str]:
    """What a guest sets up inside, as DHCP would: only the first NIC gets a default gateway (facts FAB-11). One that `asks` for that by
    DHCP itself has its NICs with their hardware addresses, and nothing more."""
    lines = ["link set lo up"]
    if asks:
        return lines + [f"link set {nic.name} address {nic.mac}" for nic in nics]
    for nic in nics:
        lines += [f"link set {nic.name} address {nic.mac} up", f"address add {nic.address}/{nic.subnet.prefixlen} dev {nic.name}"]
    return [*lines, f"route add default via {nics[0].gateway} dev {nics[0].name}"]


def _legs(cluster: Cluster, nics: list[Nic], namespace: str) -> list[str]:
    lines = []
    for nic in nics:
        lines += [
            f"link add {nic.leg} address {FABRIC_MAC} type veth peer name {nic.name} netns {namespace}"
            if namespace
            else f"link set {nic.leg} address {FABRIC_MAC}",
            f"link set {nic.leg} up",
            f"route add {nic.address}/32 dev {nic.leg}",
            # A permanent neighbour: no ARP delays a first packet, and no gratuitous ARP moves an address (FAB-06).
            f"neigh replace {nic.address} lladdr {nic.mac} dev {nic.leg} nud permanent",
        ]
        if nic.pooled:
            table = FLOATING_TABLE + nic.mark
            lines.append(f"route replace {cluster.vip}/32 via {nic.address} dev {nic.leg} onlink table {table}")
    return lines


def mark_rules(topology: Topology) -> list[str]:
    """The policy rules by which a marked packet leaves for its member's NIC, whatever its destination (floating IP)."""
    return [f"rule add fwmark {nic.mark} table {FLOATING_TABLE + nic.mark}" for nic in topology.members]


def batch(lines: list[str]) -> None:
    """Carry out many `ip` commands in one process. Raises Unusable with what `ip` said."""
    completed = subprocess.run(["ip", "-batch", "-"], input="\n".join(lines) + "\n", capture_output=True, text=True)
    if completed.returncode != 0:
        raise Unusable(f"the lab's network could not be set up; ip said: {completed.stderr.strip()}")


def sysctl(name: str, value: str | int) -> None:
    """Set a network sysctl of this process's network namespace (`name` with slashes, below net/)."""
    Path("/proc/sys/net", name).write_text(f"{value}\n")


def _forward_like_a_fabric() -> None:
    sysctl("ipv4/ip_forward", 1)
    sysctl("ipv6/conf/all/disable_ipv6", 1)
    sysctl("ipv6/conf/default/disable_ipv6", 1)
    for scope in ("all", "default"):
        sysctl(f"ipv4/conf/{scope}/rp_filter", 0)
        sysctl(f"ipv4/conf/{scope}/send_redirects", 0)
    sysctl("ipv4/conf/default/proxy_arp", 1)


def settle_leg(leg: str) -> None:
    """What `up` has every leg made with, for one that was made before it, or by somebody else."""
    sysctl(f"ipv6/conf/{leg}/disable_ipv6", 1)
    sysctl(f"ipv4/conf/{leg}/rp_filter", 0)
    sysctl(f"ipv4/conf/{leg}/send_redirects", 0)
    sysctl(f"ipv4/conf/{leg}/proxy_arp", 1)


def _answer_for_all_neighbours(leg: str) -> None:
    # Unset, proxy ARP waits up to 0.8 s before its first answer, which reads as failover time (facts, measuring).
    sysctl(f"ipv4/neigh/{leg}/proxy_delay", 0)
