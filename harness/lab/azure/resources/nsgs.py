"""Network security groups, and between their rules in Azure's words and in the lab's."""

from __future__ import annotations

import re
from ipaddress import IPv4Network
from typing import Any

from harness.lab.azure.state import request_body, resource_ids
from harness.lab.azure.state.azure_state import AzureState, provisioning_state
from harness.lab.azure.state.http_types import Answer, Problem, Request, lab_cannot, not_found, with_etags
from harness.lab.azure.state.long_running_operations import NETWORK

KIND = "Microsoft.Network/networkSecurityGroups"
TAGS = ("VirtualNetwork", "AzureLoadBalancer", "Internet", "*")
PROTOCOLS = {"*": "*", "tcp": "Tcp", "udp": "Udp", "icmp": "Icmp"}
MAX_PORTS = 1024  # that a range may be written out into
PART = "~"  # between the name of a rule and the number of its part: Azure's rules name several sources, the lab's one

# The six that every group ends with (facts NSG-01): name, what for, source, destination, access, priority, direction.
DEFAULTS = (
    ("AllowVnetInBound", "Allow inbound traffic from all VMs in VNET", "VirtualNetwork", "VirtualNetwork", "Allow", 65000, "Inbound"),
    (
        "AllowAzureLoadBalancerInBound",
        "Allow inbound traffic from azure load balancer",
        "AzureLoadBalancer",
        "*",
        "Allow",
        65001,
        "Inbound",
    ),
    ("DenyAllInBound", "Deny all inbound traffic", "*", "*", "Deny", 65500, "Inbound"),
    (
        "AllowVnetOutBound",
        "Allow outbound traffic from all VMs to all VMs in VNET",
        "VirtualNetwork",
        "VirtualNetwork",
        "Allow",
        65000,
        "Outbound",
    ),
    ("AllowInternetOutBound", "Allow outbound traffic from all VMs to Internet", "*", "Internet", "Allow", 65001, "Outbound"),
    ("DenyAllOutBound", "Deny all outbound traffic", "*", "*", "Deny", 65500, "Outbound"),
)


def default_rules(group_id: str) -> list[dict[str, Any]]:
    """The six rules that Azure puts behind every group's own, which cannot be deleted (facts NSG-01)."""
    return [
        {
            "name": name,
            "id": f"{group_id}/defaultSecurityRules/{name}",
            "type": f"{KIND}/defaultSecurityRules",
            "properties": {
                "provisioningState": "Succeeded",
                "description": description,
                "protocol": "*",
                "sourcePortRange": "*",
                "destinationPortRange": "*",
                "sourceAddressPrefix": source,
                "destinationAddressPrefix": destination,
                "access": access,
                "priority": priority,
                "direction": direction,
            },
        }
        for name, description, source, destination, access, priority, direction in DEFAULTS
    ]


def rules_of(fabric: AzureState, place: resource_ids.Guarded) -> list[dict[str, Any]]:
    """The custom rules in force at a place, as Azure says them."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for rule in fabric.ask("nsg").get(place.place, []):
        by_name.setdefault(rule["name"].partition(PART)[0], []).append(rule)
    return [_rule(fabric, place, name, parts) for name, parts in by_name.items()]


def _rule(fabric: AzureState, place: resource_ids.Guarded, name: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    stored = fabric.written_rules.get((place.group, name))
    properties = stored[0] if stored and stored[1] == parts else _azure_properties(parts)
    id = f"{place.group_id}/securityRules/{name}"
    return with_etags(
        {
            "name": name,
            "id": id,
            "type": f"{KIND}/securityRules",
            "properties": {"provisioningState": provisioning_state(fabric, id), **properties},
        }
    )


def _azure_properties(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """What the lab has, in Azure's words: for rules that did not come in by this API."""
    first_rule = parts[0]

    def each(key: str) -> list[str]:
        return list(dict.fromkeys(str(part[key]) for part in parts))

    properties: dict[str, Any] = {
        "protocol": PROTOCOLS[first_rule["protocol"]],
        "sourcePortRange": "*",
        "access": first_rule["access"].capitalize(),
        "priority": first_rule["priority"],
        "direction": first_rule["direction"].capitalize(),
    }
    ports = [str(port) for port in first_rule["ports"]] or ["*"]
    for key, values in (("source", each("source")), ("destination", each("destination"))):
        properties |= {f"{key}AddressPrefix": values[0]} if len(values) == 1 else {f"{key}AddressPrefixes": values}
    return properties | ({"destinationPortRange": ports[0]} if len(ports) == 1 else {"destinationPortRanges": ports})


