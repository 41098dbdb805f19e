"""The standby's service ports, to which nobody listens: its kernel refuses whoever connects, unless something is silent before it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from harness.core.finding import Weight
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Direct, Evidence, HostSeen
from harness.diagnosis.firewall import Packet, evaluate, opening
from harness.diagnosis.host_config.ipsec_policy import deciding
from harness.diagnosis.required_flows import join_names
from harness.diagnosis.rules.network import links
from harness.diagnosis.rules.network.arp import is_foreign_neighbour
from harness.diagnosis.rules.network.client_routes import is_led_astray
from harness.diagnosis.rules.network.hop_limits import MIN_HOPS, hops_by_rule
from harness.diagnosis.rules.network.host_firewall import BESIDE
from harness.diagnosis.rules.network.routes import gives_mark
from harness.hosts.linux.linux_parse import Route

# What keeps no SYN back without a word: it refuses, or looks into what is only sent after the handshake.
NOT_IN_SILENCE = re.compile(r"\breject\b|-m (?:string|ndpi|layer7)\b|@ih,", re.IGNORECASE)
REFUSAL = ("rst", "ack")  # the flags of what a kernel answers to a port that nobody listens on


def causes(evidence: Evidence) -> Iterator[Cause]:
    """Silence that nothing of the hosts themselves explains was made in Azure. Windows is silent itself."""
    cluster, standby = evidence.cluster, evidence.standby
    away = any(f.host == standby and (f.weight is Weight.UNREACHABLE or f.what == "log-in") for f in evidence.findings)
    if standby is None or evidence.moved or away or standby in links.at_fault(evidence):  # one that is off or frozen is silent by itself
        return
    address = cluster.node(standby).address
    services = {s.port: s.name for s in cluster.services}
    shut, undecided = defaultdict[str, list[Direct]](list), defaultdict[str, list[Direct]](list)
    arrived = defaultdict[tuple[str, bool], list[Direct]](list)  # by origin, and whether a refusal was seen to leave
    for attempt in evidence.direct:
        if (
            attempt.node != standby
            or attempt.port not in services
            or attempt.outcome != "silent"
            or evidence.stealthy(standby, attempt.port)
        ):
            continue
        if not _is_asked(evidence, attempt) or not _is_refusal_sent(evidence, attempt):
            continue
        host, source = evidence.hosts.get(standby), _address_of(evidence, attempt.origin)
        packet = Packet(source, str(address), attempt.port, in_nic=host.nic_of(address) if host else None)
        decision = (
            opening(host.firewall, host.place_packet(cluster.vip, packet)).decision
            if host is not None and host.firewall is not None
            else None
        )
        if (
            decision is None
            or decision.passes is True
            or (decision.passes is None and NOT_IN_SILENCE.search(f"{decision.rule} {decision.why}"))
        ):
            (arrived[(attempt.origin, attempt.answer_left)] if attempt.arrived else shut[attempt.origin]).append(attempt)
        elif decision.passes is None:
            undecided[decision.why].append(attempt)
    for why, attempts in undecided.items():
        ports = ", ".join(dict.fromkeys(f"{d.port} ({services[d.port]})" for d in attempts))
        origins = list(dict.fromkeys(d.origin for d in attempts))
        or_azure = "" if all(d.arrived for d in attempts) else f", or a network security group (NSG) at {standby},"
        yield Cause(
            f"its own firewall{or_azure} stops {join_names(origins)} at port {ports}: "
            f"after a failover {_consequence(evidence, origins)}; what the firewall does depends on {why}",
            standby,
            _certainty(evidence, origins),
            "see what that rule does to them (its counter: `nft list ruleset`, `iptables -vnL`); let these pass by a rule before it",
            tuple(f"from {d.origin} to {address}:{d.port}: {d.outcome}; its kernel would refuse what arrives" for d in attempts),
            "with the rule taken away for a moment it is decided which of the two it is" if or_azure else "",
        )
    yield from _arrived(evidence, standby, arrived)
    by_ports = defaultdict[str, list[str]](list)
    for origin, attempts in shut.items():
        by_ports[", ".join(f"{d.port} ({services[d.port]})" for d in attempts)].append(origin)
    for ports, origins in by_ports.items():
        yield Cause(
            f"a network security group (NSG) at {standby} denies {join_names(origins)} port {ports}: after a failover "
            f"{_consequence(evidence, origins)}",
            standby,
            _certainty(evidence, origins),
            f"look at the security rules of {standby}'s NIC: they should be the other node's",
            tuple(
                f"from {d.origin} to {address}:{d.port}: {d.outcome}; its kernel would refuse what arrives"
                for o in origins
                for d in shut[o]
            ),
            f"a filter on {standby} that could not be read would do the same",
        )


def _arrived(evidence: Evidence, standby: str, arrived: dict[tuple[str, bool], list[Direct]]) -> Iterator[Cause]:
    """What was seen at the standby's NIC was let through by Azure's security groups, whatever became of it there."""
    services = {s.port: s.name for s in evidence.cluster.services}
    by_ports = defaultdict[tuple[str, bool], list[str]](list)
    for (origin, answer_left), attempts in arrived.items():
        by_ports[(", ".join(f"{d.port} ({services[d.port]})" for d in attempts), answer_left)].append(origin)
    for (ports, answer_left), origins in by_ports.items():
        sent = f"what {join_names(origins)} send{'s' if len(origins) == 1 else ''} to port {ports} arrives at the NIC of {standby}, "
        left = "a RST" if answer_left else "no RST"
        if answer_left:
            says = f"{sent}and its refusals leave it and are lost on their way back"
            do = f"look at the route tables (UDR) of both subnets and at what filters what comes in at {join_names(origins)}"
        else:
            says = f"{sent}and its kernel neither answers nor refuses it; its firewall lets it pass, as far as that can be told"
            do = f"look on {standby} {BESIDE}"
        yield Cause(
            f"{says}: after a failover {_consequence(evidence, origins)}",
            standby,
            _certainty(evidence, origins),
            do,
            tuple(
                f"the packet capture on {standby}: a SYN from {d.origin} to port {d.port} arrived, and {left} left"
                for o in origins
                for d in arrived[(o, answer_left)]
            ),
        )


def _consequence(evidence: Evidence, origins: list[str]) -> str:
    if evidence.cluster.client.name in origins:
        return "clients would get no answer"
    return f"{join_names(origins)} could not use them as a client"


def _certainty(evidence: Evidence, origins: list[str]) -> Certainty:
    """A service may be shut to the other node on purpose: only clients have to get in."""
    return Certainty.LIKELY if evidence.cluster.client.name in origins else Certainty.POSSIBLE


def _address_of(evidence: Evidence, name: str) -> str:
    return str(next(m.address for m in evidence.cluster.machines if m.name == name))


def _is_asked(evidence: Evidence, attempt: Direct) -> bool:
    """Do the routes, the rules and the neighbours of the host that asks let the attempt leave, and the refusal in?"""
    cluster, here = evidence.cluster, evidence.hosts.get(attempt.origin)
    is_client = attempt.origin == cluster.client.name
    if here is None or here.firewall is None:
        return is_client
    address, source = str(cluster.node(attempt.node).address), _address_of(evidence, attempt.origin)
    leave = here.place_packet(cluster.vip, Packet(source, address, attempt.port, hook="output", out_nic=here.nic_of(source)))
    passes = opening(here.firewall, leave).passes
    refusal = evaluate(here.firewall, replace(leave.answer(), flags=REFUSAL)).passes
    if is_led_astray(evidence, here, source, attempt.port) or _is_lost_beside(here, leave, here.routes.get((address, source))):
        return False
    if is_client:
        return passes is not False and refusal is not False
    if attempt.origin in links.at_fault(evidence) or not here.is_up(source):
        return False
    out = here.routes.get((address, source))
    return passes is True and refusal is True and out is not None and _leads_by(out, here.nic_of(source))


def _is_refusal_sent(evidence: Evidence, attempt: Direct) -> bool:
    """Would the standby's kernel send its refusal, and would that get as far as the first router?"""
    cluster, there = evidence.cluster, evidence.hosts.get(attempt.node)
    if there is None:
        return True
    address, source = str(cluster.node(attempt.node).address), _address_of(evidence, attempt.origin)
    nic, back = there.nic_of(address), there.routes.get((source, address))
    if not there.is_up(address) or (back is not None and not _leads_by(back, nic)):
        return False  # its answers, refusals too, come back to nobody
    come = there.place_packet(cluster.vip, Packet(source, address, attempt.port, in_nic=nic))
    refusal = replace(come.answer(), flags=REFUSAL)
    chosen = [
        route
        for (_, answering, words), route in there.chosen_routes.items()
        if answering == address
        # A kernel's own refusal belongs to no socket: rules by account take it for root's.
        and (words in (f"sport {attempt.port}", "uid 0") or (words.startswith("mark ") and gives_mark(there, refusal, words[5:])))
    ]
    if any(not _leads_by(route, nic) for route in chosen) or _is_lost_beside(there, come, back):
        return False
    return there.firewall is None or evaluate(there.firewall, refusal).passes is True or opening(there.firewall, come).passes is not True


def _is_lost_beside(host: HostSeen, packet: Packet, route: Route | None) -> bool:
    """Is the packet, or what answers it, lost at this host by something else than a firewall or the direction of a route: too few hops, a
    neighbour that somebody wrote down, a NIC without ARP, IPsec?"""
    far = packet.source if packet.hook == "input" else packet.destination
    sent = replace(packet.answer(), flags=REFUSAL) if packet.hook == "input" else packet
    default = host.sysctls.get("ip_default_ttl", "")
    hops = route.hops if route is not None and route.hops else int(default) if default.isdigit() else MIN_HOPS
    hops = by_rule if (by_rule := hops_by_rule(host, sent)) is not None else hops
    next_hop = route.gateway if route is not None and route.gateway else far
    nic = packet.in_nic or packet.out_nic
    return (
        hops < MIN_HOPS
        or is_foreign_neighbour(host, next_hop)
        or nic in host.without_arp
        or deciding(tuple(host.ipsec), packet) is not None
    )


def _leads_by(route: Route, nic: str | None) -> bool:
    return route.kind == "unicast" and route.interface == nic
