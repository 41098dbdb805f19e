"""Routes: answers must leave by the NIC that the question came by; Azure drops what leaves by another (facts PRB-03, FAB-12, TRP-07)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.config.cluster_config import Design, Node
from harness.config.load_balancer_config import VIP_PREFIX
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.diagnosis.firewall import Packet
from harness.diagnosis.firewall.ruleset_evaluation import decide
from harness.diagnosis.required_flows import join_names
from harness.diagnosis.rules.network.host_firewall import is_stopped
from harness.hosts.linux.linux_parse import Route

MARK = re.compile(r"0x[0-9a-f]{1,8}|[1-9]\d{0,9}")


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    for node, host in evidence.nodes:
        first = host.nic_of(node.address)
        if first is None or not host.is_up(node.address):
            continue
        probe = str(evidence.cluster.load_balancer.probe.source)
        wrong = {
            d: r
            for d in _asking_addresses(evidence, node)
            if (r := _wrong_route(host, d, str(node.address), first)) is not None and not _is_spread(host, d, str(node.address), first)
        }
        yield from _by_several(evidence, node, host, first)
        if wrong:
            yield _answers(evidence, node, host, first, wrong, probe)
        yield from _from_another_address(evidence, node, host, first)
        yield from _policy_rule_causes(evidence, node, host, first)
        if not wrong.get(probe) and not _is_spread(host, probe, str(node.address), first):
            yield from _probe_by_another_nic(evidence, node, host, first)
    yield from _as_the_vip(evidence)
    yield from _strict(evidence)


def _from_another_address(evidence: Evidence, node: Node, host: HostSeen, first: str) -> Iterator[Cause]:
    """What a node begins by itself: Azure drops what leaves a NIC with an address that is not that NIC's (facts FAB-08, ILB-12)."""
    cluster = evidence.cluster
    peers = [str(cluster.client.address), str(cluster.peer_of(node.name).address)]
    wrong_routes = {
        d: r for d in peers if (r := host.routes.get((d, ""))) and r.source not in (None, str(node.address)) and r.interface == first
    }
    vip = str(cluster.vip)
    own = {d: r for d, r in wrong_routes.items() if r.source != vip and host.nic_of(r.source) == first}
    foreign = {d: r for d, r in wrong_routes.items() if d not in own}
    if foreign:
        to, route = next(iter(foreign.items()))
        whose = "the VIP, " if route.source == vip else ""
        yield Cause(
            f"connections that {node.name} opens to {' and '.join(foreign)} take {whose}{route.source}, as their source address, not "
            f"{first}'s own {node.address}: Azure drops what leaves a NIC with an address that is not the NIC's own",
            node.name,
            Certainty.CERTAIN,
            f"take `src {route.source}` off the route (`ip route show table all`); the VIP's prefix is /{VIP_PREFIX}",
            (f"`ip route get {to}` on {node.name}: dev {route.interface} src {route.source}",),
            explains=("*:communication path",),
        )
    if own:  # as a second IP configuration in Azure is in the guest
        to, route = next(iter(own.items()))
        silent = (
            any(d.origin == node.name and d.outcome == "silent" for d in evidence.direct) and str(cluster.peer_of(node.name).address) in own
        )
        yield Cause(
            f"connections that {node.name} opens to {' and '.join(own)} take {route.source}, another address of {first}, as their source "
            f"address, not {node.address}: Azure drops them if it does not have {route.source} as an IP configuration of that NIC",
            node.name,
            Certainty.LIKELY if silent else Certainty.POSSIBLE,
            f"see the NIC's IP configurations in Azure; where {route.source} is none of them, take `src {route.source}` off the route "
            "(`ip route show table all`)",
            (
                f"`ip route get {to}` on {node.name}: dev {route.interface} src {route.source}",
                f"`ip addr` on {node.name}: {route.source} on {first}",
            ),
            explains=("*:communication path",) if silent else (),
        )


