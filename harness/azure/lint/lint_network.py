"""NICs, NSGs in effect and routes in effect, against the file and what the facts say of the fabric. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from harness.azure.inventory.effective_rules import denied_by, non_local_route
from harness.azure.inventory.resource_model import AzureResources, Nic, Rule
from harness.config.cluster_config import Cluster, Machine, Node
from harness.core.finding import Finding, Weight


def network(cluster: Cluster, seen: AzureResources, rules: list[Rule]) -> Iterator[Finding]:
    """What every host has of addresses, rules and routes. A host whose machine could not be read was said to be so already."""
    for host in cluster.machines:
        machine = seen.machines.get(host.name)
        if machine is None:
            continue
        if machine.power not in (None, "running"):
            do = f"start the virtual machine {machine.name}, and see who stopped it"
            yield Finding(Weight.FAULT, host.name, "power", f"Azure says it is {machine.power}", do, ("PRB-17", "FLOW-14"))
        yield from _addresses(seen, host)
    for node in cluster.nodes:
        nic = seen.nic_with(node.name, node.address)
        if nic is None:
            continue
        yield from _probes_come_in(cluster, seen, node, nic)
        yield from _clients_come_in(cluster, seen, node, nic, rules)
        yield from _answers_go_out(cluster, seen, node, nic)


def _addresses(seen: AzureResources, host: Machine) -> Iterator[Finding]:
    nics = seen.nics_of(host.name)
    known = seen.machines[host.name]
    if not seen.whole(host.name):
        return
    wanted = [("address", host.address)]
    if isinstance(host, Node):
        wanted.append(("second_address", host.second_address))
    for what, address in wanted:
        if not any(n.has(address) for n in nics):
            held = ", ".join(str(c.address) for n in nics for c in n.configurations) or "none"
            do = (
                f"correct {what} in the file, or give a NIC of {known.name} an ip configuration with it: what Azure does not know is silent"
            )
            yield Finding(
                Weight.FAULT, host.name, what, f"{address} is on no NIC of {known.name} (it has {held})", do, ("FAB-10", "FAB-08")
            )
    if not isinstance(host, Node):
        return
    first = next((n for n in nics if n.has(host.address)), None)
    if first is not None and not first.primary and any(n.primary for n in nics):
        do = "make it the machine's primary NIC: probes are answered by the primary one, wherever they came in"
        yield Finding(
            Weight.FAULT, host.name, "NIC", f"{first.name}, with {host.address}, is not the primary one", do, ("FAB-12", "PRB-23")
        )
    for nic in nics:
        if nic.forwarding:
            do = "switch it off unless the node routes for others: only then does Azure drop what does not belong to the NIC"
            yield Finding(Weight.NOTE, host.name, "IP forwarding", f"it is on at {nic.name}", do, ("FAB-08", "ILB-07"))


def _probes_come_in(cluster: Cluster, seen: AzureResources, node: Node, nic: Nic) -> Iterator[Finding]:
    meant = cluster.load_balancer.probe
    by = denied_by(seen.filters.get(nic.id.lower(), ()), meant.source, node.address, meant.port)
    if by:
        do = f"let the service tag AzureLoadBalancer in to port {meant.port} by a rule before it: the node is down for the balancer"
        says = f"the probe from {meant.source} to {node.address}:{meant.port} is denied by {by}"
        yield Finding(Weight.FAULT, node.name, "NSG", says, do, ("NSG-08", "NSG-05"))


def _clients_come_in(cluster: Cluster, seen: AzureResources, node: Node, nic: Nic, rules: list[Rule]) -> Iterator[Finding]:
    """The rule is matched against the client's own address and the node's address and backend port (facts NSG-04)."""
    origins = {"client": cluster.client.address, "standby": cluster.peer_of(node.name).address}
    for service in cluster.services:
        port = next((r.backend_port for r in rules if r.frontend_port == service.port and not r.ha_ports), service.port)
        told: dict[str, list[str]] = {}
        for who, source in origins.items():
            by = denied_by(seen.filters.get(nic.id.lower(), ()), source, node.address, port)
            if by:
                told.setdefault(by, []).append(f"{source} ({who})")
        for by, sources in told.items():
            do = f"let {' and '.join(sources)} in to port {port} by a rule before it; a rule for the probes lets no client in"
            says = f"{service.name} at {node.address}:{port} is denied to {' and '.join(sources)} by {by}"
            yield Finding(Weight.FAULT, node.name, "NSG", says, do, ("NSG-04", "NSG-06"))


def _answers_go_out(cluster: Cluster, seen: AzureResources, node: Node, nic: Nic) -> Iterator[Finding]:
    table = seen.routes.get(nic.id.lower(), ())
    told: dict[str, list[str]] = {}
    for host in cluster.machines:
        if host.name == node.name:
            continue
        route = non_local_route(table, host.address)
        if route is not None:
            hop = f" {', '.join(route.addresses)}" if route.addresses else ""
            told.setdefault(f"{'/'.join(route.prefixes)} by {route.next_hop}{hop} (source {route.source})", []).append(host.name)
    for by, hosts in told.items():
        do = "take Subnet#1 out of the route table: answers that go another way than the requests came do not arrive"
        says = f"the route {by} leads what {nic.name} sends to {' and '.join(hosts)} away from the fabric"
        yield Finding(Weight.FAULT, node.name, "effective routes", says, do, ("FAB-13",))
