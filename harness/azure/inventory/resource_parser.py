"""Azure's wire format into plain data (`resource_model.py`). Pure: takes what a model's `as_dict()` gives, which is the payload itself.

What Azure leaves out has Azure's own default; what makes no sense is a fault with its place, because the packages' models take anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.azure.inventory.resource_model import (
    Balancer,
    Frontend,
    IpConfiguration,
    Machine,
    Member,
    Nic,
    Pool,
    Probe,
    Route,
    Rule,
    SecurityGroup,
    SecurityRule,
    name_of,
)
from harness.core.errors import Unusable

Wire = Mapping[str, Any]


def payload(model: Any) -> Mapping[str, Any]:
    """A model of the packages as its payload; an operation's empty answer is one without anything in it. Models take anything for data."""
    if model is None:
        return {}
    wire = model.as_dict() if hasattr(model, "as_dict") else model
    if not isinstance(wire, Mapping):
        raise Unusable(f"Azure's answer cannot be read: {type(wire).__name__} where a resource should be; see resource_manager in [azure]")
    return wire


def balancer(wire: Wire) -> Balancer:
    """A load balancer. Raises Unusable for a payload that is none."""
    properties = _properties(wire)
    return Balancer(
        name=_text(wire, "name"),
        id=_text(wire, "id"),
        sku=str((wire.get("sku") or {}).get("name") or "Basic"),
        location=str(wire.get("location") or ""),
        frontends=tuple(_frontend(w) for w in _list(properties, "frontendIPConfigurations")),
        probes=tuple(_probe(w) for w in _list(properties, "probes")),
        rules=tuple(_rule(w) for w in _list(properties, "loadBalancingRules")),
        pools=tuple(pool(w) for w in _list(properties, "backendAddressPools")),
    )


def pool(wire: Wire) -> Pool:
    """A backend pool with its members, from the load balancer's own payload or from the pool's."""
    properties = _properties(wire)
    by_nic = [(_text(w, "id"), Member(name_of(w.get("id")), w.get("id"))) for w in _list(properties, "backendIPConfigurations")]
    members = {configuration.lower(): member for configuration, member in by_nic}
    members_by_address: list[Member] = []
    for w in _list(properties, "loadBalancerBackendAddresses"):
        inner = _properties(w)
        configuration = _id(inner.get("networkInterfaceIPConfiguration"))
        member = Member(
            str(w.get("name") or ""), configuration, _address(inner.get("ipAddress")), str(inner.get("adminState") or "None").capitalize()
        )
        if configuration is not None:
            members[configuration.lower()] = member
        else:
            members_by_address.append(member)
    return Pool(_text(wire, "name"), _text(wire, "id"), (*members.values(), *members_by_address))


def nic(wire: Wire) -> Nic:
    """A network interface."""
    properties = _properties(wire)
    return Nic(
        name=_text(wire, "name"),
        id=_text(wire, "id"),
        primary=bool(properties.get("primary")),
        machine_id=_id(properties.get("virtualMachine")),
        forwarding=bool(properties.get("enableIPForwarding")),
        group_id=_id(properties.get("networkSecurityGroup")),
        configurations=tuple(_configuration(w) for w in _list(properties, "ipConfigurations")),
    )


def machine(wire: Wire, instance_view: Wire | None = None) -> Machine:
    """A virtual machine; its power is found by its prefix among the instance view's statuses, never by its place."""
    properties = _properties(wire)
    interfaces = _list(properties.get("networkProfile") or {}, "networkInterfaces")
    primary_first = sorted(interfaces, key=lambda w: not (w.get("properties") or {}).get("primary", False))
    disk = (properties.get("storageProfile") or {}).get("osDisk") or {}
    return Machine(
        name=_text(wire, "name"),
        id=_text(wire, "id"),
        nic_ids=tuple(_text(w, "id") for w in primary_first),
        power=power(instance_view or properties.get("instanceView") or {}),
        system=str(disk.get("osType") or "linux").lower(),
    )


def power(instance_view: Wire) -> str | None:
    """ "running", "stopped", "deallocated", … or None when the view does not tell."""
    codes = [str(s.get("code") or "") for s in _list(instance_view, "statuses")]
    return next((code.split("/", 1)[1].lower() for code in codes if code.lower().startswith("powerstate/")), None)


def filters(wire: Wire) -> tuple[SecurityGroup, ...]:
    """What `effectiveNetworkSecurityGroups` of a NIC answers."""
    return tuple(
        SecurityGroup(
            id=_id(w.get("networkSecurityGroup")) or "",
            place="NIC" if (w.get("association") or {}).get("networkInterface") and not (w["association"].get("subnet")) else "subnet",
            rules=tuple(sorted((_security_rule(r) for r in _list(w, "effectiveSecurityRules")), key=lambda r: r.priority)),
        )
        for w in _list(wire, "value")
    )


def routes(wire: Wire) -> tuple[Route, ...]:
    """What `effectiveRouteTable` of a NIC answers."""
    return tuple(
        Route(
            prefixes=tuple(_list(w, "addressPrefix")),
            next_hop=str(w.get("nextHopType") or "None"),
            addresses=tuple(_list(w, "nextHopIpAddress")),
            source=str(w.get("source") or "Default"),
            active=str(w.get("state") or "Active").lower() == "active",
        )
        for w in _list(wire, "value")
    )


def prefixes(wire: Wire) -> tuple[str, ...]:
    """The address prefixes of a subnet."""
    properties = _properties(wire)
    single = properties.get("addressPrefix")
    return tuple(_list(properties, "addressPrefixes")) or ((str(single),) if single else ())