def _policy_rule_causes(evidence: Evidence, node: Node, host: HostSeen, first: str) -> Iterator[Cause]:
    """Policy rules for a port or a mark, which a plain look-up does not meet. Of marks it is not known which packets have them."""
    cluster = evidence.cluster
    services = {s.port: s.name for s in cluster.services}
    names = services | {cluster.load_balancer.probe.port: "the health-check resource"}
    for (to, source, words), route in host.chosen_routes.items():
        if (route.kind == "unicast" and route.interface == first) or (source and host.nic_of(source) is None):
            continue  # a standby, which has not the VIP, routes nothing that is from it
        kind, _, value = words.partition(" ")
        if kind in ("uid", "dport") or to == str(cluster.vip):
            continue  # told by whose account it is, and what it sends as a client by the rules on clients
        way = f"out of {route.interface}" if route.kind == "unicast" else f"nowhere ({route.kind})"
        rules = [r for r in host.rules if (f"fwmark {value}" in r if kind == "mark" else is_for_port(r, kind, value))]
        port = int(value) if value.isdigit() else 0
        if kind != "mark" and cluster.design is Design.FLOATING and source == str(node.address) and port in services:
            if host.nic_of(cluster.vip) is not None:
                continue  # the VIP answers, and was asked, too
            rules = [r for r in rules if " from all " in r]
        if kind != "mark" and not rules:
            continue  # no rule sends it there: the route itself does, and that is told as one
        by = f"the policy rule `{rules[0]}`" if rules else "a policy rule"
        silent = [p for p in evidence.failed if p.silent and p.nodes == {node.name} and not p.answers_came]
        felt = [p.name for p in silent if not is_stopped(evidence, node.name, p)]  # nothing is answered that never came in
        if kind == "mark":
            later = list(_marked(evidence, node, host, value)) if node.name == evidence.standby else []
            if felt or later:
                lost_later = f", after a failover those of {join_names(later)}" if later else ""
                yield Cause(
                    f"what has the mark {value} and goes to {to} is routed {way} by {by}: answers that a firewall rule gives this mark to "
                    f"are lost{lost_later}",
                    node.name,
                    Certainty.LIKELY,
                    f"see what sets the mark {value} (`nft list ruleset`, `iptables-save -t mangle`), and take the mark or the rule away",
                    (f"`ip route get {to} mark {value}` on {node.name}: {route.kind} dev {route.interface}",),
                    explains=tuple(felt),
                )
            continue
        what = names.get(port, "")
        yield Cause(
            f"what port {port} ({what}) answers to {to} is routed {way} by {by}, not by {first} where the question came in",
            node.name,
            Certainty.CERTAIN,
            f"take that rule away, or let what comes from port {port} leave by {first} (`ip rule`)",
            (f"`ip route get {to} ipproto tcp sport {port}` on {node.name}: {route.kind} dev {route.interface}",),
            explains=tuple(f for f in felt if f.endswith(f"/{what}") or port == cluster.load_balancer.probe.port),
        )


def _marked(evidence: Evidence, node: Node, host: HostSeen, mark: str) -> Iterator[str]:
    """The services whose answers to the client its firewall surely gives this mark."""
    cluster, first = evidence.cluster, host.nic_of(node.address)
    target = str(cluster.vip if cluster.design is Design.FLOATING else node.address)
    for service in cluster.services:
        syn = host.place_packet(cluster.vip, Packet(str(cluster.client.address), target, service.port, in_nic=first))
        if gives_mark(host, syn.answer(), mark):
            yield f"{service.name} (port {service.port})"


def gives_mark(host: HostSeen, packet: Packet, mark: str) -> bool:
    """Do its firewall's rules surely give the packet this mark, written as `ip rule` writes it?"""
    if host.firewall is None or not MARK.fullmatch(mark):
        return False
    _, flow = decide(host.firewall, packet)
    return flow is not None and flow.known_number("mark") == int(mark, 0)


