"""Routes of who connects to the frontend, the client and the standby as one: by the NIC in its subnet, without a gateway; by one where the
host's own subnet has not the frontend's address."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.diagnosis.host_config.ipsec_policy import is_within
from harness.diagnosis.required_flows import join_names
from harness.diagnosis.rules.network.routes import is_for_port, way_of
from harness.hosts.linux.linux_parse import Route

BY_SOURCE = re.compile(r"\d+: (?:not )?from (\d[\d./]*)")  # a policy rule by source, as `ip rule` prints it


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    cluster = evidence.cluster
    for machine in (cluster.client, *(n for n in cluster.nodes if n.name == evidence.standby and not evidence.moved)):
        host = evidence.hosts.get(machine.name)
        nic = host.nic_of(machine.address) if host else None
        if host is None or nic is None or not host.is_up(machine.address):
            continue
        yield from _to_the_vip(evidence, host, nic)
        yield from _as_itself(evidence, host, nic, str(machine.address))
        yield from _by_port(evidence, host, nic, str(machine.address))
        yield from _by_mark(evidence, host, nic)


def is_led_astray(evidence: Evidence, host: HostSeen, source: str, port: int) -> bool:
    """Does the host send what it opens to this port of the frontend as `source` another way than by the NIC that has that address?"""
    vip, nic = str(evidence.cluster.vip), host.nic_of(source)
    routes = [host.routes.get((vip, source)), *(host.chosen_routes.get((vip, s, f"dport {port}")) for s in (source, ""))]
    return any(route is not None and _is_wrong(host, vip, route, nic) for route in routes)


def _is_wrong(host: HostSeen, vip: str, route: Route, nic: str | None) -> bool:
    """Of a look-up of the VIP: another way than by that NIC, or by a gateway where the NIC's own subnet has the VIP; and not the host
    itself, which has the VIP then. The cluster file's Subnet#1 may be wider than the subnet that a client is in."""
    if route.kind == "local":
        return False
    return route.kind != "unicast" or route.interface != nic or (route.gateway is not None and _is_neighbour(host, vip, nic))


def _is_neighbour(host: HostSeen, vip: str, nic: str | None) -> bool:
    """Does a subnet that this NIC has an address of hold the VIP?"""
    own = [a for a in host.addresses or () if a.interface == nic and ":" not in a.address and a.address != vip]
    return any(is_within(vip, f"{a.address}/{a.prefix}") for a in own)


def _to_the_vip(evidence: Evidence, host: HostSeen, nic: str) -> Iterator[Cause]:
    vip, name = str(evidence.cluster.vip), host.name
    route = host.routes.get((vip, ""))
    if route is None:
        return
    explains = tuple(p.name for p in evidence.failed if p.origin == name)
    route_line = f"`ip route get {vip}` on {name}: {route.kind} dev {route.interface} via {route.gateway or 'nobody'}"
    if route.kind == "local":
        if name == evidence.cluster.client.name:
            says = f"{name} holds {vip} itself: what it sends there never leaves it"
            yield Cause(says, name, Certainty.CERTAIN, f"take {vip} off its NICs", (route_line,), explains=explains)
    elif route.kind != "unicast":
        says = f"{name} has no way to {vip} ({route.kind}): what it sends there is not sent at all"
        do = f"take away the {route.kind} route, or give it the one to its subnet again: `ip route show table all` and `ip rule` there"
        yield Cause(says, name, Certainty.CERTAIN, do, (route_line,), explains=explains)
    elif explains and _is_wrong(host, vip, route, nic):
        by = f"via {route.gateway} ({route.interface})" if route.gateway else f"by {route.interface}"
        if not _is_neighbour(host, vip, nic):
            says = f"{name} routes {vip} {by}, not by {nic}, which has the address that the cluster file names"
            do = f"see whether that route is meant: `ip route show table all` and `ip rule` on {name}"
            yield Cause(says, name, Certainty.POSSIBLE, do, (route_line,))
            return
        says = f"{name} routes {vip} {by}, though it is an address of its own subnet, by {nic}"
        do = f"take that route away: look at `ip route show table all` and `ip rule` on {name}"
        yield Cause(says, name, Certainty.LIKELY, do, (route_line,), explains=(*explains, f"{name}:route to the VIP"))


