"""The virtual network, its subnets, and route tables."""

from __future__ import annotations

import itertools
from ipaddress import AddressValueError, IPv4Address
from typing import Any

from harness.lab.azure.state import resource_ids
from harness.lab.azure.state.azure_state import AzureState
from harness.lab.azure.state.http_types import Answer, Problem, Request, not_found, with_etags

KIND = "Microsoft.Network/virtualNetworks"
OFFERED_ADDRESSES = 5
ROUTES_KIND = "Microsoft.Network/routeTables"


def subnets(fabric: AzureState) -> list[dict[str, Any]]:
    """Both subnets with their address prefixes, NSGs and, where it is switched on, a wrong route table."""
    resources = []
    for name, network in (("subnet1", fabric.cluster.subnet1), ("subnet2", fabric.cluster.subnet2)):
        group = next(g for g in resource_ids.guarded(fabric.topology) if g.subnet == name)
        subnet: dict[str, Any] = {
            "name": name,
            "id": resource_ids.subnet_id(name),
            "type": f"{KIND}/subnets",
            "properties": {
                "provisioningState": "Succeeded",
                "addressPrefix": str(network),
                "networkSecurityGroup": {"id": group.group_id},
                "ipConfigurations": [{"id": resource_ids.configuration_id(n)} for n in fabric.topology.nics if n.subnet_name == name],
                "delegations": [],
                "privateEndpointNetworkPolicies": "Disabled",
                "privateLinkServiceNetworkPolicies": "Enabled",
                "defaultOutboundAccess": False,
            },
        }
        fabric.misconfigurations.on_subnet(fabric, name, subnet)
        resources.append(with_etags(subnet))
    return resources


def resource(fabric: AzureState) -> dict[str, Any]:
    """The virtual network as the resource manager shows it."""
    id = resource_ids.network_id("virtualNetworks", resource_ids.VNET)
    return with_etags(
        {
            **fabric.common(id, resource_ids.VNET, KIND),
            "properties": {
                "provisioningState": "Succeeded",
                "addressSpace": {"addressPrefixes": [str(fabric.cluster.subnet1), str(fabric.cluster.subnet2)]},
                "subnets": subnets(fabric),
                "virtualNetworkPeerings": [],
                "enableDdosProtection": False,
            },
        }
    )


def get(fabric: AzureState, request: Request, group: str, network: str) -> Answer:
    """GET of the virtual network."""
    _check_network(network, group)
    return Answer(200, resource(fabric))


def list_all(fabric: AzureState, request: Request, group: str = resource_ids.GROUP) -> Answer:
    """GET of the resource group's virtual networks."""
    return Answer(200, {"value": [resource(fabric)]})


def list_subnets(fabric: AzureState, request: Request, group: str, network: str) -> Answer:
    """GET of the virtual network's subnets."""
    _check_network(network, group)
    return Answer(200, {"value": subnets(fabric)})


def get_subnet(fabric: AzureState, request: Request, group: str, network: str, subnet: str) -> Answer:
    """GET of one subnet by its name; raises Problem 404."""
    _check_network(network, group)
    for resource_of_subnet in subnets(fabric):
        if resource_of_subnet["name"] == subnet.lower():
            return Answer(200, resource_of_subnet)
    raise Problem(404, "NotFound", f"Resource {resource_ids.subnet_id(subnet)} not found.")


def check_address(fabric: AzureState, request: Request, group: str, network: str) -> Answer:
    """GET CheckIPAddressAvailability: is this address of the network free? Else five of its subnet that are. Raises Problem 400."""
    _check_network(network, group)
    text = next((value for name, value in request.query.items() if name.lower() == "ipaddress"), "")
    try:
        address = IPv4Address(text)
    except AddressValueError:
        raise Problem(400, "InvalidIPAddressFormat", f"The IP address '{text}' is not valid.") from None
    subnet = next(
        (network_of_subnet for network_of_subnet in (fabric.cluster.subnet1, fabric.cluster.subnet2) if address in network_of_subnet), None
    )
    if subnet is None:
        return Answer(200, {"available": False})
    # The first four of a subnet, and its last, are Azure's own.
    reserved = {subnet[i] for i in (0, 1, 2, 3, -1)}
    in_use = {nic.address for nic in fabric.topology.nics} | {fabric.cluster.vip}
    if address not in reserved | in_use:
        return Answer(200, {"available": True, "availableIPAddresses": [], "isPlatformReserved": False})
    free = itertools.islice((str(candidate) for candidate in subnet if candidate not in reserved | in_use), OFFERED_ADDRESSES)
    return Answer(200, {"available": False, "availableIPAddresses": list(free), "isPlatformReserved": address in reserved})


def _check_network(network: str, group: str) -> None:
    if network.lower() != resource_ids.VNET:
        raise not_found(KIND, network, group)


def list_route_tables(fabric: AzureState, request: Request, group: str = resource_ids.GROUP) -> Answer:
    """GET of the route tables: none, unless a misconfiguration made one."""
    return Answer(200, {"value": [with_etags(table) for table in fabric.misconfigurations.route_tables(fabric)]})


def get_route_table(fabric: AzureState, request: Request, group: str, table: str) -> Answer:
    """GET of one route table by its name; raises Problem 404."""
    for route_table in fabric.misconfigurations.route_tables(fabric):
        if route_table["name"].lower() == table.lower():
            return Answer(200, with_etags(route_table))
    raise not_found(ROUTES_KIND, table, group)