def _probe_by_another_nic(evidence: Evidence, node: Node, host: HostSeen, first: str) -> Iterator[Cause]:
    """The packets say so, and the plain routes do not: something chooses a way for these answers alone."""
    probes, source = evidence.probes.get(node.name), evidence.cluster.load_balancer.probe.source
    if probes is None or not probes.answered or not probes.answers_by or first in probes.answers_by or first not in probes.came_by:
        return
    out = ", ".join(sorted(probes.answers_by))
    marks = [rule for rule in host.rules if "fwmark" in rule]
    by = f"by the policy rule `{marks[0]}`, for what a firewall rule marks" if marks else "though its routes to the probe's source do not"
    yield Cause(
        f"what answers the probe from {source} leaves {node.name} by {out}, not by {first} where the probe came in, {by}: Azure drops it",
        node.name,
        Certainty.CERTAIN,
        f"let what answers the probe leave by {first}: see what marks it (`nft list ruleset`, `iptables-save -t mangle`), and `ip rule`",
        (
            f"the packet capture on {node.name}: probes come in by {', '.join(sorted(probes.came_by))}, {probes.answered} answers left "
            f"by {out}",
            *(f"`ip rule` on {node.name}: {rule}" for rule in marks),
        ),
        explains=("client/*", "standby/*", f"{node.name}:probe port") if node.name == evidence.active else (),
    )


def _as_the_vip(evidence: Evidence) -> Iterator[Cause]:
    """With floating IP on, the VIP is what answers; in the other design the kernel puts the node's own address there."""
    cluster, host = evidence.cluster, evidence.hosts.get(evidence.active or "")
    if cluster.design is not Design.FLOATING or host is None or evidence.moved:
        return
    node = cluster.node(host.name)
    first = host.nic_of(node.address)
    client, vip = str(cluster.client.address), str(cluster.vip)
    route = host.routes.get((client, vip))
    if first is None or route is None or host.nic_of(vip) is None or (route.kind == "unicast" and route.interface == first):
        return
    if _is_spread(host, client, vip, first):
        return
    way = f"out of {route.interface}" if route.kind == "unicast" else f"nowhere ({route.kind})"
    rules = [r for r in host.rules if vip in r]
    by = f"the policy rule `{rules[0]}`" if rules else "a route or a policy rule"
    yield Cause(
        f"what {vip} answers to clients is routed {way} by {by}, not by {first} where the question came in",
        host.name,
        Certainty.CERTAIN,
        f"let what comes from {vip} leave by {first}: look at `ip rule` and `ip route show table all` there",
        (f"`ip route get {client} from {vip}` on {host.name}: {route.kind} dev {route.interface}",),
        explains=("client/*", "standby/*"),
    )


def way_of(route: Route) -> str:
    """In words, where the kernel sends by that route."""
    return f"out of {route.interface}" if route.kind == "unicast" else f"nowhere ({route.kind})"


def _is_spread(host: HostSeen, destination: str, source: str, first: str) -> bool:
    """Whether a route has several next hops (ECMP), by this NIC and by another: which one a single look-up meets is chance."""
    nics = {hop.interface for hop in host.next_hops.get((destination, source), ())}
    return first in nics and len(nics) > 1


