"""What Azure tells of a cluster, as the answers that a cluster file is written from. Pure; says what Azure cannot tell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address

from harness.azure.inventory.resource_model import AzureResources, Balancer, Frontend, Machine, Nic, Rule
from harness.config.cluster_file_writer import BalancerAnswer, HostAnswer, ServiceAnswer
from harness.core.errors import BadUse
from harness.plugins.extension_points import SERVICES
from harness.services.service_registry import kind_of_port


@dataclass(frozen=True)
class DiscoveredCluster:
    """`clients` are the machines that may be the client; `unsure` is what was guessed, and `machines` maps hosts' names to Azure's."""

    frontend: str
    design: str
    probe_port: int
    balancer: BalancerAnswer
    nodes: tuple[HostAnswer, ...]
    clients: tuple[HostAnswer, ...]
    services: tuple[ServiceAnswer, ...]
    subnets: tuple[str, str] | None
    machines: dict[str, str]
    windows: bool
    unsure: tuple[str, ...] = ()


def discover(resources: AzureResources, address: str | None = None, named_nodes: tuple[HostAnswer, ...] = ()) -> DiscoveredCluster:
    """Everything that follows from what was read; `address` chooses among several frontends, and `named_nodes` are those that a person
    named.

    Raises BadUse where Azure's shape is not a cluster's: no internal frontend, no rule, not two nodes.
    """
    balancer = resources.balancer
    assert balancer is not None
    frontend = _choose_frontend(balancer, address)
    rules = [r for r in balancer.rules_of(frontend) if r.protocol in ("tcp", "all")]
    if not rules:
        raise BadUse(f"the frontend {frontend.name} of {balancer.name} has no load-balancing rule for TCP; make the cluster's rules first")
    unsure = [*resources.read_errors, *SERVICES.faults()]
    probe = next((p for r in rules if (p := balancer.probe_of(r)) is not None), None)
    if probe is None:
        raise BadUse(f"no rule of {balancer.name} has a health probe, so every node would get connections; give the rules one (PRB-19)")
    if probe.protocol not in ("tcp", "http"):
        unsure.append(f"the probe asks by {probe.protocol}, which a cluster file cannot say: tcp is written")
    if len({r.floating_ip for r in rules}) > 1:
        unsure.append("the rules differ in floating IP: the first one's is written as the design")
    if named_nodes:
        nodes = [n for n in resources.nics if any(n.has(host.addresses[0]) for host in named_nodes)]
        hosts = named_nodes
    else:
        nodes = _find_nodes(resources, balancer, rules)
        hosts = tuple(_make_host_answer(resources, n) for n in nodes)
    node_machine_ids = {(n.machine_id or "").lower() for n in nodes}
    clients = tuple(
        HostAnswer(_cluster_file_name(m.name), (a,), "windows" if m.system == "windows" else "")
        for m in resources.machines.values()
        if m.id.lower() not in node_machine_ids and (a := _address_in(resources, m, frontend.subnet_id))
    )
    return DiscoveredCluster(
        frontend=str(frontend.address),
        design="floating" if rules[0].floating_ip else "nat",
        probe_port=probe.port,
        balancer=BalancerAnswer(
            protocol=probe.protocol if probe.protocol in ("tcp", "http") else "tcp",
            path=probe.path if probe.protocol == "http" else None,
            interval_s=float(probe.interval_s),
            threshold=probe.threshold or 1,
            idle_timeout_s=round(rules[0].idle_minutes * 60.0, 1),
            tcp_reset=rules[0].tcp_reset,
            distribution=rules[0].distribution,
            ha_ports=any(r.ha_ports for r in rules),
        ),
        nodes=hosts,
        clients=clients,
        services=tuple(_make_service_answer(r) for r in rules if not r.ha_ports),
        subnets=_find_subnets(resources, frontend, nodes),
        machines={_cluster_file_name(m.name): m.name for m in resources.machines.values() if _cluster_file_name(m.name) != m.name},
        windows=any(m.system == "windows" for m in resources.machines.values() if m.id.lower() in node_machine_ids),
        unsure=tuple(unsure),
    )


def _choose_frontend(balancer: Balancer, address: str | None) -> Frontend:
    internal = [f for f in balancer.frontends if f.address and not f.public]
    if not internal:
        raise BadUse(f"the load balancer {balancer.name} has no internal frontend; name another with --load-balancer")
    matching = [f for f in internal if address is None or f.address == address]
    candidates = [f for f in matching if balancer.rules_of(f)] or matching
    if len(candidates) != 1:
        addresses = ", ".join(str(f.address) for f in internal)
        raise BadUse(
            f"the load balancer {balancer.name} has the frontends {addresses}; say which one is the cluster's with --frontend ADDRESS"
        )
    return candidates[0]


def _find_nodes(resources: AzureResources, balancer: Balancer, rules: list[Rule]) -> list[Nic]:
    """The NICs of the two nodes: whatever is in the rules' pools."""
    pools = {p.id: p for r in rules for p in balancer.pools_of(r)}
    nics = {nic.id: nic for p in pools.values() for _, nic, _ in resources.members_of(p) if nic is not None and nic.machine_id}
    if len(nics) != 2:
        names = ", ".join(sorted(n.name for n in nics.values())) or "nobody that could be read"
        raise BadUse(
            f"the pool of {balancer.name} holds {len(nics)} virtual machines ({names}); a cluster has two: put both nodes into it (DES-09)"
        )
    return sorted(nics.values(), key=lambda n: n.name)


