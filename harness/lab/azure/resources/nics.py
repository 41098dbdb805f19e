"""Network interfaces: addresses, membership of the backend pool, and what the fabric makes of rules and routes there."""

from __future__ import annotations

import uuid
from typing import Any

from harness.lab.azure.resources import nsgs, vms
from harness.lab.azure.state import request_body, resource_ids
from harness.lab.azure.state.azure_state import AzureState, provisioning_state
from harness.lab.azure.state.http_types import Answer, Problem, Request, check_etag, lab_cannot, not_found, with_etags
from harness.lab.azure.state.long_running_operations import NETWORK
from harness.lab.topology import Nic

KIND = "Microsoft.Network/networkInterfaces"


def find(fabric: AzureState, group: str, name: str) -> Nic:
    """The lab's NIC behind a network interface's name; raises Problem 404."""
    for nic in fabric.topology.nics:
        if resource_ids.nic_name(nic).lower() == name.lower():
            return nic
    raise not_found(KIND, name, group)


def is_in_pool(fabric: AzureState, nic: Nic) -> bool:
    """Whether the NIC is a member of the backend pool at this moment."""
    return nic.pooled and next(m["in_pool"] for m in fabric.status()["balancer"] if m["node"] == nic.host)


def resource(fabric: AzureState, nic: Nic) -> dict[str, Any]:
    """The network interface as the resource manager shows it: address, subnet, pool membership, MAC, machine."""
    id = resource_ids.nic_id(nic)
    configuration: dict[str, Any] = {
        "provisioningState": "Succeeded",
        "privateIPAddress": str(nic.address),
        "privateIPAllocationMethod": "Static",
        "subnet": {"id": resource_ids.subnet_id(nic.subnet_name)},
        "primary": True,
        "privateIPAddressVersion": "IPv4",
    }
    if is_in_pool(fabric, nic):
        configuration["loadBalancerBackendAddressPools"] = [{"id": resource_ids.balancer_id("backendAddressPools", resource_ids.POOL)}]
    guarded = next(g for g in resource_ids.guarded(fabric.topology) if g.nic == nic)
    interface = {
        **fabric.common(id, resource_ids.nic_name(nic), KIND),
        "properties": {
            "provisioningState": provisioning_state(fabric, id),
            "resourceGuid": str(uuid.uuid5(uuid.NAMESPACE_URL, id)),
            "ipConfigurations": [
                with_etags(
                    {
                        "name": resource_ids.IP_CONFIGURATION,
                        "id": resource_ids.configuration_id(nic),
                        "type": f"{KIND}/ipConfigurations",
                        "properties": configuration,
                    }
                )
            ],
            "dnsSettings": {"dnsServers": [], "appliedDnsServers": [], "internalDomainNameSuffix": "lab.internal.cloudapp.net"},
            "macAddress": nic.mac.upper().replace(":", "-"),
            "primary": nic.name == "eth0",
            "enableAcceleratedNetworking": False,
            "vnetEncryptionSupported": False,
            "enableIPForwarding": False,
            "networkSecurityGroup": {"id": guarded.group_id},
            "virtualMachine": {"id": resource_ids.machine_id(nic.host)},
            "nicType": "Standard",
        },
    }
    fabric.misconfigurations.on_interface(fabric, nic, interface)
    return with_etags(interface)


def get(fabric: AzureState, request: Request, group: str, nic: str) -> Answer:
    """GET of one network interface."""
    return Answer(200, resource(fabric, find(fabric, group, nic)))


def list_all(fabric: AzureState, request: Request, group: str = resource_ids.GROUP) -> Answer:
    """GET of the resource group's network interfaces."""
    return Answer(200, {"value": [resource(fabric, nic) for nic in fabric.topology.nics]})


def list_configurations(fabric: AzureState, request: Request, group: str, nic: str) -> Answer:
    """GET of one interface's IP configurations."""
    return Answer(200, {"value": resource(fabric, find(fabric, group, nic))["properties"]["ipConfigurations"]})


def get_configuration(fabric: AzureState, request: Request, group: str, nic: str, name: str) -> Answer:
    """GET of one IP configuration by its name; raises Problem 404."""
    for configuration in resource(fabric, find(fabric, group, nic))["properties"]["ipConfigurations"]:
        if configuration["name"].lower() == name.lower():
            return Answer(200, configuration)
    raise Problem(404, "NotFound", f"Resource {resource_ids.nic_id(find(fabric, group, nic))}/ipConfigurations/{name} not found.")


def list_of_members(fabric: AzureState, request: Request, group: str, balancer: str) -> Answer:
    """GET of the interfaces that are in the load balancer's pool. Raises Problem 404 for another balancer."""
    if balancer.lower() != resource_ids.BALANCER:
        raise not_found("Microsoft.Network/loadBalancers", balancer, group)
    return Answer(200, {"value": [resource(fabric, nic) for nic in fabric.topology.nics if is_in_pool(fabric, nic)]})


