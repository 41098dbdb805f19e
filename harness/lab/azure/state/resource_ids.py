"""What things are called in the lab's Azure: constants, and the ids of its resources."""

from __future__ import annotations

from dataclasses import dataclass

from harness.lab.topology import Nic, Topology

SUBSCRIPTION = "00000000-0000-4000-8000-00000000ab01"
TENANT = "00000000-0000-4000-8000-00000000ab02"
CLIENT_ID = "00000000-0000-4000-8000-00000000ab03"
GROUP = "lkharness-lab"
LOCATION = "westeurope"
AUDIENCE = "https://management.azure.com"  # what tokens are for; the lab's own address would change with every lab

BALANCER, FRONTEND, POOL, PROBE, VNET = "ilb", "frontend", "pool", "probe", "vnet"
ROUTE_TABLE = "routes"  # only when a misconfiguration brings it
IP_CONFIGURATION = "ipconfig1"


def group_id() -> str:
    """The id of the resource group."""
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}"


def machine_id(host: str) -> str:
    """The id of a host's virtual machine."""
    return f"{group_id()}/providers/Microsoft.Compute/virtualMachines/{host}"


def network_id(kind: str, name: str, *child: str) -> str:
    """Of a resource of Microsoft.Network, or, with `child` (kind, name), of a part of it."""
    return "/".join([f"{group_id()}/providers/Microsoft.Network/{kind}/{name}", *child])


def nic_name(nic: Nic) -> str:
    """`lknode01-nic1` is eth0 of lknode01."""
    return f"{nic.host}-nic{int(nic.name.removeprefix('eth')) + 1}"


def nic_id(nic: Nic) -> str:
    """The id of a NIC's network interface."""
    return network_id("networkInterfaces", nic_name(nic))


def configuration_id(nic: Nic) -> str:
    """The id of a NIC's IP configuration."""
    return f"{nic_id(nic)}/ipConfigurations/{IP_CONFIGURATION}"


def subnet_id(name: str) -> str:
    """The id of a subnet, by its name."""
    return network_id("virtualNetworks", VNET, "subnets", name)


def balancer_id(*child: str) -> str:
    """The id of the load balancer, or of a child of it when its kind and name are given."""
    return network_id("loadBalancers", BALANCER, *child)


@dataclass(frozen=True)
class Guarded:
    """A place where the lab has rules of a network security group: a NIC or a subnet."""

    place: str  # the lab's name for it
    nic: Nic | None
    subnet: str | None

    @property
    def group(self) -> str:
        """The name of its network security group."""
        return f"{nic_name(self.nic) if self.nic else self.subnet}-nsg"

    @property
    def group_id(self) -> str:
        """The id of the network security group that guards this place."""
        return network_id("networkSecurityGroups", self.group)


def guarded(topology: Topology) -> list[Guarded]:
    """Every place that has a network security group, NICs first."""
    nics = {nic.key: nic for nic in topology.nics}
    return [Guarded(p, nics.get(p), None if p in nics else p) for p in topology.nsg_places]