def resource(fabric: AzureState, place: resource_ids.Guarded) -> dict[str, Any]:
    """One network security group with its own rules, the default rules, and what it is attached to."""
    association = (
        {"networkInterfaces": [{"id": resource_ids.nic_id(place.nic)}]}
        if place.nic
        else {"subnets": [{"id": resource_ids.subnet_id(place.subnet or "")}]}
    )
    return with_etags(
        {
            **fabric.common(place.group_id, place.group, KIND),
            "properties": {
                "provisioningState": provisioning_state(fabric, place.group_id),
                "securityRules": rules_of(fabric, place),
                "defaultSecurityRules": default_rules(place.group_id),
                **association,
            },
        }
    )


def find(fabric: AzureState, group: str, nsg: str) -> resource_ids.Guarded:
    """The place that a network security group guards. Raises Problem."""
    for place in resource_ids.guarded(fabric.topology):
        if place.group.lower() == nsg.lower():
            return place
    raise not_found(KIND, nsg, group)


def find_rule(fabric: AzureState, place: resource_ids.Guarded, rule: str, group: str) -> dict[str, Any]:
    """One of the group's own rules by its name, in any case of letters; raises Problem 404."""
    for candidate in rules_of(fabric, place):
        if candidate["name"].lower() == rule.lower():
            return candidate
    raise Problem(404, "NotFound", f"Resource {place.group_id}/securityRules/{rule} not found.")


def get(fabric: AzureState, request: Request, group: str, nsg: str) -> Answer:
    """GET of one network security group."""
    return Answer(200, resource(fabric, find(fabric, group, nsg)))


def list_all(fabric: AzureState, request: Request, group: str = resource_ids.GROUP) -> Answer:
    """GET of the resource group's network security groups."""
    return Answer(200, {"value": [resource(fabric, place) for place in resource_ids.guarded(fabric.topology)]})


def list_rules(fabric: AzureState, request: Request, group: str, nsg: str) -> Answer:
    """GET of a group's own rules."""
    return Answer(200, {"value": rules_of(fabric, find(fabric, group, nsg))})


def list_defaults(fabric: AzureState, request: Request, group: str, nsg: str) -> Answer:
    """GET of a group's default rules."""
    return Answer(200, {"value": default_rules(find(fabric, group, nsg).group_id)})


def get_rule(fabric: AzureState, request: Request, group: str, nsg: str, rule: str) -> Answer:
    """GET of one of the group's own rules."""
    return Answer(200, find_rule(fabric, find(fabric, group, nsg), rule, group))


NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?")


def put_rule(fabric: AzureState, request: Request, group: str, nsg: str, rule: str) -> Answer:
    """PUT of a rule: checked as Azure does, then put before the lab's own; a long-running operation. Raises Problem 400."""
    place = find(fabric, group, nsg)
    if not NAME.fullmatch(rule):
        raise Problem(400, "InvalidResourceName", f"Resource name {rule} is invalid: letters, digits, _, . and -, 80 at most.")
    body_properties = request_body.resource(request).get("properties")
    if not isinstance(body_properties, dict):
        raise Problem(400, "InvalidRequestFormat", "Cannot parse the request: a security rule has properties.")
    properties = {key: value for key, value in body_properties.items() if key != "provisioningState" and value not in (None, [])}
    parts = compile_rule(rule, properties)
    with fabric.changing:
        old_names = [r["name"].lower() for r in rules_of(fabric, place)]
        for other_rule in rules_of(fabric, place):
            other_properties = other_rule["properties"]
            collides = (other_properties["priority"], other_properties["direction"]) == (properties["priority"], properties["direction"])
            if collides and other_rule["name"].lower() != rule.lower():
                message = (
                    f"Security rule {rule} conflicts with rule {other_rule['name']}: rules cannot have the same Priority and Direction."
                )
                raise Problem(400, "SecurityRuleConflict", message)

        def work() -> None:
            _replace(fabric, place, rule, parts)
            # As the lab gives it back, so that a later change made in the lab itself is seen.
            lab_rules = [r for r in fabric.ask("nsg").get(place.place, []) if _belongs(r, rule)]
            fabric.written_rules[place.group, rule] = (properties, lab_rules)

        subject = f"{place.group_id}/securityRules/{rule}"
        operation = fabric.operations.begin(request, NETWORK, subject, "put security rule", work, at_once=True)
    answer_body = {
        "name": rule,
        "id": subject,
        "type": f"{KIND}/securityRules",
        "properties": {**properties, "provisioningState": "Updating"},
    }
    return fabric.operations.put(operation, request, with_etags(answer_body), new=rule.lower() not in old_names)


