"""Network interfaces: addresses, membership of the backend pool, and what the fabric makes of rules and routes there."""

from __future__ import annotations

import uuid
from typing import Any

from harness.lab.azure.resources import nsgs
from harness.lab.azure.state import resource_ids
from harness.lab.azure.state.azure_state import AzureState, settled
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


def in_pool(fabric: AzureState, nic: Nic) -> bool:
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
    if in_pool(fabric, nic):
        configuration["loadBalancerBackendAddressPools"] = [{"id": resource_ids.balancer_id("backendAddressPools", resource_ids.POOL)}]
    guarded = next(g for g in resource_ids.guarded(fabric.topology) if g.nic == nic)
    said = {
        **fabric.common(id, resource_ids.nic_name(nic), KIND),
        "properties": {
            "provisioningState": settled(fabric, id),
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
    fabric.wrongs.on_interface(fabric, nic, said)
    return with_etags(said)


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
    for found in resource(fabric, find(fabric, group, nic))["properties"]["ipConfigurations"]:
        if found["name"].lower() == name.lower():
            return Answer(200, found)
    raise Problem(404, "NotFound", f"Resource {resource_ids.nic_id(find(fabric, group, nic))}/ipConfigurations/{name} not found.")


def list_of_members(fabric: AzureState, request: Request, group: str, balancer: str) -> Answer:
    """GET of the interfaces that are in the load balancer's pool. Raises Problem 404 for another balancer."""
    if balancer.lower() != resource_ids.BALANCER:
        raise not_found("Microsoft.Network/loadBalancers", balancer, group)
    return Answer(200, {"value": [resource(fabric, nic) for nic in fabric.topology.nics if in_pool(fabric, nic)]})


def put(fabric: AzureState, request: Request, group: str, nic: str) -> Answer:
    """Joining and leaving the pool is what can be changed; anything else must be as it is."""
    found = find(fabric, group, nic)
    given = request.body if isinstance(request.body, dict) else {}
    with fabric.changing:
        before = resource(fabric, found)
        check_etag(request, before)
        wanted = _pool_wanted(before, given)
        if wanted and not found.pooled:
            raise lab_cannot(f"{nic} in the backend pool; only the nodes' first NICs can be in it")

        def work() -> None:
            if found.pooled and wanted is not in_pool(fabric, found):
                fabric.ask("pool", node=found.host, member=wanted)
            _keep_tags(fabric, resource_ids.nic_id(found), given)

        operation = fabric.operations.begin(request, NETWORK, resource_ids.nic_id(found), "put network interface", work, at_once=True)
    return fabric.operations.put(operation, request, resource(fabric, found), new=False)


def _keep_tags(fabric: AzureState, id: str, given: dict[str, Any]) -> None:
    if isinstance(given.get("tags"), dict):
        fabric.tags[id.lower()] = given["tags"]


# What a PUT replaces, and what Azure takes where it is left out: the lab changes none of it.
OF_INTERFACES = {"networkSecurityGroup": None, "enableAcceleratedNetworking": False, "enableIPForwarding": False, "dnsSettings": None}
OF_CONFIGURATIONS = {
    "privateIPAddress": None,
    "privateIPAllocationMethod": "Dynamic",
    "subnet": None,
    "primary": True,
    "privateIPAddressVersion": "IPv4",
}


def _as_put(said: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """What it comes to: references by their ids, of the DNS settings the servers."""
    given = {key: default if said.get(key) is None else said[key] for key, default in defaults.items()}
    for key in ("networkSecurityGroup", "subnet"):
        if isinstance(given.get(key), dict):
            given[key] = str(given[key].get("id")).lower()
    if "dnsSettings" in given:
        given["dnsSettings"] = (given["dnsSettings"] or {}).get("dnsServers") or []
    return given


def _must_stay(now: dict[str, Any], wanted: dict[str, Any], name: str) -> None:
    """Raises Problem for what would change, also by being left out."""
    for key, value in now.items():
        if wanted[key] != value:
            raise lab_cannot(f"changing {key} of {name} to {wanted[key]!r} (PUT replaces: what is left out is taken away)")


def _pool_wanted(before: dict[str, Any], given: dict[str, Any]) -> bool:
    """Whether the NIC is to be in the pool. Raises Problem when something else is to change."""
    properties = given.get("properties") or {}
    configurations = properties.get("ipConfigurations") or []
    if not configurations:
        raise Problem(400, "InvalidRequestFormat", "Cannot parse the request: a network interface has ipConfigurations.")
    pools: list[str] = []
    now = {c["name"]: c["properties"] for c in before["properties"]["ipConfigurations"]}
    for configuration in configurations:
        said, name = configuration.get("properties") or {}, configuration.get("name")
        if name not in now:
            raise lab_cannot(f"adding the ip configuration {name!r} to a network interface")
        _must_stay(_as_put(now[name], OF_CONFIGURATIONS), _as_put(said, OF_CONFIGURATIONS), name)
        pools += [pool["id"].lower() for pool in said.get("loadBalancerBackendAddressPools") or []]
    _must_stay(_as_put(before["properties"], OF_INTERFACES), _as_put(properties, OF_INTERFACES), before["name"])
    unknown = [pool for pool in pools if pool != resource_ids.balancer_id("backendAddressPools", resource_ids.POOL).lower()]
    if unknown:
        raise Problem(404, "NotFound", f"Resource {unknown[0]} not found.")
    return bool(pools)


def effective_security(fabric: AzureState, request: Request, group: str, nic: str) -> Answer:
    """What applies to a NIC: its subnet's group and its own, tags written out (facts NSG-07, NSG-09)."""
    found = find(fabric, group, nic)
    _must_run(fabric, found)

    def work() -> dict[str, Any]:
        places = [g for g in resource_ids.guarded(fabric.topology) if g.nic == found or g.subnet == found.subnet_name]
        return {"value": [_effective(fabric, place, found) for place in reversed(places)]}

    operation = fabric.operations.begin(request, NETWORK, f"{resource_ids.nic_id(found)}/effective", "effective security rules", work)
    return fabric.operations.accepted(operation, request, by_location_only=True)


def _must_run(fabric: AzureState, nic: Nic) -> None:
    if fabric.power(nic.host) == "off":
        message = (
            f"The network interface {resource_ids.nic_name(nic)} is not attached to a running virtual machine: start {nic.host} first."
        )
        raise Problem(400, "NetworkInterfaceNotAttachedToRunningVM", message)


def _effective(fabric: AzureState, place: resource_ids.Guarded, nic: Nic) -> dict[str, Any]:
    to = (
        {"networkInterface": {"id": resource_ids.nic_id(nic)}} if place.nic else {"subnet": {"id": resource_ids.subnet_id(nic.subnet_name)}}
    )
    custom = [(f"securityRules/{r['name']}", r["properties"]) for r in nsgs.rules_of(fabric, place)]
    default = [(f"defaultSecurityRules/{r['name']}", r["properties"]) for r in nsgs.default_rules(place.group_id)]
    return {
        "networkSecurityGroup": {"id": place.group_id},
        "association": to,
        "effectiveSecurityRules": [_effective_rule(fabric, name, said) for name, said in [*custom, *default]],
    }


def _effective_rule(fabric: AzureState, name: str, said: dict[str, Any]) -> dict[str, Any]:
    ports = [_range(p) for p in said.get("destinationPortRanges") or [said.get("destinationPortRange", "*")]]
    rule: dict[str, Any] = {
        "name": name,
        "protocol": "All" if said["protocol"] == "*" else said["protocol"],
        "sourcePortRange": "0-65535",
        "sourcePortRanges": ["0-65535"],
        "destinationPortRange": ports[0],
        "destinationPortRanges": ports,
        "access": said["access"],
        "priority": said["priority"],
        "direction": said["direction"],
    }
    for end in ("source", "destination"):
        prefixes = said.get(f"{end}AddressPrefixes") or [said.get(f"{end}AddressPrefix", "*")]
        shown = ["0.0.0.0/0" if prefix == "*" else prefix for prefix in prefixes]
        rule |= {f"{end}AddressPrefix": shown[0], f"{end}AddressPrefixes": shown}
        if expanded := [network for prefix in prefixes for network in _expanded(fabric, prefix)]:
            rule[f"expanded{end.capitalize()}AddressPrefix"] = expanded
    return rule


def _range(text: str) -> str:
    return "0-65535" if text == "*" else text if "-" in text else f"{text}-{text}"


def _expanded(fabric: AzureState, tag: str) -> list[str]:
    """The networks behind a service tag."""
    host = f"{fabric.cluster.load_balancer.probe.source}/32"
    if tag == "VirtualNetwork":
        return [str(fabric.cluster.subnet1), str(fabric.cluster.subnet2), host]  # the VNet's own prefixes, and the host (NSG-07)
    return {"AzureLoadBalancer": [host], "Internet": ["32.0.0.0/3", "4.0.0.0/6", "2.0.0.0/7", "1.0.0.0/8"]}.get(tag, [])


def effective_routes(fabric: AzureState, request: Request, group: str, nic: str) -> Answer:
    """POST effectiveRouteTable: a long-running operation; raises Problem 409 while the machine is off."""
    found = find(fabric, group, nic)
    _must_run(fabric, found)

    def work() -> dict[str, Any]:
        own = [str(fabric.cluster.subnet1), str(fabric.cluster.subnet2)]
        others = [("None", net) for net in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16")]
        routes = [_route("VnetLocal", *own), _route("Internet", "0.0.0.0/0"), *(_route(hop, net) for hop, net in others)]
        fabric.wrongs.on_effective_routes(fabric, found, routes)
        return {"value": routes}

    operation = fabric.operations.begin(request, NETWORK, f"{resource_ids.nic_id(found)}/effective", "effective routes", work)
    return fabric.operations.accepted(operation, request, by_location_only=True)


def _route(hop: str, *prefixes: str) -> dict[str, Any]:
    return {"source": "Default", "state": "Active", "addressPrefix": [*prefixes], "nextHopType": hop, "nextHopIpAddress": []}
