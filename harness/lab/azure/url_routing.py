"""Which path is answered by what: the part of the management API that the lab has."""

from __future__ import annotations

import re
from datetime import date

from harness.lab.azure.resources import balancers, networks, nics, nsgs, resource_groups, vms
from harness.lab.azure.state import resource_ids
from harness.lab.azure.state.azure_state import AzureState
from harness.lab.azure.state.http_types import Answer, Handler, Problem, Request, Routes, lab_cannot

SUBSCRIPTION = f"/subscriptions/{resource_ids.SUBSCRIPTION}"
GROUP = SUBSCRIPTION + "/resourceGroups/{group}"
MACHINES = "/providers/Microsoft.Compute/virtualMachines"
MACHINE = GROUP + MACHINES + "/{machine}"
NETWORK = "/providers/Microsoft.Network"
NICS, BALANCERS, NSGS = f"{NETWORK}/networkInterfaces", f"{NETWORK}/loadBalancers", f"{NETWORK}/networkSecurityGroups"
VNETS, TABLES = f"{NETWORK}/virtualNetworks", f"{NETWORK}/routeTables"
NIC, BALANCER, NSG, VNET = GROUP + NICS + "/{nic}", GROUP + BALANCERS + "/{balancer}", GROUP + NSGS + "/{nsg}", GROUP + VNETS + "/{network}"


def _list_routes(path: str, handler: Handler) -> tuple[tuple[str, str, Handler], ...]:
    """A list, of a resource group's and of the subscription's resources; the lab has one group, so they are the same."""
    return ("GET", GROUP + path, handler), ("GET", SUBSCRIPTION + path, handler)


# Types that every subscription may have, and the lab has none of: an empty list, as Azure answers.
NONE_OF = tuple(
    f"/providers/Microsoft.{kind}"
    for kind in (
        *("Compute/availabilitySets", "Compute/capacityReservationGroups", "Compute/diskAccesses", "Compute/diskEncryptionSets"),
        *("Compute/disks", "Compute/galleries", "Compute/hostGroups", "Compute/images", "Compute/proximityPlacementGroups"),
        *("Compute/restorePointCollections", "Compute/snapshots", "Compute/sshPublicKeys", "Compute/virtualMachineScaleSets"),
        *("Network/applicationGateways", "Network/applicationSecurityGroups", "Network/azureFirewalls", "Network/bastionHosts"),
        *("Network/connections", "Network/ddosProtectionPlans", "Network/expressRouteCircuits", "Network/firewallPolicies"),
        *("Network/ipGroups", "Network/localNetworkGateways", "Network/natGateways", "Network/networkProfiles", "Network/networkWatchers"),
        *("Network/privateDnsZones", "Network/privateEndpoints", "Network/privateLinkServices", "Network/publicIPAddresses"),
        *("Network/publicIPPrefixes", "Network/routeFilters", "Network/serviceEndpointPolicies", "Network/virtualHubs"),
        *("Network/virtualNetworkGateways", "Network/virtualWans", "Network/vpnGateways"),
    )
)


def _answer_empty_list(fabric: AzureState, request: Request, **place: str) -> Answer:
    return Answer(200, {"value": []})


def _operation(fabric: AzureState, request: Request, provider: str, location: str, id: str) -> Answer:
    return fabric.operations.status(id)


def _outcome(fabric: AzureState, request: Request, provider: str, location: str, id: str) -> Answer:
    return fabric.operations.outcome(id, request)