def _frontend(wire: Wire) -> Frontend:
    properties = _properties(wire)
    return Frontend(
        name=_text(wire, "name"),
        id=_text(wire, "id"),
        address=_address(properties.get("privateIPAddress")),
        allocation=str(properties.get("privateIPAllocationMethod") or "Dynamic"),
        subnet_id=_id(properties.get("subnet")),
        public=bool(properties.get("publicIPAddress") or properties.get("publicIPPrefix")),
    )


def _probe(wire: Wire) -> Probe:
    properties = _properties(wire)
    return Probe(
        name=_text(wire, "name"),
        id=_text(wire, "id"),
        protocol=_text(properties, "protocol").lower(),
        port=_number(properties, "port"),
        path=properties.get("requestPath"),
        interval_s=_measure(properties, "intervalInSeconds", 15),
        threshold=_number(properties, "probeThreshold") if properties.get("probeThreshold") is not None else None,
        number_of_probes=_number(properties, "numberOfProbes") if properties.get("numberOfProbes") is not None else None,
        no_healthy_backends=str(properties.get("noHealthyBackendsBehavior") or "AllProbedDown"),
    )


def _rule(wire: Wire) -> Rule:
    properties = _properties(wire)
    pools = [_id(properties.get("backendAddressPool")), *(_id(p) for p in _list(properties, "backendAddressPools"))]
    port = _number(properties, "frontendPort")
    return Rule(
        name=_text(wire, "name"),
        id=_text(wire, "id"),
        frontend_id=_id(properties.get("frontendIPConfiguration")),
        protocol=_text(properties, "protocol").lower(),
        frontend_port=port,
        backend_port=_number(properties, "backendPort", port),
        pool_ids=tuple(dict.fromkeys(p for p in pools if p)),
        probe_id=_id(properties.get("probe")),
        floating_ip=bool(properties.get("enableFloatingIP")),
        idle_minutes=_measure(properties, "idleTimeoutInMinutes", 4),
        tcp_reset=bool(properties.get("enableTcpReset")),
        distribution=str(properties.get("loadDistribution") or "Default"),
    )


def _configuration(wire: Wire) -> IpConfiguration:
    properties = _properties(wire)
    return IpConfiguration(
        name=_text(wire, "name"),
        id=_text(wire, "id"),
        address=_address(properties.get("privateIPAddress")),
        primary=bool(properties.get("primary")),
        subnet_id=_id(properties.get("subnet")),
        pool_ids=tuple(_text(p, "id") for p in _list(properties, "loadBalancerBackendAddressPools")),
        public=bool(properties.get("publicIPAddress")),
    )


def _security_rule(wire: Wire) -> SecurityRule:
    return SecurityRule(
        name=name_of(_text(wire, "name")),
        direction=_text(wire, "direction").lower(),
        priority=_number(wire, "priority"),
        allows=_text(wire, "access").lower() == "allow",
        protocol={"*": "all"}.get(protocol := str(wire.get("protocol") or "*").lower(), protocol),
        sources=_places(wire, "source"),
        source_ports=tuple(_each(wire, "sourcePortRange")),
        destinations=_places(wire, "destination"),
        destination_ports=tuple(_each(wire, "destinationPortRange")),
    )


def _places(wire: Wire, end: str) -> tuple[str, ...]:
    """Prefixes and tags of one end, and what Azure expands the tags to."""
    return (*_each(wire, f"{end}AddressPrefix", "es"), *_list(wire, f"expanded{end.capitalize()}AddressPrefix"))


def _each(wire: Wire, key: str, plural: str = "s") -> Iterator[str]:
    """One value and the list of them: Azure uses either, and sometimes both for the same. None at all means any."""
    values = [str(v) for v in _list(wire, key + plural)]
    value = wire.get(key)
    yield from dict.fromkeys([*([str(value)] if value not in (None, "") else []), *values]) or ["*"]


def _properties(wire: Wire) -> Wire:
    properties = wire.get("properties")
    if properties is None:
        return {}
    if not isinstance(properties, Mapping):
        raise Unusable(f"Azure's answer cannot be read: {wire.get('id') or 'something'} has properties that are no object")
    return properties


def _list(wire: Wire, key: str) -> list[Any]:
    value = wire.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise Unusable(f"Azure's answer cannot be read: {key} is {type(value).__name__}, not a list")
    return value


def _text(wire: Wire, key: str) -> str:
    value = wire.get(key)
    if not isinstance(value, str) or not value:
        raise Unusable(f"Azure's answer cannot be read: {key} is missing in {wire.get('id') or wire.get('name') or 'a part of it'}")
    return value


def _number(wire: Wire, key: str, default: int | None = None) -> int:
    value = wire.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float | str) or not str(value).strip().lstrip("-").isdigit():
        raise Unusable(f"Azure's answer cannot be read: {key} is {value!r}, not a number")
    return int(value)


def _measure(wire: Wire, key: str, default: float) -> float:
    """A duration. Azure's are whole numbers; a lab's may be shorter than the least of them."""
    value = wire.get(key, default)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise Unusable(f"Azure's answer cannot be read: {key} is {value!r}, not a number") from None


def _id(wire: Any) -> str | None:
    value = wire.get("id") if isinstance(wire, Mapping) else None
    return value if isinstance(value, str) and value else None


def _address(text: Any) -> str | None:
    """Azure may write an address with its prefix length."""
    return str(text).partition("/")[0] if text else None