def _by_several(evidence: Evidence, node: Node, host: HostSeen, first: str) -> Iterator[Cause]:
    """A route with next hops by several NICs: the kernel spreads connections, by a hash of their addresses or of their ports as well."""
    cluster = evidence.cluster
    probe = str(cluster.load_balancer.probe.source)
    lookups = {d: (d, answers_from(evidence, node, host, d)) for d in _asking_addresses(evidence, node)}
    to = {d: key for d, key in lookups.items() if _is_spread(host, *key, first)}
    if not to:
        return
    hops = host.next_hops[next(iter(to.values()))]
    nics = sorted({str(hop.interface) for hop in hops})
    other_nics = [nic for nic in nics if nic != first]
    probes = evidence.probes.get(node.name)
    seen_there = sorted(set(probes.answers_by) & set(other_nics)) if probes and probe in to else []
    lines = [f"`ip route get fibmatch {d} from {s}` on {node.name}: {', '.join(map(_hop, host.next_hops[(d, s)]))}" for d, s in to.values()]
    if probes and seen_there:
        lines.append(f"the packet capture on {node.name}: probes come in by {', '.join(sorted(probes.came_by))}, answers leave by "
                       f"{', '.join(sorted(probes.answers_by))}")  # fmt: skip
    destinations = join_names(
        f"the probe's source {d}" if d == probe else f"the client {d}" if d == str(cluster.client.address) else d for d in to
    )
    yield Cause(
        f"the route to {destinations} has several next hops, by {' and '.join(nics)} (ECMP): some of the answers leave {node.name} by "
        f"{' and '.join(other_nics)}, not by {first} where the question came in, and Azure drops them",
        node.name,
        Certainty.CERTAIN if seen_there else Certainty.LIKELY,
        f"leave the next hop by {first} alone in that route (`ip route show`, and where it is configured), and give what comes from "
        f"{' and '.join(other_nics)} a table of its own by a policy rule if it needs a gateway",
        tuple(lines),
        explains=tuple(explains_lost(evidence, node, set(to))),
    )


def answers_from(evidence: Evidence, node: Node, host: HostSeen, to: str) -> str:
    """The address that answers to there have: with floating IP on that is the VIP, but for the probe."""
    cluster, vip = evidence.cluster, str(evidence.cluster.vip)
    as_vip = cluster.design is Design.FLOATING and host.nic_of(vip) is not None and to != str(cluster.load_balancer.probe.source)
    return vip if as_vip else str(node.address)


def _hop(hop: Route) -> str:
    return f"nexthop {f'via {hop.gateway} ' if hop.gateway else ''}dev {hop.interface}"


def explains_lost(evidence: Evidence, node: Node, to: set[str]) -> Iterator[str]:
    """The symptoms of answers to these destinations that are lost on their way out."""
    cluster = evidence.cluster
    if str(cluster.load_balancer.probe.source) in to:
        yield f"{node.name}:route to the probe"
    if str(cluster.peer_of(node.name).address) in to:
        yield "*:communication path"
    if node.name != evidence.active:
        return
    probed = str(cluster.load_balancer.probe.source) in to
    if probed or str(cluster.client.address) in to:
        yield "client/*"
    if probed or str(cluster.peer_of(node.name).address) in to:
        yield "standby/*"


def _asking_addresses(evidence: Evidence, node: Node) -> list[str]:
    peer = evidence.cluster.peer_of(node.name)
    return [str(evidence.cluster.load_balancer.probe.source), str(evidence.cluster.client.address), str(peer.address)]


def _wrong_route(host: HostSeen, destination: str, source: str, first: str) -> Route | None:
    route = host.routes.get((destination, source))
    return route if route is not None and (route.interface != first or route.kind != "unicast") else None


