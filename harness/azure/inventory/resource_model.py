"""What Azure says of a cluster, as plain data. Pure: no Azure package, no I/O, so it can be judged again from a stored run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network


def same(resource_id: str | None, other_id: str | None) -> bool:
    """Whether two resource ids name the same thing; Azure spells them in different cases."""
    return bool(resource_id) and (resource_id or "").lower() == (other_id or "").lower()


def name_of(resource_id: str | None) -> str:
    """The last part of a resource's id; empty for None."""
    return (resource_id or "").rstrip("/").rsplit("/", 1)[-1]


def part_of(resource_id: str, kind: str) -> str | None:
    """The word after `kind` in an id: the resource group's name after "resourceGroups"."""
    match = re.search(rf"/{re.escape(kind)}/([^/]+)", resource_id, re.IGNORECASE)
    return match[1] if match else None


@dataclass(frozen=True)
class Frontend:
    """A frontend of a load balancer."""

    name: str
    id: str
    address: str | None = None
    allocation: str = "Dynamic"
    subnet_id: str | None = None
    public: bool = False  # it has a public address, so this is no internal load balancer

    @property
    def static(self) -> bool:
        """Whether its address stays the same."""
        return self.allocation.lower() == "static"


@dataclass(frozen=True)
class Probe:
    """`threshold` is probeThreshold, `number_of_probes` the setting that does nothing (facts PRB-07, PRB-08)."""

    name: str
    id: str
    protocol: str = "tcp"
    port: int = 0
    path: str | None = None
    interval_s: float = 15.0
    threshold: int | None = None
    number_of_probes: int | None = None
    no_healthy_backends: str = "AllProbedDown"


@dataclass(frozen=True)
class Rule:
    """A load-balancing rule. Protocol "all" with port 0 is HA ports (facts ILB-18)."""

    name: str
    id: str
    frontend_id: str | None = None
    protocol: str = "tcp"
    frontend_port: int = 0
    backend_port: int = 0
    pool_ids: tuple[str, ...] = ()
    probe_id: str | None = None
    floating_ip: bool = False
    idle_minutes: float = 4.0
    tcp_reset: bool = False
    distribution: str = "Default"

    @property
    def ha_ports(self) -> bool:
        """Whether the rule forwards every port of every protocol."""
        return self.protocol == "all" and self.frontend_port == 0


@dataclass(frozen=True)
class Member:
    """One backend of a pool: by the ip configuration of a NIC, or by its address alone."""

    name: str
    ip_configuration_id: str | None = None
    address: str | None = None
    admin_state: str = "None"


@dataclass(frozen=True)
class Pool:
    """A backend pool with its members."""

    name: str
    id: str
    members: tuple[Member, ...] = ()


@dataclass(frozen=True)
class Balancer:
    """A load balancer with its parts."""

    name: str
    id: str
    sku: str = "Basic"
    location: str = ""
    frontends: tuple[Frontend, ...] = ()
    probes: tuple[Probe, ...] = ()
    rules: tuple[Rule, ...] = ()
    pools: tuple[Pool, ...] = ()

    def probe_of(self, rule: Rule) -> Probe | None:
        """The probe that decides for a rule; None where it has none."""
        return next((p for p in self.probes if same(p.id, rule.probe_id)), None)

    def pools_of(self, rule: Rule) -> list[Pool]:
        """The pools that a rule sends to."""
        return [p for p in self.pools if any(same(p.id, i) for i in rule.pool_ids)]

    def rules_of(self, frontend: Frontend) -> list[Rule]:
        """The rules of a frontend."""
        return [r for r in self.rules if same(r.frontend_id, frontend.id)]


@dataclass(frozen=True)
class IpConfiguration:
    """One address of a NIC, and the pools that it is in."""

    name: str
    id: str
    address: str | None = None
    primary: bool = False
    subnet_id: str | None = None
    pool_ids: tuple[str, ...] = ()
    public: bool = False


@dataclass(frozen=True)
class Nic:
    """A network interface with its addresses."""

    name: str
    id: str
    primary: bool = False
    machine_id: str | None = None
    forwarding: bool = False
    group_id: str | None = None  # its own NSG
    configurations: tuple[IpConfiguration, ...] = ()

    @property
    def main(self) -> IpConfiguration | None:
        """The primary configuration, else the first; None where there is none."""
        return next((c for c in self.configurations if c.primary), self.configurations[0] if self.configurations else None)

    def has(self, address: object) -> bool:
        """Whether the NIC has that address."""
        return any(c.address == str(address) for c in self.configurations)


