"""The lab's topology as data: hosts, their NICs, and the fabric's legs to them."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from harness.config.cluster_config import Cluster

FABRIC_MAC = "12:34:56:78:9a:bc"  # every neighbour's address in a VNet (facts FAB-04)


@dataclass(frozen=True)
class Nic:
    """A guest's network interface and the fabric's leg that it hangs on."""

    host: str
    name: str  # in the guest: eth0 in Subnet#1, eth1 in Subnet#2
    address: IPv4Address
    subnet: IPv4Network
    subnet_name: str
    leg: str  # in the fabric
    mark: int  # of floating-IP flows sent down this leg
    pooled: bool  # its address is a member of the balancer's pool

    @property
    def key(self) -> str:
        """`host.nic`, unique in the lab."""
        return f"{self.host}.{self.name}"

    @property
    def gateway(self) -> IPv4Address:
        """The subnet's first address, which Azure keeps for its gateway."""
        return self.subnet.network_address + 1

    @property
    def mac(self) -> str:
        """A MAC address with Azure's prefix, made of the NIC's address."""
        return "00:0d:3a:" + ":".join(f"{b:02x}" for b in self.address.packed[1:])


@dataclass(frozen=True)
class Topology:
    """All NICs of the lab, with their legs in the fabric."""

    nics: tuple[Nic, ...]

    def of(self, host: str) -> list[Nic]:
        """The NICs of one host."""
        return [n for n in self.nics if n.host == host]

    @property
    def nsg_places(self) -> list[str]:
        """Where NSG rules can be attached: NICs and subnets."""
        return [*(n.key for n in self.nics), "subnet1", "subnet2"]

    @property
    def members(self) -> list[Nic]:
        """The NICs in the balancer's pool, in the order of the cluster file."""
        return [n for n in self.nics if n.pooled]


def make_topology(cluster: Cluster) -> Topology:
    """The topology of a cluster: one NIC for the client, two for each node."""
    plan = [(cluster.client.name, "eth0", cluster.client.address, 1, False)]
    for node in cluster.nodes:
        plan.append((node.name, "eth0", node.address, 1, True))
        plan.append((node.name, "eth1", node.second_address, 2, False))
    subnets = {1: cluster.subnet1, 2: cluster.subnet2}
    return Topology(
        tuple(
            Nic(host, name, address, subnets[n], f"subnet{n}", f"leg{i}", i + 1, pooled)
            for i, (host, name, address, n, pooled) in enumerate(plan)
        )
    )