ROUTES = Routes(
    ("GET", "/subscriptions", resource_groups.subscriptions),
    ("GET", SUBSCRIPTION, resource_groups.subscription),
    ("GET", f"{SUBSCRIPTION}/resourceGroups", resource_groups.list_groups),
    ("GET", f"{SUBSCRIPTION}/providers", resource_groups.providers),
    ("GET", SUBSCRIPTION + "/providers/{namespace}", resource_groups.provider),
    ("GET", GROUP, resource_groups.group_),
    *_list_routes("/resources", resource_groups.list_resources),
    ("GET", SUBSCRIPTION + "/providers/{provider}/locations/{location}/operations/{id}", _operation),
    ("GET", SUBSCRIPTION + "/providers/{provider}/locations/{location}/operationResults/{id}", _outcome),
    *_list_routes(MACHINES, vms.list_all),
    ("GET", MACHINE, vms.get),
    ("PATCH", MACHINE, vms.patch),
    ("GET", f"{MACHINE}/instanceView", vms.get_view),
    *(("POST", f"{MACHINE}/{what}", vms.power_action(what)) for what in ("powerOff", "deallocate", "start", "restart", "redeploy")),
    ("POST", f"{MACHINE}/runCommand", vms.run),
    *_list_routes(NICS, nics.list_all),
    ("GET", NIC, nics.get),
    ("PUT", NIC, nics.put),
    ("PATCH", GROUP + NICS + "/{name}", resource_groups.retag(lambda f, g, n: nics.resource(f, nics.find(f, g, n)))),
    ("POST", f"{NIC}/effectiveNetworkSecurityGroups", nics.effective_security),
    ("POST", f"{NIC}/effectiveRouteTable", nics.effective_routes),
    *_list_routes(BALANCERS, balancers.list_all),
    ("GET", BALANCER, balancers.get),
    ("PUT", BALANCER, balancers.put),
    ("PATCH", GROUP + BALANCERS + "/{name}", resource_groups.retag(balancers.find)),
    ("PUT", BALANCER + "/backendAddressPools/{part}", balancers.put_pool),
    ("POST", BALANCER + "/loadBalancingRules/{rule}/health", balancers.health),
    ("GET", f"{NIC}/ipConfigurations", nics.list_configurations),
    ("GET", NIC + "/ipConfigurations/{name}", nics.get_configuration),
    ("GET", f"{BALANCER}/networkInterfaces", nics.list_of_members),
    ("GET", BALANCER + "/{kind}", balancers.list_parts),
    ("GET", BALANCER + "/{kind}/{part}", balancers.get_part),
    *_list_routes(NSGS, nsgs.list_all),
    ("GET", NSG, nsgs.get),
    ("PATCH", GROUP + NSGS + "/{name}", resource_groups.retag(lambda f, g, n: nsgs.resource(f, nsgs.find(f, g, n)))),
    ("GET", f"{NSG}/securityRules", nsgs.list_rules),
    ("GET", f"{NSG}/defaultSecurityRules", nsgs.list_defaults),
    ("GET", NSG + "/securityRules/{rule}", nsgs.get_rule),
    ("PUT", NSG + "/securityRules/{rule}", nsgs.put_rule),
    ("DELETE", NSG + "/securityRules/{rule}", nsgs.delete_rule),
    *_list_routes(VNETS, networks.list_all),
    ("GET", VNET, networks.get),
    ("GET", f"{VNET}/CheckIPAddressAvailability", networks.check_address),
    ("GET", f"{VNET}/subnets", networks.list_subnets),
    ("GET", VNET + "/subnets/{subnet}", networks.get_subnet),
    *_list_routes(TABLES, networks.list_route_tables),
    *(route for path in NONE_OF for route in _list_routes(path, _answer_empty_list)),
    ("GET", f"{MACHINE}/extensions", _answer_empty_list),
    ("GET", GROUP + TABLES + "/{table}", networks.get_route_table),
)
FIRST_API_DAY = date(2014, 1, 1)
API_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")
TAG_HANDLERS: dict[str, Handler] = {
    "GET": resource_groups.get_tags,
    "PUT": resource_groups.put_tags,
    "PATCH": resource_groups.patch_tags,
    "DELETE": resource_groups.delete_tags,
}
LOCK_PATH = "/providers/microsoft.authorization/locks"
TAG_PATH = "/providers/microsoft.resources/tags/default"


def answer(fabric: AzureState, request: Request) -> Answer:
    """Answer one request of somebody who may ask. Raises Problem."""
    if "api-version" not in request.query:
        raise Problem(400, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.")
    if not _is_api_version(request.query["api-version"]):
        raise Problem(400, "InvalidApiVersionParameter", f"The api-version '{request.query['api-version']}' is invalid.")
    _demand_known_scope(request)
    _demand_supported_options(request)
    fabric.conditions.must_admit(request)
    if request.path.lower().endswith(LOCK_PATH) and request.method == "GET":
        return Answer(200, {"value": fabric.conditions.locks_at(request.path[: -len(LOCK_PATH)])})
    if request.path.lower().endswith(TAG_PATH) and request.method in TAG_HANDLERS:
        return TAG_HANDLERS[request.method](fabric, request, request.path[: -len(TAG_PATH)])
    return ROUTES.answer(fabric, request)


def _is_api_version(text: str) -> bool:
    """Whether it is a day on which there was a resource manager, and that has been. Which versions each type has is not looked at."""
    if not API_VERSION.fullmatch(text):
        return False
    try:
        return FIRST_API_DAY <= date.fromisoformat(text[:10]) <= date.today()
    except ValueError:
        return False


def _demand_supported_options(request: Request) -> None:
    """A question with more in it than is answered is refused: a `$filter` that is ignored shows what was not asked for."""
    path = request.path.lower().rstrip("/")
    supported: tuple[str, ...] = (
        ("$expand",) if MACHINES.lower() in path and request.query.get("$expand", "").lower() == "instanceview" else ()
    )
    if path.endswith(("/resources", "/resourcegroups")):
        supported = ("$filter", "$top", "$expand") if path.endswith("/resources") else ("$filter", "$top")
    for name, value in request.query.items():
        if name.startswith("$") and value and name not in supported:
            raise lab_cannot(f"{name}={value} of {request.path}")


def _demand_known_scope(request: Request) -> None:
    segments = request.path.strip("/").split("/")
    if segments[0].lower() == "subscriptions" and len(segments) > 1 and segments[1].lower() != resource_ids.SUBSCRIPTION:
        raise Problem(404, "SubscriptionNotFound", f"The subscription '{segments[1]}' could not be found.")
    if len(segments) > 3 and segments[2].lower() == "resourcegroups" and segments[3].lower() != resource_ids.GROUP:
        raise Problem(404, "ResourceGroupNotFound", f"Resource group '{segments[3]}' could not be found.")
