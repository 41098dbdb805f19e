"""Whether the NSG rules and routes in effect let a packet through. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

from harness.azure.inventory.resource_model import Route, SecurityGroup, SecurityRule, covers, name_of, width

PROBES = IPv4Address("168.63.129.16")
LOCAL = ("vnetlocal", "vnetpeering", "vnetglobalpeering", "internet", "hypernetgateway")  # next hops that are the fabric's own


def denied_by(groups: Iterable[SecurityGroup], source: IPv4Address, destination: IPv4Address, port: int) -> str | None:
    """What keeps a TCP packet from coming in: "rule deny-all of NSG x (subnet)". None when every NSG lets it in (facts NSG-02, NSG-09)."""
    for group in groups:
        inbound = sorted((r for r in group.rules if r.direction == "inbound"), key=lambda r: r.priority)
        first_match = next((r for r in inbound if _matches(r, source, destination, port)), None)
        group_name = f"NSG {name_of(group.id)} ({group.place})"
        if first_match is None and inbound:
            return f"no rule of {group_name}"
        if first_match is not None and not first_match.allows:
            return f"rule {first_match.name} (priority {first_match.priority}) of {group_name}"
    return None


def non_local_route(routes: Iterable[Route], to: IPv4Address) -> Route | None:
    """The route in effect towards an address, when it is not the fabric's own: the longest prefix wins (facts FAB-13)."""
    matching = [(length, r) for r in routes if r.active for p in r.prefixes if (length := width(p, to)) is not None]
    if not matching:
        return None
    # Of equal lengths a person's own route goes before Azure's.
    _, best = max(matching, key=lambda match: (match[0], match[1].source.lower() == "user"))
    return None if best.next_hop.lower() in LOCAL else best


def _matches(rule: SecurityRule, source: IPv4Address, destination: IPv4Address, port: int) -> bool:
    return (
        rule.protocol in ("all", "tcp")
        and _place(rule.sources, source)
        and _place(rule.destinations, destination)
        and any(_holds(r, port) for r in rule.destination_ports)
        and any(_holds_all(r) for r in rule.source_ports)
    )


def _place(places: tuple[str, ...], address: IPv4Address) -> bool:
    """Prefixes, and the tags whose meaning is known without an expansion (facts NSG-05, NSG-07)."""
    if covers(places, address):
        return True
    tags = {p.lower() for p in places}
    if "azureloadbalancer" in tags and address == PROBES:
        return True
    # Not expanded: it holds the VNet's own addresses, which all are that the harness asks about, and the probes' source.
    return "virtualnetwork" in tags and not any("/" in p for p in places)


def _holds(ports: str, port: int) -> bool:
    if ports in ("*", "Any"):
        return True
    first, _, last = ports.partition("-")
    return first.strip().isdigit() and int(first) <= port <= int(last or first)


def _holds_all(ports: str) -> bool:
    """A rule for some source ports only is no rule for a client's: its port may be any."""
    if ports in ("*", "Any"):
        return True
    first, _, last = ports.partition("-")
    return first.strip().isdigit() and int(first) <= 1024 and int(last or first) == 65535
