"""Reading what is configured in Azure, through the Azure packages. Nothing is changed; needs the role docs/azure/role-read.json."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address
from typing import TypeVar

from harness.azure.client.concurrent_requests import run_concurrently
from harness.azure.client.error_mapping import translate_errors
from harness.azure.client.polling import result_of
from harness.azure.client.sdk_clients import Clients
from harness.azure.inventory import resource_parser
from harness.azure.inventory.resource_model import (
    AzureResources,
    Balancer,
    Frontend,
    Machine,
    Nic,
    Pool,
    Route,
    SecurityGroup,
    name_of,
    part_of,
    same,
)
from harness.core.deadline import Deadline
from harness.core.errors import BadUse, HarnessError

T = TypeVar("T")
READ_TIMEOUT_S = 120.0  # for everything that a look asks


def look(
    clients: Clients, machines: Mapping[str, str], frontend: IPv4Address | None = None, limit_s: float = READ_TIMEOUT_S
) -> AzureResources:
    """What Azure says of the load balancer and of these hosts (name here to name there).

    What cannot be read is named in `read_errors`, and the rest is read. Raises HarnessError when there is nothing to judge: no log-in,
    no such group or load balancer.
    """
    deadline = Deadline(limit_s)
    load_balancer = balancer(clients, frontend)  # first and alone: a log-in that does not work is said once
    requests: dict[str, Callable[[], Machine]] = {host: partial(machine, clients, name) for host, name in machines.items()}
    machine_by_host, read_errors = _split_results(run_concurrently(deadline, requests))
    nic_by_id, nics_errors = _split_results(
        run_concurrently(deadline, {i: partial(nic, clients, i) for m in machine_by_host.values() for i in m.nic_ids})
    )
    resources = AzureResources(
        clients.azure.subscription,
        clients.azure.resource_group,
        balancer=load_balancer,
        machines=machine_by_host,
        nics=tuple(nic_by_id.values()),
        read_errors=(*read_errors, *nics_errors),
    )
    return with_effects(clients, resources, deadline)


def group(clients: Clients, frontend: IPv4Address | None = None, limit_s: float = READ_TIMEOUT_S) -> AzureResources:
    """Everything of the resource group that a cluster may be made of; machines by their own names. Raises HarnessError."""
    deadline = Deadline(limit_s)
    load_balancer = balancer(clients, frontend)
    in_group = clients.azure.resource_group
    with translate_errors(f"listing the virtual machines of the resource group {in_group}"):
        machines = [resource_parser.machine(resource_parser.payload(m)) for m in clients.compute.virtual_machines.list(in_group)]
    with translate_errors(f"listing the network interfaces of the resource group {in_group}"):
        nics = [resource_parser.nic(resource_parser.payload(n)) for n in clients.network.network_interfaces.list(in_group)]
    other_nic_ids = {i for m in machines for i in m.nic_ids if not any(same(n.id, i) for n in nics)}
    other_nics, read_errors = _split_results(run_concurrently(deadline, {i: partial(nic, clients, i) for i in other_nic_ids}))
    resources = AzureResources(
        clients.azure.subscription,
        in_group,
        balancer=load_balancer,
        machines={m.name: m for m in machines},
        nics=(*nics, *other_nics.values()),
        read_errors=read_errors,
    )
    return _with_prefixes(clients, resources, deadline)


def balancer(clients: Clients, frontend: IPv4Address | None = None) -> Balancer:
    """The load balancer that `[azure]` names, or the group's only one, or the one with this frontend; its pools read in full.

    Raises BadUse when there is none, or no telling which.
    """
    azure = clients.azure
    if azure.load_balancer:
        with translate_errors(f"reading the load balancer {azure.load_balancer}"):
            load_balancer = resource_parser.balancer(
                resource_parser.payload(clients.network.load_balancers.get(azure.resource_group, azure.load_balancer))
            )
    else:
        with translate_errors(f"listing the load balancers of the resource group {azure.resource_group}"):
            balancers = [
                resource_parser.balancer(resource_parser.payload(b)) for b in clients.network.load_balancers.list(azure.resource_group)
            ]
        load_balancer = choose_balancer(balancers, frontend, azure.resource_group)
    used_pools = [p for p in load_balancer.pools if any(same(p.id, i) for r in load_balancer.rules for i in r.pool_ids)]
    return replace(load_balancer, pools=tuple(pool(clients, load_balancer, p) for p in used_pools) or load_balancer.pools)


def choose_balancer(balancers: list[Balancer], frontend: IPv4Address | None, in_group: str) -> Balancer:
    """The load balancer meant. Raises BadUse when there is none, or no telling which."""
    with_frontend = [b for b in balancers if frontend is not None and any(f.address == str(frontend) for f in b.frontends)]
    internal = [b for b in balancers if any(not f.public for f in b.frontends)]
    for candidates in (with_frontend, internal, balancers):
        if len(candidates) == 1:
            return candidates[0]
    if not balancers:
        raise BadUse(f"the resource group {in_group} holds no load balancer; see resource_group in [azure]")
    names = ", ".join(sorted(b.name for b in with_frontend or internal or balancers))
    raise BadUse(f"the resource group {in_group} holds several load balancers ({names}); name one with load_balancer in [azure]")


def pool(clients: Clients, load_balancer: Balancer, listed_pool: Pool) -> Pool:
    """A pool with its members' admin states, which the load balancer's own payload may lack."""
    with translate_errors(f"reading the backend pool {listed_pool.name} of {load_balancer.name}"):
        pools = clients.network.load_balancer_backend_address_pools
        return resource_parser.pool(resource_parser.payload(pools.get(clients.azure.resource_group, load_balancer.name, listed_pool.name)))


def machine(clients: Clients, name: str) -> Machine:
    """A virtual machine with its power."""
    with translate_errors(f"reading the virtual machine {name}"):
        return resource_parser.machine(
            resource_parser.payload(clients.compute.virtual_machines.get(clients.azure.resource_group, name, expand="instanceView"))
        )


def nic(clients: Clients, nic_id: str) -> Nic:
    """A network interface by its id, in whatever resource group it is."""
    with translate_errors(f"reading the network interface {name_of(nic_id)}"):
        return resource_parser.nic(
            resource_parser.payload(clients.network.network_interfaces.get(_group_of(clients, nic_id), name_of(nic_id)))
        )


def security(clients: Clients, nic_id: str, deadline: Deadline) -> tuple[SecurityGroup, ...]:
    """The NSG rules in effect on a NIC; only those of a machine that runs can be told."""
    doing = f"reading the effective NSG rules of {name_of(nic_id)}"
    with translate_errors(doing):
        begin = clients.network.network_interfaces.begin_list_effective_network_security_groups
        poller = begin(_group_of(clients, nic_id), name_of(nic_id))
    return resource_parser.filters(resource_parser.payload(result_of(poller, deadline, doing)))


def routing(clients: Clients, nic_id: str, deadline: Deadline) -> tuple[Route, ...]:
    """The routes in effect on a NIC; only those of a machine that runs can be told."""
    doing = f"reading the effective routes of {name_of(nic_id)}"
    with translate_errors(doing):
        poller = clients.network.network_interfaces.begin_get_effective_route_table(_group_of(clients, nic_id), name_of(nic_id))
    return resource_parser.routes(resource_parser.payload(result_of(poller, deadline, doing)))


def with_effects(clients: Clients, resources: AzureResources, deadline: Deadline) -> AzureResources:
    """With the NSG rules and routes in effect on every NIC of a machine that runs, and the subnets' prefixes."""
    running = [m for m in resources.machines.values() if m.power in (None, "running")]
    nics = [n for n in resources.nics if any(same(n.id, i) for m in running for i in m.nic_ids)]
    filters, filters_errors = _split_results(
        run_concurrently(deadline, {n.id.lower(): partial(security, clients, n.id, deadline) for n in nics})
    )
    routes, routes_errors = _split_results(
        run_concurrently(deadline, {n.id.lower(): partial(routing, clients, n.id, deadline) for n in nics})
    )
    not_running = [
        f"{host} is {m.power}: what is in effect on its NICs cannot be told" for host, m in resources.machines.items() if m not in running
    ]
    return _with_prefixes(
        clients,
        replace(
            resources, filters=filters, routes=routes, read_errors=(*resources.read_errors, *filters_errors, *routes_errors, *not_running)
        ),
        deadline,
    )


