"""The load balancer, its parts, what it can be told, and its own view of its members' health."""

from __future__ import annotations

import math
from typing import Any

from harness.config.cluster_config import Design
from harness.lab.azure.resources import vms
from harness.lab.azure.state import request_body, resource_ids
from harness.lab.azure.state.azure_state import AzureState, provisioning_state
from harness.lab.azure.state.http_types import Answer, Problem, Request, check_etag, lab_cannot, not_found, with_etags
from harness.lab.azure.state.long_running_operations import NETWORK

KIND = "Microsoft.Network/loadBalancers"
# Of a part: what can be changed, and what follows from something else.
MAY_DIFFER = {
    *("adminState", "noHealthyBackendsBehavior", "etag", "provisioningState"),
    *("loadBalancerBackendAddresses", "backendIPConfigurations", "loadBalancingRules"),
}
ADMIN = {"none": "None", "up": "Up", "down": "Down"}
# What Azure takes where a PUT leaves it out.
DEFAULTS = {
    **{"loadDistribution": "Default", "idleTimeoutInMinutes": 4, "enableFloatingIP": False, "enableTcpReset": False},
    **{"disableOutboundSnat": False, "privateIPAllocationMethod": "Dynamic", "privateIPAddressVersion": "IPv4", "probeThreshold": 1},
}
FOLLOWS = {"backendAddressPools", "numberOfProbes"}  # from another key
READ_ONLY = ("provisioningState", "resourceGuid", "scope")
# Of the resource itself: looked at elsewhere, or Azure's to say.
ENVELOPE = ("properties", "sku", "tags", "location", "id", "name", "type", "etag")
KINDS = ("frontendIPConfigurations", "backendAddressPools", "loadBalancingRules", "probes")  # whose parts are compared one by one
PARTS = ("frontendIPConfigurations", "backendAddressPools", "loadBalancingRules", "probes", "inboundNatRules", "outboundRules")


def round_up(value: float) -> int:
    """A timer as Azure says one, which knows whole numbers only (int32 in its specification): a fast lab's are shorter, and rounded up.

    What they truly are is in the lab's cluster file.
    """
    return max(1, math.ceil(value))


def _ports(fabric: AzureState) -> list[tuple[str, str, int, int]]:
    """Every rule: its name, protocol, frontend and backend port."""
    if fabric.cluster.load_balancer.ha_ports:
        return [("ha-ports", "All", 0, 0)]
    rules = [(f"rule-{s.port}", "Tcp", s.port, s.port) for s in fabric.cluster.services]
    extra = fabric.settings.rules
    return rules + [(f"rule-{r.protocol}-{r.port}", r.protocol.capitalize(), r.port, r.backend_port or r.port) for r in extra]


def _part(kind: str, name: str, **properties: Any) -> dict[str, Any]:
    id = resource_ids.balancer_id(kind, name)
    return {"name": name, "id": id, "type": f"{KIND}/{kind}", "properties": {"provisioningState": "Succeeded", **properties}}


def _rules(fabric: AzureState, status: dict[str, Any]) -> list[dict[str, Any]]:
    balancer = fabric.cluster.load_balancer
    pool = {"id": resource_ids.balancer_id("backendAddressPools", resource_ids.POOL)}
    return [
        _part(
            "loadBalancingRules",
            name,
            frontendIPConfiguration={"id": resource_ids.balancer_id("frontendIPConfigurations", resource_ids.FRONTEND)},
            frontendPort=frontend,
            backendPort=backend,
            enableFloatingIP=fabric.cluster.design is Design.FLOATING,
            idleTimeoutInMinutes=round_up(balancer.idle_timeout_s / 60),
            protocol=protocol,
            enableTcpReset=balancer.tcp_reset,
            loadDistribution=balancer.distribution,
            backendAddressPool=pool,
            backendAddressPools=[pool],
            probe={"id": resource_ids.balancer_id("probes", resource_ids.PROBE)},
            disableOutboundSnat=True,
        )
        for name, protocol, frontend, backend in _ports(fabric)
    ]