def _as_itself(evidence: Evidence, host: HostSeen, nic: str, source: str) -> Iterator[Cause]:
    """The kernel looks up twice when a program connects, the second time with the source address that it has chosen: a policy rule by
    source is met only then."""
    vip, name = str(evidence.cluster.vip), host.name
    plain, route = host.routes.get((vip, "")), host.routes.get((vip, source))
    explains = tuple(p.name for p in evidence.failed if p.origin == name)
    if (
        plain is None
        or _is_wrong(host, vip, plain, nic)
        or route is None
        or not _is_wrong(host, vip, route, nic)
        or (route.kind == "unicast" and not explains)
    ):
        return
    rules = [rule for rule in host.rules if (found := BY_SOURCE.match(rule)) and is_within(source, found[1])]
    by = f"the policy rule `{rules[0]}`" if rules else "a policy rule by source"
    yield Cause(
        f"what {name} sends to {vip} as its own address {source} is routed {way_of(route)} by {by}, not by {nic}: none of its connections "
        "is opened",
        name,
        Certainty.CERTAIN if explains else Certainty.LIKELY,
        f"take that rule away, or let its table lead to {vip} by {nic} (`ip rule`, `ip route show table all` on {name})",
        (
            f"`ip route get {vip} from {source}` on {name}: {route.kind} dev {route.interface}; without a source it is {plain.kind} dev "
            f"{plain.interface}",
        ),
        explains=explains,
    )


def _by_port(evidence: Evidence, host: HostSeen, nic: str, source: str) -> Iterator[Cause]:
    vip, name = str(evidence.cluster.vip), host.name
    for service in evidence.cluster.services:
        words = f"dport {service.port}"
        route = host.chosen_routes.get((vip, source, words)) or host.chosen_routes.get((vip, "", words))
        rules = [rule for rule in host.rules if is_for_port(rule, "dport", str(service.port)) and _leads_to(rule, vip)]
        explains = tuple(p.name for p in evidence.failed if p.origin == name and p.service.name == service.name and not p.nodes)
        if route is None or not rules or not _is_wrong(host, vip, route, nic) or (route.kind == "unicast" and not explains):
            continue
        yield Cause(
            f"what {name} sends to port {service.port} ({service.name}) of {vip} is routed {way_of(route)} by the policy rule "
            f"`{rules[0]}`, not by {nic}: it never gets to the load balancer",
            name,
            Certainty.CERTAIN if explains else Certainty.LIKELY,
            f"take that rule away on {name}, or let its table lead to {vip} by {nic} (`ip rule`, `ip route show table all`)",
            (f"`ip route get {vip} ipproto tcp {words}` on {name}: {route.kind} dev {route.interface}",),
            explains=explains,
        )


def _by_mark(evidence: Evidence, host: HostSeen, nic: str) -> Iterator[Cause]:
    """Which packets have a mark is not known: told only where a path that begins there never leaves it."""
    vip, name = str(evidence.cluster.vip), host.name
    felt = [p for p in evidence.failed if p.origin == name and p.path != "inside" and not p.nodes and not p.connects and "W8" not in p.ways]
    for (to, _, words), route in host.chosen_routes.items():
        kind, _, mark = words.partition(" ")
        rules = [rule for rule in host.rules if f"fwmark {mark}" in rule]
        if to != vip or kind != "mark" or not felt or not rules or not _is_wrong(host, vip, route, nic):
            continue
        yield Cause(
            f"what {name} sends to {vip} with the mark {mark} is routed {way_of(route)} by the policy rule `{rules[0]}`, not by {nic}: "
            f"{join_names(f'port {p.service.port} ({p.service.name})' for p in felt)} never leaves it, where a firewall rule marks it so",
            name,
            Certainty.LIKELY,
            f"see what sets the mark {mark} on {name} (`nft list ruleset`, `iptables-save -t mangle`), and take the mark or the rule away",
            (f"`ip route get {vip} mark {mark}` on {name}: {route.kind} dev {route.interface}",),
            explains=tuple(p.name for p in felt),
        )


def _leads_to(rule: str, address: str) -> bool:
    """Is the rule for that destination, or for any?"""
    to = re.search(r" to (\d[\d./]*)", rule)
    return to is None or is_within(address, to[1])