def _with_prefixes(clients: Clients, resources: AzureResources, deadline: Deadline) -> AzureResources:
    frontends: Iterable[Frontend] = resources.balancer.frontends if resources.balancer else ()
    ids = {i.lower(): i for i in (*(f.subnet_id for f in frontends), *(c.subnet_id for n in resources.nics for c in n.configurations)) if i}
    prefixes, read_errors = _split_results(run_concurrently(deadline, {key: partial(_subnet, clients, i) for key, i in ids.items()}))
    return replace(resources, prefixes=prefixes, read_errors=(*resources.read_errors, *read_errors))


def _subnet(clients: Clients, subnet_id: str) -> tuple[str, ...]:
    network = part_of(subnet_id, "virtualNetworks") or ""
    with translate_errors(f"reading the subnet {name_of(subnet_id)} of {network}"):
        return resource_parser.prefixes(
            resource_parser.payload(clients.network.subnets.get(_group_of(clients, subnet_id), network, name_of(subnet_id)))
        )


def _group_of(clients: Clients, resource_id: str) -> str:
    return part_of(resource_id, "resourceGroups") or clients.azure.resource_group


def _split_results(results: Mapping[str, T | HarnessError]) -> tuple[dict[str, T], tuple[str, ...]]:
    """What came, and in words what did not; the same words once."""
    values = {key: value for key, value in results.items() if not isinstance(value, HarnessError)}
    return values, tuple(dict.fromkeys(str(value) for value in results.values() if isinstance(value, HarnessError)))
