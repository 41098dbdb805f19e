"""Misconfigurations of the Azure side, switched on and off while the lab runs.

Where the lab can have it, it really has it (pool, adminState, noHealthyBackendsBehavior, security rules); the others are only said
by the API, and the lab's traffic goes on as before. Each has a name and the sentence that a reader should come to.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.lab.azure.state import resource_ids
from harness.lab.topology import Nic

if TYPE_CHECKING:
    from harness.lab.azure.state.azure_state import AzureState

Json = dict[str, Any]
RULE = "lab-misconfiguration"  # how the names of the security rules start that are put here
PRIORITY = 200
APPLIANCE_OFFSET = 99  # of subnet1: the address of a next hop that there is not
OTHER_FRONTEND_OFFSET = 201


def _first_properties(balancer: Json, kind: str) -> Json:
    return balancer["properties"][kind][0]["properties"]


def _rules(balancer: Json, **properties: Any) -> None:
    for rule in balancer["properties"]["loadBalancingRules"]:
        rule["properties"] |= properties


def _other_frontend(fabric: AzureState, balancer: Json) -> None:
    frontend = _first_properties(balancer, "frontendIPConfigurations")
    frontend["privateIPAddress"] = str(fabric.cluster.subnet1.network_address + OTHER_FRONTEND_OFFSET)


def _public(fabric: AzureState, balancer: Json) -> None:
    frontend = _first_properties(balancer, "frontendIPConfigurations")
    for key in ("privateIPAddress", "subnet"):
        frontend.pop(key)
    frontend |= {
        "privateIPAllocationMethod": "Dynamic",
        "publicIPAddress": {"id": resource_ids.network_id("publicIPAddresses", "ilb-public")},
    }
    balancer["properties"]["scope"] = "Public"


def _missing_rule(fabric: AzureState, balancer: Json) -> None:
    """The first service's rule is gone; where one rule was for all ports it is for the last service's port alone."""
    rules = balancer["properties"]["loadBalancingRules"]
    if fabric.cluster.load_balancer.ha_ports:
        port = fabric.cluster.services[-1].port
        rules[0]["properties"] |= {"protocol": "Tcp", "frontendPort": port, "backendPort": port}
    else:
        removed_rule = rules.pop(0)
        for kind in ("frontendIPConfigurations", "backendAddressPools", "probes"):
            part = _first_properties(balancer, kind)
            part["loadBalancingRules"] = [r for r in part["loadBalancingRules"] if r["id"] != removed_rule["id"]]


def _no_probe(fabric: AzureState, balancer: Json) -> None:
    rule = _first_properties(balancer, "loadBalancingRules")
    rule.pop("probe")


def _floating(fabric: AzureState, balancer: Json) -> None:
    for rule in balancer["properties"]["loadBalancingRules"]:
        rule["properties"]["enableFloatingIP"] = not rule["properties"]["enableFloatingIP"]


def _probe(**changes: Callable[[Json], Any]) -> Callable[[AzureState, Json], None]:
    def change(fabric: AzureState, balancer: Json) -> None:
        probe = _first_properties(balancer, "probes")
        probe |= {key: change_of(probe) for key, change_of in changes.items()}

    return change


def _other_protocol(fabric: AzureState, balancer: Json) -> None:
    probe = _first_properties(balancer, "probes")
    probe |= {"protocol": "Tcp"} if probe["protocol"] != "Tcp" else {"protocol": "Http", "requestPath": "/"}
    if probe["protocol"] == "Tcp":
        probe.pop("requestPath", None)


def _backend_port(fabric: AzureState, balancer: Json) -> None:
    rule = _first_properties(balancer, "loadBalancingRules")
    rule["backendPort"] += 1


# Said by the API only: name, sentence, what it changes of the load balancer.
OF_BALANCER: dict[str, tuple[str, Callable[[AzureState, Json], None]]] = {
    "basic-sku": ("the load balancer's SKU is Basic", lambda f, b: b.update(sku={"name": "Basic", "tier": "Regional"})),
    "public-frontend": ("the frontend is public, not internal", _public),
    "dynamic-frontend": (
        "the frontend's address is dynamic",
        lambda f, b: _first_properties(b, "frontendIPConfigurations").update(privateIPAllocationMethod="Dynamic"),
    ),
    "other-frontend": ("the frontend's address is not the IP resource's", _other_frontend),
    "probe-protocol": ("the probe's protocol is not the file's", _other_protocol),
    "probe-port": ("the probe's port is not the file's", _probe(port=lambda p: p["port"] + 1)),
    "probe-interval": ("the probe's interval is not the file's", _probe(intervalInSeconds=lambda p: p["intervalInSeconds"] + 10)),
    "probe-threshold": ("the probe's probeThreshold is not the file's", _probe(probeThreshold=lambda p: p["probeThreshold"] + 2)),
    "number-of-probes": ("numberOfProbes is more than 1, which does nothing", _probe(numberOfProbes=lambda p: 3)),
    "rule-without-probe": ("a rule has no probe", _no_probe),
    "floating-ip": ("floating IP is against the design", _floating),
    "backend-port": ("a rule's backend port is not its frontend port", _backend_port),
    "session-persistence": ("session persistence (SourceIP) is on", lambda f, b: _rules(b, loadDistribution="SourceIP")),
    "idle-timeout": (
        "the idle timeout is not the file's",
        lambda f, b: _rules(b, idleTimeoutInMinutes=_first_properties(b, "loadBalancingRules")["idleTimeoutInMinutes"] + 11),
    ),
    "tcp-reset": ("TCP reset is not as the file says", lambda f, b: _rules(b, enableTcpReset=not f.cluster.load_balancer.tcp_reset)),
    "missing-rule": ("a service has no load-balancing rule", _missing_rule),
}
# Said by the API only, elsewhere.
SECONDARY, FORWARDING, DIVERTED = "secondary-in-pool", "ip-forwarding", "diverted-routes"
ELSEWHERE = {
    SECONDARY: "a secondary ip configuration of a node is in the pool",
    FORWARDING: "IP forwarding is on at a node's NIC",
    DIVERTED: "a route table sends the nodes' traffic to an appliance",
}
# What the lab really has then: name, sentence, how it is told, how it is put back.
OUTSIDE, ADMIN, ADMIN_DOWN, ALL_UP = "node-outside-pool", "admin-state-up", "admin-state-down", "all-probed-up"
DENIES_PROBES, DENIES_CLIENTS = "nsg-denies-probes", "nsg-denies-clients"
REAL = {
    OUTSIDE: "the second node is outside the pool",
    ADMIN: "adminState Up is left on the second node",
    ADMIN_DOWN: "adminState Down is left on the second node",
    ALL_UP: "noHealthyBackendsBehavior is AllProbedUp",
    DENIES_PROBES: "the first node's security group denies 168.63.129.16",
    DENIES_CLIENTS: "the second node's security group denies the clients",
}


def sentences() -> dict[str, str]:
    """Every misconfiguration there is, and what it is."""
    return {name: sentence for name, (sentence, _) in OF_BALANCER.items()} | ELSEWHERE | REAL


class Misconfigurations:
    """The misconfigurations switched on."""

    def __init__(self) -> None:
        self._on: list[str] = []
        self._lock = threading.RLock()

    def switched_on(self) -> list[str]:
        """The names of the misconfigurations that are on."""
        return list(self._on)

    def switch_on(self, fabric: AzureState, kind: str) -> dict[str, str]:
        """Raises ValueError for one that there is not."""
        if kind not in (all_sentences := sentences()):
            raise ValueError(f"there is no misconfiguration {kind!r}; there are {', '.join(all_sentences)}")
        with self._lock:
            if kind in REAL:
                _apply_to_lab(fabric, kind, is_on=True)
            if kind not in self._on:
                self._on.append(kind)
        return {kind: all_sentences[kind]}

    def clear(self, fabric: AzureState) -> None:
        """Everything as it was."""
        with self._lock:
            for kind in [k for k in self._on if k in REAL]:
                _apply_to_lab(fabric, kind, is_on=False)
            self._on = []

    def on_balancer(self, fabric: AzureState, balancer: Json) -> None:
        """Changes the balancer's description as the misconfigurations that are on demand."""
        for kind in self.switched_on():
            if kind in OF_BALANCER:
                OF_BALANCER[kind][1](fabric, balancer)
        if SECONDARY in self._on:
            pool, nic = _first_properties(balancer, "backendAddressPools"), fabric.topology.members[0]
            pool["backendIPConfigurations"].append({"id": _secondary(fabric, nic)["id"]})

    def on_interface(self, fabric: AzureState, nic: Nic, interface: Json) -> None:
        """Changes a network interface's description likewise; only the first node's NIC in Subnet#1 is concerned."""
        if nic.host != fabric.cluster.nodes[0].name or not nic.pooled:
            return
        if FORWARDING in self._on:
            interface["properties"]["enableIPForwarding"] = True
        if SECONDARY in self._on:
            interface["properties"]["ipConfigurations"].append(_secondary(fabric, nic))

    def on_subnet(self, fabric: AzureState, name: str, subnet: Json) -> None:
        """Changes a subnet's description likewise."""
        if DIVERTED in self._on and name == "subnet1":
            subnet["properties"]["routeTable"] = {"id": resource_ids.network_id("routeTables", resource_ids.ROUTE_TABLE)}

    def on_effective_routes(self, fabric: AzureState, nic: Nic, routes: list[Json]) -> None:
        """A user's route for a prefix takes the place of the default one, which is then said to be invalid."""
        if DIVERTED not in self._on or nic.subnet_name != "subnet1":
            return
        prefix = str(fabric.cluster.subnet1)
        for route in routes:
            if prefix in route["addressPrefix"]:
                route["addressPrefix"].remove(prefix)
        invalid = {"source": "Default", "state": "Invalid", "addressPrefix": [prefix], "nextHopType": "VnetLocal", "nextHopIpAddress": []}
        user = {
            "name": "to-appliance",
            "source": "User",
            "state": "Active",
            "addressPrefix": [prefix],
            "nextHopType": "VirtualAppliance",
            "nextHopIpAddress": [_appliance(fabric)],
        }
        routes += [invalid, user]

    def route_tables(self, fabric: AzureState) -> list[Json]:
        """The route tables that exist: one that diverts the answers, where that is switched on."""
        if DIVERTED not in self._on:
            return []
        id = resource_ids.network_id("routeTables", resource_ids.ROUTE_TABLE)
        kind = "Microsoft.Network/routeTables"
        route = {
            "name": "to-appliance",
            "id": f"{id}/routes/to-appliance",
            "type": f"{kind}/routes",
            "properties": {
                "provisioningState": "Succeeded",
                "addressPrefix": str(fabric.cluster.subnet1),
                "nextHopType": "VirtualAppliance",
                "nextHopIpAddress": _appliance(fabric),
            },
        }
        properties = {"provisioningState": "Succeeded", "routes": [route], "subnets": [{"id": resource_ids.subnet_id("subnet1")}]}
        return [{**fabric.common(id, resource_ids.ROUTE_TABLE, kind), "properties": properties}]