def _probe(fabric: AzureState, status: dict[str, Any], rules: list[dict[str, str]]) -> dict[str, Any]:
    probe = fabric.cluster.load_balancer.probe
    http_path = {"requestPath": probe.path} if probe.protocol == "http" else {}
    return _part(
        "probes",
        resource_ids.PROBE,
        protocol=probe.protocol.capitalize(),
        port=probe.port,
        **http_path,
        intervalInSeconds=round_up(probe.interval_s),
        numberOfProbes=1,
        probeThreshold=probe.threshold,
        noHealthyBackendsBehavior=status["no_healthy_backends"],
        loadBalancingRules=rules,
    )


def _pool(fabric: AzureState, status: dict[str, Any], rules: list[dict[str, str]]) -> dict[str, Any]:
    nics = {nic.host: nic for nic in fabric.topology.members}
    members = [m for m in status["balancer"] if m["in_pool"]]
    return _part(
        "backendAddressPools",
        resource_ids.POOL,
        loadBalancerBackendAddresses=[
            {
                "name": f"{resource_ids.GROUP}_{resource_ids.nic_name(nics[m['node']])}{resource_ids.IP_CONFIGURATION}",
                "properties": {
                    "ipAddress": m["address"],
                    "networkInterfaceIPConfiguration": {"id": resource_ids.configuration_id(nics[m["node"]])},
                    "adminState": ADMIN[m["admin_state"]],
                },
            }
            for m in members
        ],
        backendIPConfigurations=[{"id": resource_ids.configuration_id(nics[m["node"]])} for m in members],
        loadBalancingRules=rules,
    )


def resource(fabric: AzureState) -> dict[str, Any]:
    """The balancer as the resource manager shows it: frontend, pool, probe, rules, each with its id, as the fabric has them now."""
    status = fabric.status()
    rules = _rules(fabric, status)
    ids = [{"id": rule["id"]} for rule in rules]
    frontend = _part(
        "frontendIPConfigurations",
        resource_ids.FRONTEND,
        privateIPAddress=str(fabric.cluster.vip),
        privateIPAllocationMethod="Static",
        privateIPAddressVersion="IPv4",
        subnet={"id": resource_ids.subnet_id("subnet1")},
        loadBalancingRules=ids,
    )
    balancer: dict[str, Any] = {
        **fabric.common(resource_ids.balancer_id(), resource_ids.BALANCER, KIND),
        "sku": {"name": "Standard", "tier": "Regional"},
        "properties": {
            "provisioningState": provisioning_state(fabric, resource_ids.balancer_id()),
            "resourceGuid": "00000000-0000-4000-8000-0000000000b1",
            "scope": "Private",
            "frontendIPConfigurations": [{**frontend, "zones": ["1", "2", "3"]}],
            "backendAddressPools": [_pool(fabric, status, ids)],
            "loadBalancingRules": rules,
            "probes": [_probe(fabric, status, ids)],
            "inboundNatRules": [],
            "outboundRules": [],
            "inboundNatPools": [],
        },
    }
    fabric.misconfigurations.on_balancer(fabric, balancer)
    for kind in PARTS:
        balancer["properties"][kind] = [with_etags(part) for part in balancer["properties"][kind]]
    return with_etags(balancer)


def find(fabric: AzureState, group: str, balancer: str) -> dict[str, Any]:
    """The balancer of that name; raises Problem 404 for any other."""
    if balancer.lower() != resource_ids.BALANCER:
        raise not_found(KIND, balancer, group)
    return resource(fabric)


def get(fabric: AzureState, request: Request, group: str, balancer: str) -> Answer:
    """GET of one load balancer."""
    return Answer(200, find(fabric, group, balancer))


def list_all(fabric: AzureState, request: Request, group: str = resource_ids.GROUP) -> Answer:
    """GET of the resource group's load balancers."""
    return Answer(200, {"value": [resource(fabric)]})


def parts_of(fabric: AzureState, group: str, balancer: str, kind: str) -> list[dict[str, Any]]:
    """The balancer's children of one kind, such as `probes`; raises Problem 404 for a kind that it does not have."""
    properties = find(fabric, group, balancer)["properties"]
    for part_kind in PARTS:
        if part_kind.lower() == kind.lower():
            return properties[part_kind]
    raise Problem(404, "InvalidResourceType", f"A load balancer has no {kind}.")