def _answers(evidence: Evidence, node: Node, host: HostSeen, first: str, wrong: dict[str, Route], probe: str) -> Cause:
    route = next(iter(wrong.values()))
    way = f"out of {route.interface}" if route.kind == "unicast" else f"nowhere ({route.kind})"
    plain = host.routes.get((next(iter(wrong)), ""))
    by_source = plain is not None and plain.interface == first
    rules = [r for r in host.rules if str(node.address) in r or (by_source and "from all lookup" not in r)]
    by = (
        f"the policy rule `{rules[0]}`" if rules and by_source else "a route or a policy rule" if not rules else f"a route, or `{rules[0]}`"
    )
    to = " and ".join(f"the probe's source {d}" if d == probe else d for d in wrong)
    do = (
        f"let what comes from {node.address} leave by {first}: look at `ip rule` and `ip route show table all` there, and fix it "
        "where it is configured"
    )
    if not rules and all(r.kind == "unreachable" for r in wrong.values()):
        by = "for want of a route (the default route is gone), or by one that forbids it"
        do = f"see `ip route` there: give {first} its default route again (DHCP brings it in Azure), or take the unreachable route away"
    else:
        by = f"by {by}"
    probes = evidence.probes.get(node.name)
    lines = [f"`ip route get {d} from {node.address}` on {node.name}: {r.kind} dev {r.interface}" for d, r in wrong.items()]
    if probes and probes.answers_by and first not in probes.answers_by:
        came_by, left_by = ", ".join(probes.came_by), ", ".join(probes.answers_by)
        lines.append(f"the packet capture on {node.name}: probes come in by {came_by}, answers leave by {left_by}")
    active = node.name == evidence.active
    explains = [f"{node.name}:route to the probe", f"{node.name}:route to the VIP"]
    explains += ["client/*", "standby/*"] if active else []
    if str(evidence.cluster.peer_of(node.name).address) in wrong:
        explains.append("*:communication path")
    return Cause(
        f"what its address {node.address} answers to {to} is routed {way} {by}, not by {first} where the question came in",
        node.name,
        Certainty.CERTAIN,
        do,
        tuple(lines),
        explains=tuple(explains),
    )


def is_for_port(rule: str, side: str, port: str) -> bool:
    """Whether a policy rule, as `ip rule` prints it, chooses TCP by this port (`side`: sport or dport), or all of TCP."""
    if " ipproto " in rule and not re.search(r" ipproto (?:tcp|6)\b", rule):
        return False
    chosen = re.search(rf"\b{side} (\d+)(?:-(\d+))?", rule)
    if chosen is None:
        return " ipproto " in rule and "port " not in rule.replace(" ipproto ", " ")
    return int(chosen[1]) <= int(port) <= int(chosen[2] or chosen[1])


def _strict(evidence: Evidence) -> Iterator[Cause]:
    """A SYN that a strict reverse-path filter drops: it came by a NIC that the route back does not use. The kernel looks that up as it does
    for an answer, from the address that the SYN was for: a policy rule by source is met."""
    for node, host in evidence.nodes:
        first = host.nic_of(node.address)
        values = [host.sysctls.get(f"{first}.rp_filter", ""), host.sysctls.get("all.rp_filter", "")]
        if first is None or "1" not in values or "2" in values:
            continue
        for address, name in (
            (str(evidence.cluster.client.address), "the client"),
            (str(evidence.cluster.load_balancer.probe.source), "the probe"),
        ):
            source = answers_from(evidence, node, host, address)
            back = host.route_from(source, address)
            if _is_spread(host, address, source, first) or _is_heard(evidence, node, address):
                continue  # the filter is content with any of a route's next hops
            if back is not None and back.interface != first:
                yield Cause(
                    f"{first} has rp_filter strict (1), and the route back to {name} ({address}) is by {back.interface}: the kernel "
                    f"drops what {name} sends",
                    node.name,
                    Certainty.CERTAIN,
                    f"set net.ipv4.conf.{first}.rp_filter=2, or fix the route",
                    (f"`ip route get {address}` on {node.name}: {back.kind} dev {back.interface}",),
                    explains=(f"{node.name}:rp_filter", "client/*", "standby/*"),
                )


def _is_heard(evidence: Evidence, node: Node, address: str) -> bool:
    """Did the node answer or refuse anything that came from there? Then nothing drops what does."""
    probes = evidence.probes.get(node.name)
    if address == str(evidence.cluster.load_balancer.probe.source):
        return probes is not None and bool(probes.answered or probes.refused)
    client = evidence.cluster.client.name
    outcomes = [d.outcome for d in evidence.direct if (d.origin, d.node) == (client, node.name)]
    outcomes += [o for p in evidence.paths if p.path == "client" and p.nodes == {node.name} for o in p.outcomes]
    return any(o in ("answered", "refused") for o in outcomes)