def _make_host_answer(resources: AzureResources, nic: Nic) -> HostAnswer:
    machine = next((m for m in resources.machines.values() if m.id.lower() == (nic.machine_id or "").lower()), None)
    if machine is None or nic.main is None or nic.main.address is None:
        raise BadUse(f"{nic.name} is in the pool, and its virtual machine cannot be read; is it in the same resource group?")
    other_nics = [n for n in resources.nics_of(machine.name) if n.id.lower() != nic.id.lower() and n.main is not None and n.main.address]
    if not other_nics:
        raise BadUse(f"{machine.name} has one NIC, and a node needs another in Subnet#2; give --node {machine.name}=ADDRESS,SECOND")
    return HostAnswer(_cluster_file_name(machine.name), (nic.main.address, str(other_nics[0].main and other_nics[0].main.address)))


def _address_in(resources: AzureResources, machine: Machine, subnet_id: str | None) -> str | None:
    """A machine's address in the frontend's subnet."""
    configurations = [c for n in resources.nics_of(machine.name) for c in n.configurations]
    return next((c.address for c in configurations if c.address and (c.subnet_id or "").lower() == (subnet_id or "").lower()), None)


def _make_service_answer(rule: Rule) -> ServiceAnswer:
    kind = kind_of_port(rule.frontend_port)
    return ServiceAnswer(_cluster_file_name(rule.name), kind, rule.frontend_port, f"{_cluster_file_name(rule.name)}")


def _find_subnets(resources: AzureResources, frontend: Frontend, nodes: list[Nic]) -> tuple[str, str] | None:
    first_prefixes = resources.prefixes.get((frontend.subnet_id or "").lower(), ())
    node_nic_ids = {n.id for n in nodes}
    other_subnet_ids = {
        c.subnet_id.lower()
        for n in resources.nics
        for c in n.configurations
        if c.subnet_id and n.id not in node_nic_ids and _same_machine(n, nodes)
    }
    second_prefixes = [p for i in other_subnet_ids for p in resources.prefixes.get(i, ())]
    return (
        (first_prefixes[0], second_prefixes[0])
        if first_prefixes and second_prefixes and IPv4Address(first_prefixes[0].split("/")[0])
        else None
    )


def _same_machine(nic: Nic, nodes: list[Nic]) -> bool:
    return any((n.machine_id or "").lower() == (nic.machine_id or " ").lower() for n in nodes)


def _cluster_file_name(text: str) -> str:
    """A name as a cluster file takes them."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text).lstrip("_.-")[:63] or "unnamed"