def list_parts(fabric: AzureState, request: Request, group: str, balancer: str, kind: str) -> Answer:
    """GET of the balancer's children of one kind."""
    return Answer(200, {"value": parts_of(fabric, group, balancer, kind)})


def get_part(fabric: AzureState, request: Request, group: str, balancer: str, kind: str, part: str) -> Answer:
    """GET of one child by its name, in any case of letters; raises Problem 404."""
    for child in parts_of(fabric, group, balancer, kind):
        if child["name"].lower() == part.lower():
            return Answer(200, child)
    raise Problem(404, "NotFound", f"Resource {resource_ids.balancer_id(kind, part)} not found.")


def put_pool(fabric: AzureState, request: Request, group: str, balancer: str, part: str) -> Answer:
    """The members' adminState. Who is a member is said at the NICs, as it is for every pool of NICs."""
    find(fabric, group, balancer)
    if fabric.conditions.nic_pools_are_closed:
        message = (
            f"Backend address pool {part} is not allowed to be updated since it adds/modifies/deletes backend address pool members that "
            "are specified with a network interface IP configuration."
        )
        raise Problem(400, "BackendAddressPoolCannotBeUpdated", message)
    if part.lower() != resource_ids.POOL:
        raise lab_cannot(f"a second backend pool, {part!r}")
    properties = request_body.resource(request).get("properties") or {}
    with fabric.changing:
        old_pool = get_part(fabric, request, group, balancer, "backendAddressPools", part).body
        check_etag(request, old_pool)
        request_body.demand_unchanged(old_pool["properties"], properties, part, apart_from=MAY_DIFFER)
        states = _states(old_pool, properties)
        operation = fabric.operations.begin(
            request, NETWORK, resource_ids.balancer_id(), "put backend pool", lambda: _set_states(fabric, states), at_once=True
        )
    new_pool = get_part(fabric, request, group, balancer, "backendAddressPools", part).body
    return fabric.operations.put(operation, request, new_pool, new=False)


def _states(pool: dict[str, Any], properties: dict[str, Any]) -> dict[str, str]:
    """The adminState asked for, by the member's private address. A member that is not named keeps its own. Raises Problem."""
    addresses = properties.get("loadBalancerBackendAddresses")
    if addresses is None:
        return {}
    members = {a["name"].lower(): a["properties"] for a in pool["properties"]["loadBalancerBackendAddresses"]}
    states = {}
    for address in addresses:
        name, properties_of_member = str(address.get("name", "")), address.get("properties") or {}
        member = members.get(name.lower()) or next((p for p in members.values() if _is_member(p, properties_of_member)), None)
        if member is None:
            raise lab_cannot(f"the backend address {name!r}, which is no member; NICs join and leave the pool by their own PUT")
        state = str(properties_of_member.get("adminState") or "None")
        if state not in ADMIN.values():
            raise Problem(400, "InvalidAdminState", f"adminState can be {', '.join(ADMIN.values())}; not {state!r}.")
        states[member["ipAddress"]] = state
    return states


def _is_member(member: dict[str, Any], properties: dict[str, Any]) -> bool:
    configuration = (properties.get("networkInterfaceIPConfiguration") or {}).get("id", "")
    return (
        properties.get("ipAddress") == member["ipAddress"]
        or configuration.lower() == member["networkInterfaceIPConfiguration"]["id"].lower()
    )


def _set_states(fabric: AzureState, states: dict[str, str]) -> None:
    for member in fabric.status()["balancer"]:
        state = states.get(member["address"])
        if state is not None and ADMIN[member["admin_state"]] != state:
            fabric.ask("admin", node=member["node"], state=state.lower())