@dataclass(frozen=True)
class SecurityRule:
    """As it is in effect: tags are expanded where Azure says so. Ports are ranges such as "0-65535"."""

    name: str
    direction: str
    priority: int
    allows: bool
    protocol: str = "all"
    sources: tuple[str, ...] = ("*",)
    source_ports: tuple[str, ...] = ("*",)
    destinations: tuple[str, ...] = ("*",)
    destination_ports: tuple[str, ...] = ("*",)


@dataclass(frozen=True)
class SecurityGroup:
    """One NSG in effect on a NIC; `place` is "subnet" or "NIC"."""

    id: str
    place: str
    rules: tuple[SecurityRule, ...] = ()


@dataclass(frozen=True)
class Route:
    """A route in force at a NIC, as Azure tells it."""

    prefixes: tuple[str, ...]
    next_hop: str  # VnetLocal, VirtualAppliance, Internet, None …
    addresses: tuple[str, ...] = ()
    source: str = "Default"  # or User, VirtualNetworkGateway …
    active: bool = True


@dataclass(frozen=True)
class Machine:
    """A virtual machine; `power` is "running", "stopped", "deallocated" …, None when it was not told."""

    name: str
    id: str
    nic_ids: tuple[str, ...] = ()
    power: str | None = None
    system: str = "linux"


@dataclass(frozen=True)
class AzureResources:
    """Everything that was read. `machines` is by the host's name in the cluster file; `read_errors` says what could not be read and why."""

    subscription: str
    group: str
    balancer: Balancer | None = None
    machines: Mapping[str, Machine] = field(default_factory=dict)
    nics: tuple[Nic, ...] = ()
    prefixes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of subnets, by their ids in lower case
    filters: Mapping[str, tuple[SecurityGroup, ...]] = field(default_factory=dict)  # what is in effect, by NIC id in lower case
    routes: Mapping[str, tuple[Route, ...]] = field(default_factory=dict)
    read_errors: tuple[str, ...] = ()

    def nics_of(self, host: str) -> list[Nic]:
        """The NICs of a host's machine."""
        machine = self.machines.get(host)
        return [n for n in self.nics if machine is not None and any(same(n.id, i) for i in machine.nic_ids)]

    def is_fully_read(self, host: str) -> bool:
        """Whether the host's machine and all its NICs could be read, so that what is missing there is really not there."""
        machine = self.machines.get(host)
        return machine is not None and len(self.nics_of(host)) == len(machine.nic_ids)

    def nic_with(self, host: str, address: object) -> Nic | None:
        """The host's NIC that has this address; None where there is none."""
        return next((n for n in self.nics_of(host) if n.has(address)), None)

    def nic(self, nic_id: str) -> Nic | None:
        """The NIC of that id; None where there is none."""
        return next((n for n in self.nics if same(n.id, nic_id)), None)

    def configuration(self, configuration_id: str | None) -> tuple[Nic, IpConfiguration] | None:
        """The NIC and its configuration of that id; None where there is none."""
        return next(((n, c) for n in self.nics for c in n.configurations if same(c.id, configuration_id)), None)

    def members_of(self, pool: Pool) -> list[tuple[Member, Nic | None, IpConfiguration | None]]:
        """A pool's members by both ways that Azure tells them: by the pool, and by the ip configurations that name it."""
        members: list[tuple[Member, Nic | None, IpConfiguration | None]] = []
        for member in pool.members:
            nic_and_configuration = self.configuration(member.ip_configuration_id) or self._by_address(member.address)
            members.append((member, *(nic_and_configuration or (None, None))))
        listed_ids = {c.id.lower() for _, _, c in members if c is not None}
        for nic in self.nics:
            for c in nic.configurations:
                if any(same(pool.id, i) for i in c.pool_ids) and c.id.lower() not in listed_ids:
                    members.append((Member(c.name, c.id, c.address), nic, c))
        return members

    def _by_address(self, address: str | None) -> tuple[Nic, IpConfiguration] | None:
        return next(((n, c) for n in self.nics for c in n.configurations if address is not None and c.address == address), None)


def covers(prefixes: Iterable[str], address: IPv4Address) -> bool:
    """Whether one of the prefixes, as Azure writes them, holds the address. A tag that was not expanded holds nothing but `*`."""
    return any(width(p, address) is not None for p in prefixes)


def width(prefix: str, address: IPv4Address) -> int | None:
    """How long a prefix that holds the address is, None when it does not."""
    if prefix in ("*", "Any"):
        return 0
    try:
        net = IPv4Network(prefix, strict=False)
    except ValueError:  # a tag, or IPv6
        return None
    return net.prefixlen if address in net else None