def delete_rule(fabric: AzureState, request: Request, group: str, nsg: str, rule: str) -> Answer:
    """DELETE of a rule: a long-running operation; 204 when there is no such rule."""
    place = find(fabric, group, nsg)
    with fabric.changing:
        if rule.lower() not in [r["name"].lower() for r in rules_of(fabric, place)]:
            return Answer(204)
        subject = f"{place.group_id}/securityRules/{rule}"
        operation = fabric.operations.begin(
            request, NETWORK, subject, "delete security rule", lambda: _replace(fabric, place, rule, []), at_once=True
        )
    return fabric.operations.accepted_answer(operation, request)


def _belongs(lab_rule: dict[str, Any], name: str) -> bool:
    return lab_rule["name"].partition(PART)[0].lower() == name.lower()


def _replace(fabric: AzureState, place: resource_ids.Guarded, name: str, parts: list[dict[str, Any]]) -> None:
    """Put these in the place of every part of that rule."""
    other_rules = [r for r in fabric.ask("nsg").get(place.place, []) if not _belongs(r, name)]
    fabric.ask("nsg", place=place.place, rules=[*other_rules, *parts])
    fabric.written_rules.pop((place.group, name), None)


def compile_rule(name: str, properties: dict[str, Any]) -> list[dict[str, Any]]:
    """A security rule's properties as rules of the lab. Raises Problem for one that Azure would not have, or the lab cannot do."""
    for key in ("protocol", "access", "priority", "direction"):
        if key not in properties:
            raise Problem(400, "InvalidRequestFormat", f"Security rule {name} lacks its {key}.")
    priority = properties["priority"]
    if not isinstance(priority, int) or not 100 <= priority <= 4096:
        message = f"Security rule {name} has an invalid priority {priority}; it must be between 100 and 4096."
        raise Problem(400, "SecurityRuleInvalidPriority", message)
    protocol = str(properties["protocol"]).lower()
    access, direction = str(properties["access"]).lower(), str(properties["direction"]).lower()
    if protocol not in PROTOCOLS:
        raise lab_cannot(f"rules for the protocol {properties['protocol']}")
    if access not in ("allow", "deny") or direction not in ("inbound", "outbound") or PART in name:
        raise Problem(400, "InvalidRequestFormat", f"Security rule {name}: access, direction or name cannot be used.")
    if [p for p in _values_of(properties, "sourcePortRange") if p != "*"]:
        raise lab_cannot("rules that name source ports")
    if any("ApplicationSecurityGroups" in key for key in properties):
        raise lab_cannot("rules with application security groups")
    ends = [(s, d) for s in _prefixes(name, properties, "source") for d in _prefixes(name, properties, "destination")]
    common = {"direction": direction, "priority": priority, "protocol": protocol, "ports": _ports(name, properties), "access": access}
    return [
        {"name": name if i == 0 else f"{name}{PART}{i}", "source": source, "destination": destination, **common}
        for i, (source, destination) in enumerate(ends)
    ]


def _values_of(properties: dict[str, Any], key: str) -> list[str]:
    values = properties.get(f"{key}es" if key.endswith("Prefix") else f"{key}s") or []
    return [*values] or [properties.get(key) or "*"]


def _prefixes(name: str, properties: dict[str, Any], end: str) -> list[str]:
    return [_prefix(name, text) for text in _values_of(properties, f"{end}AddressPrefix")]


def _prefix(name: str, text: str) -> str:
    for tag in TAGS:
        if text.lower() == tag.lower():
            return tag
    if text.lower() in ("any", "0.0.0.0/0"):
        return "*"
    try:
        return str(IPv4Network(text, strict=False))
    except ValueError:
        raise lab_cannot(f"security rule {name} with the address prefix {text!r}; it knows networks and {', '.join(TAGS)}") from None


def _ports(name: str, properties: dict[str, Any]) -> list[int]:
    ports: list[int] = []
    for text in _values_of(properties, "destinationPortRange"):
        if text in ("*", "0-65535"):
            return []
        first_port, _, last_port = text.partition("-")
        if not (
            first_port.isdigit() and (last_port or first_port).isdigit() and 0 < int(first_port) <= int(last_port or first_port) <= 65535
        ):
            raise Problem(400, "SecurityRuleInvalidPortRange", f"Security rule {name} has an invalid port range {text!r}.")
        ports += range(int(first_port), int(last_port or first_port) + 1)
    if len(ports) > MAX_PORTS:
        raise lab_cannot(f"security rule {name} with more than {MAX_PORTS} ports; name fewer, or all with *")
    return ports
