"""NICs, NSGs in effect and routes in effect, against the file and what the facts say of the fabric. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from harness.azure.inventory.effective_rules import denied_by, non_local_route
from harness.azure.inventory.resource_model import AzureResources, Nic, Rule
from harness.config.cluster_config import Cluster, Machine, Node
from harness.core.finding import Finding, Weight


def network_findings(cluster: Cluster, resources: AzureResources, rules: list[Rule]) -> Iterator[Finding]:
    """What every host has of addresses, rules and routes. A host whose machine could not be read was said to be so already."""
    for host in cluster.machines:
        machine = resources.machines.get(host.name)
        if machine is None:
            continue
        if machine.power not in (None, "running"):
            do = f"start the virtual machine {machine.name}, and see who stopped it"
            yield Finding(Weight.FAULT, host.name, "power", f"Azure says it is {machine.power}", do, ("PRB-17", "FLOW-14"))
        yield from _address_findings(resources, host)
    for node in cluster.nodes:
        nic = resources.nic_with(node.name, node.address)
        if nic is None:
            continue
        yield from _probe_access_findings(cluster, resources, node, nic)
        yield from _client_access_findings(cluster, resources, node, nic, rules)
        yield from _return_route_findings(cluster, resources, node, nic)


def _address_findings(resources: AzureResources, host: Machine) -> Iterator[Finding]:
    nics = resources.nics_of(host.name)
    machine = resources.machines[host.name]
    if not resources.is_fully_read(host.name):
        return
    expected_addresses = [("address", host.address)]
    if isinstance(host, Node):
        expected_addresses.append(("second_address", host.second_address))
    for key, address in expected_addresses:
        if not any(n.has(address) for n in nics):
            present_addresses = ", ".join(str(c.address) for n in nics for c in n.configurations) or "none"
            do = (
                f"correct {key} in the file, or give a NIC of {machine.name} an ip configuration with it: what Azure does not know is "
                "silent"
            )
            yield Finding(
                Weight.FAULT,
                host.name,
                key,
                f"{address} is on no NIC of {machine.name} (it has {present_addresses})",
                do,
                ("FAB-10", "FAB-08"),
            )
    if not isinstance(host, Node):
        return
    first_nic = next((n for n in nics if n.has(host.address)), None)
    if first_nic is not None and not first_nic.primary and any(n.primary for n in nics):
        do = "make it the machine's primary NIC: probes are answered by the primary one, wherever they came in"
        yield Finding(
            Weight.FAULT, host.name, "NIC", f"{first_nic.name}, with {host.address}, is not the primary one", do, ("FAB-12", "PRB-23")
        )
    for nic in nics:
        if nic.forwarding:
            do = "switch it off unless the node routes for others: only then does Azure drop what does not belong to the NIC"
            yield Finding(Weight.NOTE, host.name, "IP forwarding", f"it is on at {nic.name}", do, ("FAB-08", "ILB-07"))


def _probe_access_findings(cluster: Cluster, resources: AzureResources, node: Node, nic: Nic) -> Iterator[Finding]:
    expected_probe = cluster.load_balancer.probe
    denying_rule = denied_by(resources.filters.get(nic.id.lower(), ()), expected_probe.source, node.address, expected_probe.port)
    if denying_rule:
        do = (
            f"let the service tag AzureLoadBalancer in to port {expected_probe.port} by a rule before it: the node is down for the balancer"
        )
        says = f"the probe from {expected_probe.source} to {node.address}:{expected_probe.port} is denied by {denying_rule}"
        yield Finding(Weight.FAULT, node.name, "NSG", says, do, ("NSG-08", "NSG-05"))


def _client_access_findings(cluster: Cluster, resources: AzureResources, node: Node, nic: Nic, rules: list[Rule]) -> Iterator[Finding]:
    """The rule is matched against the client's own address and the node's address and backend port (facts NSG-04)."""
    origins = {"client": cluster.client.address, "standby": cluster.peer_of(node.name).address}
    for service in cluster.services:
        port = next((r.backend_port for r in rules if r.frontend_port == service.port and not r.ha_ports), service.port)
        sources_by_rule: dict[str, list[str]] = {}
        for role, source in origins.items():
            denying_rule = denied_by(resources.filters.get(nic.id.lower(), ()), source, node.address, port)
            if denying_rule:
                sources_by_rule.setdefault(denying_rule, []).append(f"{source} ({role})")
        for denying_rule, sources in sources_by_rule.items():
            do = f"let {' and '.join(sources)} in to port {port} by a rule before it; a rule for the probes lets no client in"
            says = f"{service.name} at {node.address}:{port} is denied to {' and '.join(sources)} by {denying_rule}"
            yield Finding(Weight.FAULT, node.name, "NSG", says, do, ("NSG-04", "NSG-06"))


def _return_route_findings(cluster: Cluster, resources: AzureResources, node: Node, nic: Nic) -> Iterator[Finding]:
    table = resources.routes.get(nic.id.lower(), ())
    hosts_by_route: dict[str, list[str]] = {}
    for host in cluster.machines:
        if host.name == node.name:
            continue
        route = non_local_route(table, host.address)
        if route is not None:
            hop = f" {', '.join(route.addresses)}" if route.addresses else ""
            hosts_by_route.setdefault(f"{'/'.join(route.prefixes)} by {route.next_hop}{hop} (source {route.source})", []).append(host.name)
    for route_text, hosts in hosts_by_route.items():
        do = "take Subnet#1 out of the route table: answers that go another way than the requests came do not arrive"
        says = f"the route {route_text} leads what {nic.name} sends to {' and '.join(hosts)} away from the fabric"
        yield Finding(Weight.FAULT, node.name, "effective routes", says, do, ("FAB-13",))