def put(fabric: AzureState, request: Request, group: str, nic: str) -> Answer:
    """Joining and leaving the pool is what can be changed; anything else must be as it is."""
    interface = find(fabric, group, nic)
    body = request_body.resource(request)
    tags = vms.tags_of_put(body)
    with fabric.changing:
        old_resource = resource(fabric, interface)
        check_etag(request, old_resource)
        request_body.demand_same_place(old_resource, body)
        request_body.demand_unchanged(old_resource, body, old_resource["name"], apart_from=ENVELOPE)
        joins_pool = _joins_pool(old_resource, body)
        if joins_pool and not interface.pooled:
            raise lab_cannot(f"{nic} in the backend pool; only the nodes' first NICs can be in it")

        def work() -> None:
            if interface.pooled and joins_pool is not is_in_pool(fabric, interface):
                fabric.ask("pool", node=interface.host, member=joins_pool)
            fabric.tags[resource_ids.nic_id(interface).lower()] = tags

        operation = fabric.operations.begin(request, NETWORK, resource_ids.nic_id(interface), "put network interface", work, at_once=True)
    return fabric.operations.put(operation, request, resource(fabric, interface), new=False)


# What a PUT replaces, and what Azure takes where it is left out: the lab changes none of it.
OF_INTERFACES = {"networkSecurityGroup": None, "enableAcceleratedNetworking": False, "enableIPForwarding": False, "dnsSettings": None}
OF_CONFIGURATIONS = {
    "privateIPAddress": None,
    "privateIPAllocationMethod": "Dynamic",
    "subnet": None,
    "primary": True,
    "privateIPAddressVersion": "IPv4",
}

# Of the resource itself: looked at elsewhere, or Azure's to say.
ENVELOPE = ("properties", "tags", "location", "id", "name", "type", "etag", "kind", "managedBy")
# What a PUT may hold and Azure does not read.
READ_ONLY = {
    *("provisioningState", "resourceGuid", "macAddress", "primary", "virtualMachine", "hostedWorkloads", "vnetEncryptionSupported"),
    *("tapConfigurations", "privateEndpoint", "privateLinkConnectionProperties", "defaultOutboundConnectivityEnabled"),
}
POOLS = "loadBalancerBackendAddressPools"