def _appliance(fabric: AzureState) -> str:
    return str(fabric.cluster.subnet1.network_address + APPLIANCE_OFFSET)


def _secondary(fabric: AzureState, nic: Nic) -> Json:
    id = f"{resource_ids.nic_id(nic)}/ipConfigurations/ipconfig2"
    properties = {
        "provisioningState": "Succeeded",
        "privateIPAddress": str(nic.address + 100),
        "privateIPAllocationMethod": "Static",
        "privateIPAddressVersion": "IPv4",
        "primary": False,
        "subnet": {"id": resource_ids.subnet_id(nic.subnet_name)},
        "loadBalancerBackendAddressPools": [{"id": resource_ids.balancer_id("backendAddressPools", resource_ids.POOL)}],
    }
    return {"name": "ipconfig2", "id": id, "type": "Microsoft.Network/networkInterfaces/ipConfigurations", "properties": properties}


def _apply_to_lab(fabric: AzureState, kind: str, *, is_on: bool) -> None:
    """Have it in the lab, or put it back."""
    first_node, second_node = (node.name for node in fabric.cluster.nodes)
    if kind == OUTSIDE:
        fabric.ask("pool", node=second_node, member=not is_on)
    elif kind in (ADMIN, ADMIN_DOWN):
        fabric.ask("admin", node=second_node, state=("up" if kind == ADMIN else "down") if is_on else "none")
    elif kind == ALL_UP:
        fabric.ask("no_healthy_backends", behaviour="AllProbedUp" if is_on else fabric.settings.no_healthy_backends)
    elif kind == DENIES_PROBES:
        _deny(fabric, f"{first_node}.eth0", kind, f"{fabric.cluster.load_balancer.probe.source}/32" if is_on else None)
    else:
        _deny(fabric, f"{second_node}.eth0", kind, f"{fabric.cluster.client.address}/32" if is_on else None)


def _deny(fabric: AzureState, place: str, kind: str, source: str | None) -> None:
    """A rule that denies `source` at a place, or none of this kind."""
    name = f"{RULE}-{kind}"
    with fabric.changing:
        rules = [rule for rule in fabric.ask("nsg").get(place, []) if rule["name"] != name]
        if source:
            rules.append({"name": name, "direction": "inbound", "priority": PRIORITY, "source": source, "access": "deny"})
        fabric.ask("nsg", place=place, rules=rules)
