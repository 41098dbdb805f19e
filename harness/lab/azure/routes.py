"""Which path is answered by what: the part of the management API that the lab has."""

from __future__ import annotations

from harness.lab.azure import balancers, groups, interfaces, machines, names, networks, security
from harness.lab.azure.fabric import Fabric
from harness.lab.azure.wire import Answer, Handler, Problem, Request, Routes

SUBSCRIPTION = f"/subscriptions/{names.SUBSCRIPTION}"
GROUP = SUBSCRIPTION + "/resourceGroups/{group}"
MACHINES = "/providers/Microsoft.Compute/virtualMachines"
MACHINE = GROUP + MACHINES + "/{machine}"
NETWORK = "/providers/Microsoft.Network"
NICS, BALANCERS, NSGS = f"{NETWORK}/networkInterfaces", f"{NETWORK}/loadBalancers", f"{NETWORK}/networkSecurityGroups"
VNETS, TABLES = f"{NETWORK}/virtualNetworks", f"{NETWORK}/routeTables"
NIC, BALANCER, NSG, VNET = GROUP + NICS + "/{nic}", GROUP + BALANCERS + "/{balancer}", GROUP + NSGS + "/{nsg}", GROUP + VNETS + "/{network}"


def _both(path: str, handler: Handler) -> tuple[tuple[str, str, Handler], ...]:
    """A list, of a resource group's and of the subscription's resources; the lab has one group, so they are the same."""
    return ("GET", GROUP + path, handler), ("GET", SUBSCRIPTION + path, handler)


def _operation(fabric: Fabric, request: Request, provider: str, location: str, id: str) -> Answer:
    return fabric.operations.status(id)


def _outcome(fabric: Fabric, request: Request, provider: str, location: str, id: str) -> Answer:
    return fabric.operations.outcome(id, request)


ROUTES = Routes(
    ("GET", "/subscriptions", groups.subscriptions),
    ("GET", SUBSCRIPTION, groups.subscription),
    ("GET", f"{SUBSCRIPTION}/resourceGroups", groups.list_groups),
    ("GET", GROUP, groups.group_),
    *_both("/resources", groups.list_resources),
    ("GET", SUBSCRIPTION + "/providers/{provider}/locations/{location}/operations/{id}", _operation),
    ("GET", SUBSCRIPTION + "/providers/{provider}/locations/{location}/operationResults/{id}", _outcome),
    *_both(MACHINES, machines.list_all),
    ("GET", MACHINE, machines.get),
    ("PATCH", MACHINE, machines.patch),
    ("GET", f"{MACHINE}/instanceView", machines.get_view),
    *(("POST", f"{MACHINE}/{what}", machines.told(what)) for what in ("powerOff", "deallocate", "start", "restart", "redeploy")),
    ("POST", f"{MACHINE}/runCommand", machines.run),
    *_both(NICS, interfaces.list_all),
    ("GET", NIC, interfaces.get),
    ("PUT", NIC, interfaces.put),
    ("PATCH", GROUP + NICS + "/{name}", groups.retag(lambda f, g, n: interfaces.resource(f, interfaces.find(f, g, n)))),
    ("POST", f"{NIC}/effectiveNetworkSecurityGroups", interfaces.effective_security),
    ("POST", f"{NIC}/effectiveRouteTable", interfaces.effective_routes),
    *_both(BALANCERS, balancers.list_all),
    ("GET", BALANCER, balancers.get),
    ("PUT", BALANCER, balancers.put),
    ("PATCH", GROUP + BALANCERS + "/{name}", groups.retag(balancers.find)),
    ("PUT", BALANCER + "/backendAddressPools/{part}", balancers.put_pool),
    ("POST", BALANCER + "/loadBalancingRules/{rule}/health", balancers.health),
    ("GET", BALANCER + "/{kind}", balancers.list_parts),
    ("GET", BALANCER + "/{kind}/{part}", balancers.get_part),
    *_both(NSGS, security.list_all),
    ("GET", NSG, security.get),
    ("PATCH", GROUP + NSGS + "/{name}", groups.retag(lambda f, g, n: security.resource(f, security.find(f, g, n)))),
    ("GET", f"{NSG}/securityRules", security.list_rules),
    ("GET", f"{NSG}/defaultSecurityRules", security.list_defaults),
    ("GET", NSG + "/securityRules/{rule}", security.get_rule),
    ("PUT", NSG + "/securityRules/{rule}", security.put_rule),
    ("DELETE", NSG + "/securityRules/{rule}", security.delete_rule),
    *_both(VNETS, networks.list_all),
    ("GET", VNET, networks.get),
    ("GET", f"{VNET}/subnets", networks.list_subnets),
    ("GET", VNET + "/subnets/{subnet}", networks.get_subnet),
    *_both(TABLES, networks.list_route_tables),
    ("GET", GROUP + TABLES + "/{table}", networks.get_route_table),
)
TAG_HANDLERS: dict[str, Handler] = {
    "GET": groups.get_tags,
    "PUT": groups.put_tags,
    "PATCH": groups.patch_tags,
    "DELETE": groups.delete_tags,
}
LOCK_PATH = "/providers/microsoft.authorization/locks"
TAG_PATH = "/providers/microsoft.resources/tags/default"


def answer(fabric: Fabric, request: Request) -> Answer:
    """Answer one request of somebody who may ask. Raises Problem."""
    if "api-version" not in request.query:
        raise Problem(400, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.")
    _known_scope(request)
    fabric.conditions.must_admit(request)
    if request.path.lower().endswith(LOCK_PATH) and request.method == "GET":
        return Answer(200, {"value": fabric.conditions.locks_at(request.path[: -len(LOCK_PATH)])})
    if request.path.lower().endswith(TAG_PATH) and request.method in TAG_HANDLERS:
        return TAG_HANDLERS[request.method](fabric, request, request.path[: -len(TAG_PATH)])
    return ROUTES.answer(fabric, request)


def _known_scope(request: Request) -> None:
    words = request.path.strip("/").split("/")
    if words[0].lower() == "subscriptions" and len(words) > 1 and words[1].lower() != names.SUBSCRIPTION:
        raise Problem(404, "SubscriptionNotFound", f"The subscription '{words[1]}' could not be found.")
    if len(words) > 3 and words[2].lower() == "resourcegroups" and words[3].lower() != names.GROUP:
        raise Problem(404, "ResourceGroupNotFound", f"Resource group '{words[3]}' could not be found.")