def _normalised_values(properties: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """What it comes to: references by their ids, of the DNS settings the servers."""
    values = {key: default if properties.get(key) is None else properties[key] for key, default in defaults.items()}
    for key in ("networkSecurityGroup", "subnet"):
        if isinstance(values.get(key), dict):
            values[key] = str(values[key].get("id")).lower()
    if "dnsSettings" in values:
        values["dnsSettings"] = (values["dnsSettings"] or {}).get("dnsServers") or []
    return values


def _demand_unchanged(old_values: dict[str, Any], new_values: dict[str, Any], name: str) -> None:
    """Raises Problem for what would change, also by being left out."""
    for key, value in old_values.items():
        if new_values[key] != value:
            raise lab_cannot(f"changing {key} of {name} to {new_values[key]!r} (PUT replaces: what is left out is taken away)")


def _joins_pool(old_resource: dict[str, Any], body: dict[str, Any]) -> bool:
    """Whether the NIC is to be in the pool. Raises Problem when something else is to change."""
    properties = body.get("properties") or {}
    configurations = properties.get("ipConfigurations") or []
    if not configurations:
        raise Problem(400, "InvalidRequestFormat", "Cannot parse the request: a network interface has ipConfigurations.")
    pools: list[str] = []
    name_of = old_resource["name"]
    old_configurations = {c["name"]: c["properties"] for c in old_resource["properties"]["ipConfigurations"]}
    for configuration in configurations:
        new_values, name = configuration.get("properties") or {}, configuration.get("name")
        if name not in old_configurations:
            raise lab_cannot(f"adding the ip configuration {name!r} to a network interface")
        _demand_unchanged(
            _normalised_values(old_configurations[name], OF_CONFIGURATIONS), _normalised_values(new_values, OF_CONFIGURATIONS), name
        )
        request_body.demand_unchanged(old_configurations[name], new_values, name, apart_from={*OF_CONFIGURATIONS, *READ_ONLY, POOLS})
        pools += [str(pool.get("id", "")).lower() for pool in new_values.get(POOLS) or []]
    if left_out := sorted(set(old_configurations) - {configuration["name"] for configuration in configurations}):
        raise lab_cannot(f"taking the ip configuration {left_out[0]!r} away from {name_of}")
    old_values = old_resource["properties"]
    _demand_unchanged(_normalised_values(old_values, OF_INTERFACES), _normalised_values(properties, OF_INTERFACES), name_of)
    request_body.demand_unchanged(old_values, properties, name_of, apart_from={*OF_INTERFACES, *READ_ONLY, "ipConfigurations"})
    unknown = [pool for pool in pools if pool != resource_ids.balancer_id("backendAddressPools", resource_ids.POOL).lower()]
    if unknown:
        raise Problem(404, "NotFound", f"Resource {unknown[0]} not found.")
    return bool(pools)


def effective_security(fabric: AzureState, request: Request, group: str, nic: str) -> Answer:
    """What applies to a NIC: its subnet's group and its own, tags written out (facts NSG-07, NSG-09)."""
    interface = find(fabric, group, nic)
    _demand_running(fabric, interface)

    def work() -> dict[str, Any]:
        places = [g for g in resource_ids.guarded(fabric.topology) if g.nic == interface or g.subnet == interface.subnet_name]
        return {"value": [_effective_group(fabric, place, interface) for place in reversed(places)]}

    operation = fabric.operations.begin(request, NETWORK, f"{resource_ids.nic_id(interface)}/effective", "effective security rules", work)
    return fabric.operations.accepted_answer(operation, request, by_location_only=True)


def _demand_running(fabric: AzureState, nic: Nic) -> None:
    if fabric.power(nic.host) == "off":
        message = (
            f"The network interface {resource_ids.nic_name(nic)} is not attached to a running virtual machine: start {nic.host} first."
        )
        raise Problem(400, "NetworkInterfaceNotAttachedToRunningVM", message)


def _effective_group(fabric: AzureState, place: resource_ids.Guarded, nic: Nic) -> dict[str, Any]:
    association = (
        {"networkInterface": {"id": resource_ids.nic_id(nic)}} if place.nic else {"subnet": {"id": resource_ids.subnet_id(nic.subnet_name)}}
    )
    custom = [(f"securityRules/{r['name']}", r["properties"]) for r in nsgs.rules_of(fabric, place)]
    default = [(f"defaultSecurityRules/{r['name']}", r["properties"]) for r in nsgs.default_rules(place.group_id)]
    return {
        "networkSecurityGroup": {"id": place.group_id},
        "association": association,
        "effectiveSecurityRules": [_effective_rule(fabric, name, rule) for name, rule in [*custom, *default]],
    }


def _effective_rule(fabric: AzureState, name: str, properties: dict[str, Any]) -> dict[str, Any]:
    ports = [_range(p) for p in properties.get("destinationPortRanges") or [properties.get("destinationPortRange", "*")]]
    rule: dict[str, Any] = {
        "name": name,
        "protocol": "All" if properties["protocol"] == "*" else properties["protocol"],
        "sourcePortRange": "0-65535",
        "sourcePortRanges": ["0-65535"],
        "destinationPortRange": ports[0],
        "destinationPortRanges": ports,
        "access": properties["access"],
        "priority": properties["priority"],
        "direction": properties["direction"],
    }
    for end in ("source", "destination"):
        prefixes = properties.get(f"{end}AddressPrefixes") or [properties.get(f"{end}AddressPrefix", "*")]
        networks = ["0.0.0.0/0" if prefix == "*" else prefix for prefix in prefixes]
        rule |= {f"{end}AddressPrefix": networks[0], f"{end}AddressPrefixes": networks}
        if expanded := [network for prefix in prefixes for network in _expand_tag(fabric, prefix)]:
            rule[f"expanded{end.capitalize()}AddressPrefix"] = expanded
    return rule


def _range(text: str) -> str:
    return "0-65535" if text == "*" else text if "-" in text else f"{text}-{text}"


def _expand_tag(fabric: AzureState, tag: str) -> list[str]:
    """The networks behind a service tag."""
    host = f"{fabric.cluster.load_balancer.probe.source}/32"
    if tag == "VirtualNetwork":
        return [str(fabric.cluster.subnet1), str(fabric.cluster.subnet2), host]  # the VNet's own prefixes, and the host (NSG-07)
    return {"AzureLoadBalancer": [host], "Internet": ["32.0.0.0/3", "4.0.0.0/6", "2.0.0.0/7", "1.0.0.0/8"]}.get(tag, [])


def effective_routes(fabric: AzureState, request: Request, group: str, nic: str) -> Answer:
    """POST effectiveRouteTable: a long-running operation; raises Problem 409 while the machine is off."""
    interface = find(fabric, group, nic)
    _demand_running(fabric, interface)

    def work() -> dict[str, Any]:
        subnets = [str(fabric.cluster.subnet1), str(fabric.cluster.subnet2)]
        special_networks = [("None", net) for net in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16")]
        routes = [_route("VnetLocal", *subnets), _route("Internet", "0.0.0.0/0"), *(_route(hop, net) for hop, net in special_networks)]
        fabric.misconfigurations.on_effective_routes(fabric, interface, routes)
        return {"value": routes}

    operation = fabric.operations.begin(request, NETWORK, f"{resource_ids.nic_id(interface)}/effective", "effective routes", work)
    return fabric.operations.accepted_answer(operation, request, by_location_only=True)


def _route(hop: str, *prefixes: str) -> dict[str, Any]:
    return {"source": "Default", "state": "Active", "addressPrefix": [*prefixes], "nextHopType": hop, "nextHopIpAddress": []}
