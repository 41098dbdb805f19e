"""The virtual network, its subnets, and route tables."""

from __future__ import annotations

from typing import Any

from harness.lab.azure import names
from harness.lab.azure.fabric import Fabric
from harness.lab.azure.wire import Answer, Problem, Request, not_found, with_etags

KIND = "Microsoft.Network/virtualNetworks"
ROUTES_KIND = "Microsoft.Network/routeTables"


def subnets(fabric: Fabric) -> list[dict[str, Any]]:
    said = []
    for name, network in (("subnet1", fabric.cluster.subnet1), ("subnet2", fabric.cluster.subnet2)):
        group = next(g for g in names.guarded(fabric.topology) if g.subnet == name)
        subnet: dict[str, Any] = {
            "name": name,
            "id": names.subnet_id(name),
            "type": f"{KIND}/subnets",
            "properties": {
                "provisioningState": "Succeeded",
                "addressPrefix": str(network),
                "networkSecurityGroup": {"id": group.group_id},
                "ipConfigurations": [{"id": names.configuration_id(n)} for n in fabric.topology.nics if n.subnet_name == name],
                "delegations": [],
                "privateEndpointNetworkPolicies": "Disabled",
                "privateLinkServiceNetworkPolicies": "Enabled",
                "defaultOutboundAccess": False,
            },
        }
        fabric.wrongs.on_subnet(fabric, name, subnet)
        said.append(with_etags(subnet))
    return said


def resource(fabric: Fabric) -> dict[str, Any]:
    id = names.network_id("virtualNetworks", names.VNET)
    return with_etags(
        {
            **fabric.common(id, names.VNET, KIND),
            "properties": {
                "provisioningState": "Succeeded",
                "addressSpace": {"addressPrefixes": [str(fabric.cluster.subnet1), str(fabric.cluster.subnet2)]},
                "subnets": subnets(fabric),
                "virtualNetworkPeerings": [],
                "enableDdosProtection": False,
            },
        }
    )


def get(fabric: Fabric, request: Request, group: str, network: str) -> Answer:
    _known(network, group)
    return Answer(200, resource(fabric))


def list_all(fabric: Fabric, request: Request, group: str = names.GROUP) -> Answer:
    return Answer(200, {"value": [resource(fabric)]})


def list_subnets(fabric: Fabric, request: Request, group: str, network: str) -> Answer:
    _known(network, group)
    return Answer(200, {"value": subnets(fabric)})


def get_subnet(fabric: Fabric, request: Request, group: str, network: str, subnet: str) -> Answer:
    _known(network, group)
    for found in subnets(fabric):
        if found["name"] == subnet.lower():
            return Answer(200, found)
    raise Problem(404, "NotFound", f"Resource {names.subnet_id(subnet)} not found.")


def _known(network: str, group: str) -> None:
    if network.lower() != names.VNET:
        raise not_found(KIND, network, group)


def list_route_tables(fabric: Fabric, request: Request, group: str = names.GROUP) -> Answer:
    return Answer(200, {"value": [with_etags(table) for table in fabric.wrongs.route_tables(fabric)]})


def get_route_table(fabric: Fabric, request: Request, group: str, table: str) -> Answer:
    for found in fabric.wrongs.route_tables(fabric):
        if found["name"].lower() == table.lower():
            return Answer(200, with_etags(found))
    raise not_found(ROUTES_KIND, table, group)