def put(fabric: AzureState, request: Request, group: str, balancer: str) -> Answer:
    """The members' adminState, noHealthyBackendsBehavior and tags; anything else must be as it is."""
    body = request_body.resource(request)
    tags = vms.tags_of_put(body)
    with fabric.changing:
        old_balancer = find(fabric, group, balancer)
        check_etag(request, old_balancer)
        request_body.demand_same_place(old_balancer, body)
        request_body.demand_unchanged(old_balancer, body, old_balancer["name"], apart_from=ENVELOPE)
        states, behaviour = _changes(old_balancer, body)

        def work() -> None:
            _set_states(fabric, states)
            if behaviour:
                fabric.ask("no_healthy_backends", behaviour=behaviour)
            fabric.tags[resource_ids.balancer_id().lower()] = tags

        operation = fabric.operations.begin(request, NETWORK, resource_ids.balancer_id(), "put load balancer", work, at_once=True)
    return fabric.operations.put(operation, request, resource(fabric), new=False)


def _changes(old_balancer: dict[str, Any], body: dict[str, Any]) -> tuple[dict[str, str], str | None]:
    """Raises Problem when something is to change that the lab cannot change."""
    states: dict[str, str] = {}
    behaviour = None
    old_properties, new_properties = old_balancer["properties"], body.get("properties") or {}
    new_sku = {"name": "Basic", "tier": "Regional"} | {key: value for key, value in (body.get("sku") or {}).items() if value}
    if new_sku != old_balancer["sku"]:
        raise lab_cannot("changing the SKU of a load balancer (one that is left out is Basic)")
    request_body.demand_unchanged(old_properties, new_properties, old_balancer["name"], apart_from={*KINDS, *READ_ONLY})
    for kind in KINDS:
        old_parts = {part["name"]: part for part in old_properties[kind]}
        new_parts = {str(part.get("name")): part for part in new_properties.get(kind) or []}
        if set(old_parts) != set(new_parts):
            raise lab_cannot(f"another set of {kind}: it has {', '.join(old_parts)}")
        for name, part in new_parts.items():
            new_values, old_values = part.get("properties") or {}, old_parts[name]["properties"]
            if kind != "backendAddressPools":
                new_values = {**{key: DEFAULTS.get(key) for key in set(old_values) - FOLLOWS}, **new_values}
            request_body.demand_unchanged(old_values, new_values, name, apart_from=MAY_DIFFER)
            if sorted(part.get("zones") or []) != sorted(old_parts[name].get("zones") or []):
                raise lab_cannot(f"changing the zones of {name}")
            if kind == "backendAddressPools":
                states = _states(old_parts[name], new_values)
            if kind == "probes" and new_values.get("noHealthyBackendsBehavior"):
                behaviour = new_values["noHealthyBackendsBehavior"]
    return states, behaviour


def health(fabric: AzureState, request: Request, group: str, balancer: str, rule: str) -> Answer:
    """The balancer's own view of each member, from the prober's true verdict (facts API-02 to API-05)."""
    rule_names = [r["name"].lower() for r in find(fabric, group, balancer)["properties"]["loadBalancingRules"]]
    if rule.lower() not in rule_names:
        raise Problem(404, "NotFound", f"Resource {resource_ids.balancer_id('loadBalancingRules', rule)} not found.")
    operation = fabric.operations.begin(
        request, NETWORK, f"{resource_ids.balancer_id()}/health", "load balancer health", lambda: _health(fabric)
    )
    return fabric.operations.accepted_answer(operation, request, by_location_only=True)


def _health(fabric: AzureState) -> dict[str, Any]:
    status = fabric.status()
    powered_off = {h["name"] for h in status["hosts"] if h["power"] == "off"}
    nics = {nic.host: nic for nic in fabric.topology.members}
    members = [m for m in status["balancer"] if m["in_pool"] and m["node"] not in powered_off]  # stopped ones are missing (API-05)
    addresses = [
        {
            "ipAddress": m["address"],
            "networkInterfaceIPConfigurationId": resource_ids.configuration_id(nics[m["node"]]),
            "state": "Up" if m["healthy"] else "Down",
            "reason": m["reason"],
        }
        for m in members
    ]
    up_count = sum(m["healthy"] for m in members)
    return {"up": up_count, "down": len(members) - up_count, "loadBalancerBackendAddresses": addresses}
