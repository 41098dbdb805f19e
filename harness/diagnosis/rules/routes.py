"""Routes: answers must leave by the NIC that the question came by; Azure drops what leaves by another (facts PRB-03, FAB-12, TRP-07)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.config.cluster_config import Design, Node
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.diagnosis.rules.host_firewall import is_stopped
from harness.hosts.linux.linux_parse import Route

MIN_HOPS = 16  # of packets that a host sends; Linux's default is 64, and ways through Azure have a few


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    for node, seen in evidence.nodes:
        first = seen.nic_of(node.address)
        if first is None or not seen.is_up(node.address):
            continue
        probe = str(evidence.cluster.load_balancer.probe.source)
        wrong = {d: r for d in _asked_from(evidence, node) if (r := _wrong(seen, d, str(node.address), first)) is not None}
        if wrong:
            yield _answers(evidence, node, seen, first, wrong, probe)
        yield from _from_another_address(evidence, node, seen, first)
        yield from _chosen(evidence, node, seen, first)
        if not wrong.get(probe):
            yield from _probe_by_another_nic(evidence, node, seen, first)
    yield from _as_the_vip(evidence)
    yield from _to_the_vip(evidence)
    yield from _strict(evidence)
    yield from _few_hops(evidence)


def _from_another_address(evidence: Evidence, node: Node, seen: HostSeen, first: str) -> Iterator[Cause]:
    """What a node begins by itself: Azure drops what leaves a NIC with an address that is not that NIC's (facts FAB-08, ILB-12)."""
    cluster = evidence.cluster
    others = [str(cluster.client.address), str(cluster.peer_of(node.name).address)]
    taken = {d: r for d in others if (r := seen.routes.get((d, ""))) and r.source not in (None, str(node.address)) and r.interface == first}
    if taken:
        to, route = next(iter(taken.items()))
        whose = "the VIP, " if route.source == str(cluster.vip) else ""
        yield Cause(
            f"connections that {node.name} opens to {' and '.join(taken)} take {whose}{route.source}, as their source address, not "
            f"{first}'s own {node.address}: Azure drops what leaves a NIC with an address that is not the NIC's own",
            node.name,
            Certainty.CERTAIN,
            f"take `src {route.source}` off the route (`ip route show table all`); the VIP's prefix is /{cluster.ip_resource.prefix}",
            (f"`ip route get {to}` on {node.name}: dev {route.interface} src {route.source}",),
            explains=("*:communication path",),
        )


def _chosen(evidence: Evidence, node: Node, seen: HostSeen, first: str) -> Iterator[Cause]:
    """Policy rules for a port or a mark, which a plain look-up does not meet. Of marks it is not known which packets have them."""
    cluster = evidence.cluster
    names = {s.port: s.name for s in cluster.services} | {cluster.load_balancer.probe.port: "the health-check resource"}
    for (to, source, words), route in seen.chosen_routes.items():
        if (route.kind == "unicast" and route.interface == first) or (source and seen.nic_of(source) is None):
            continue  # a standby, which has not the VIP, routes nothing that is from it
        kind, _, value = words.partition(" ")
        way = f"out of {route.interface}" if route.kind == "unicast" else f"nowhere ({route.kind})"
        rules = [r for r in seen.rules if (f"fwmark {value}" in r if kind == "mark" else _is_for_port(r, kind, value))]
        if kind != "mark" and not rules:
            continue  # no rule sends it there: the route itself does, and that is told as one
        by = f"the policy rule `{rules[0]}`" if rules else "a policy rule"
        port = int(value) if value.isdigit() else 0
        silent = [p for p in evidence.failed if p.silent and p.nodes == {node.name} and not p.answers_came]
        felt = [p.name for p in silent if not is_stopped(evidence, node.name, p)]  # nothing is answered that never came in
        if kind == "mark":
            if felt:
                yield Cause(
                    f"what has the mark {value} and goes to {to} is routed {way} by {by}: answers that a firewall rule gives this mark to "
                    "are lost",
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


def _probe_by_another_nic(evidence: Evidence, node: Node, seen: HostSeen, first: str) -> Iterator[Cause]:
    """The packets say so, and the plain routes do not: something chooses a way for these answers alone."""
    saw, source = evidence.probes.get(node.name), evidence.cluster.load_balancer.probe.source
    if saw is None or not saw.answered or not saw.answers_by or first in saw.answers_by or first not in saw.came_by:
        return
    out = ", ".join(sorted(saw.answers_by))
    marks = [rule for rule in seen.rules if "fwmark" in rule]
    by = f"by the policy rule `{marks[0]}`, for what a firewall rule marks" if marks else "though its routes to the probe's source do not"
    yield Cause(
        f"what answers the probe from {source} leaves {node.name} by {out}, not by {first} where the probe came in, {by}: Azure drops it",
        node.name,
        Certainty.CERTAIN,
        f"let what answers the probe leave by {first}: see what marks it (`nft list ruleset`, `iptables-save -t mangle`), and `ip rule`",
        (
            f"the packet capture on {node.name}: probes come in by {', '.join(sorted(saw.came_by))}, {saw.answered} answers left by {out}",
            *(f"`ip rule` on {node.name}: {rule}" for rule in marks),
        ),
        explains=("client/*", "standby/*", f"{node.name}:probe port") if node.name == evidence.active else (),
    )


def _as_the_vip(evidence: Evidence) -> Iterator[Cause]:
    """With floating IP on, the VIP is what answers; in the other design the kernel puts the node's own address there."""
    cluster, seen = evidence.cluster, evidence.hosts.get(evidence.active or "")
    if cluster.design is not Design.FLOATING or seen is None or evidence.moved:
        return
    node = cluster.node(seen.name)
    first = seen.nic_of(node.address)
    client, vip = str(cluster.client.address), str(cluster.vip)
    route = seen.routes.get((client, vip))
    if first is None or route is None or seen.nic_of(vip) is None or (route.kind == "unicast" and route.interface == first):
        return
    way = f"out of {route.interface}" if route.kind == "unicast" else f"nowhere ({route.kind})"
    rules = [r for r in seen.rules if vip in r]
    by = f"the policy rule `{rules[0]}`" if rules else "a route or a policy rule"
    yield Cause(
        f"what {vip} answers to clients is routed {way} by {by}, not by {first} where the question came in",
        seen.name,
        Certainty.CERTAIN,
        f"let what comes from {vip} leave by {first}: look at `ip rule` and `ip route show table all` there",
        (f"`ip route get {client} from {vip}` on {seen.name}: {route.kind} dev {route.interface}",),
        explains=("client/*", "standby/*"),
    )


def _to_the_vip(evidence: Evidence) -> Iterator[Cause]:
    """The client and the standby reach the frontend as any address of their own subnet: by the NIC in it, without a gateway."""
    cluster = evidence.cluster
    vip = str(cluster.vip)
    for machine in (cluster.client, *(n for n in cluster.nodes if n.name == evidence.standby and not evidence.moved)):
        seen = evidence.hosts.get(machine.name)
        route = seen.routes.get((vip, "")) if seen else None
        nic = seen.nic_of(machine.address) if seen else None
        if seen is None or route is None or nic is None or not seen.is_up(machine.address):
            continue
        explains = tuple(p.name for p in evidence.failed if p.origin == machine.name)
        known = f"`ip route get {vip}` on {machine.name}: {route.kind} dev {route.interface} via {route.gateway or 'nobody'}"
        if route.kind == "local":
            if machine.name == cluster.client.name:
                says = f"{machine.name} holds {vip} itself: what it sends there never leaves it"
                yield Cause(says, machine.name, Certainty.CERTAIN, f"take {vip} off its NICs", (known,), explains=explains)
        elif route.kind != "unicast":
            says = f"{machine.name} has no way to {vip} ({route.kind}): what it sends there is not sent at all"
            do = f"take away the {route.kind} route, or give it the one to its subnet again: `ip route show table all` and `ip rule` there"
            yield Cause(says, machine.name, Certainty.CERTAIN, do, (known,), explains=explains)
        elif explains and (route.gateway is not None or route.interface != nic):
            by = f"via {route.gateway} ({route.interface})" if route.gateway else f"by {route.interface}"
            says = f"{machine.name} routes {vip} {by}, though it is an address of its own subnet, by {nic}"
            do = f"take that route away: look at `ip route show table all` and `ip rule` on {machine.name}"
            yield Cause(says, machine.name, Certainty.LIKELY, do, (known,), explains=(*explains, f"{machine.name}:route to the VIP"))


def _asked_from(evidence: Evidence, node: Node) -> list[str]:
    peer = evidence.cluster.peer_of(node.name)
    return [str(evidence.cluster.load_balancer.probe.source), str(evidence.cluster.client.address), str(peer.address)]


def _wrong(seen: HostSeen, destination: str, source: str, first: str) -> Route | None:
    route = seen.routes.get((destination, source))
    return route if route is not None and (route.interface != first or route.kind != "unicast") else None


def _answers(evidence: Evidence, node: Node, seen: HostSeen, first: str, wrong: dict[str, Route], probe: str) -> Cause:
    route = next(iter(wrong.values()))
    way = f"out of {route.interface}" if route.kind == "unicast" else f"nowhere ({route.kind})"
    plain = seen.routes.get((next(iter(wrong)), ""))
    by_source = plain is not None and plain.interface == first
    rules = [r for r in seen.rules if str(node.address) in r or (by_source and "from all lookup" not in r)]
    by = (
        f"the policy rule `{rules[0]}`" if rules and by_source else "a route or a policy rule" if not rules else f"a route, or `{rules[0]}`"
    )
    to = " and ".join(f"the probe's source {d}" if d == probe else d for d in wrong)
    saw = evidence.probes.get(node.name)
    evident = [f"`ip route get {d} from {node.address}` on {node.name}: {r.kind} dev {r.interface}" for d, r in wrong.items()]
    if saw and saw.answers_by and first not in saw.answers_by:
        evident.append(
            f"the packet capture on {node.name}: probes come in by {', '.join(saw.came_by)}, answers leave by {', '.join(saw.answers_by)}"
        )
    active = node.name == evidence.active
    explains = [f"{node.name}:route to the probe", f"{node.name}:route to the VIP"]
    explains += ["client/*", "standby/*"] if active else []
    if str(evidence.cluster.peer_of(node.name).address) in wrong:
        explains.append("*:communication path")
    return Cause(
        f"what its address {node.address} answers to {to} is routed {way} by {by}, not by {first} where the question came in",
        node.name,
        Certainty.CERTAIN,
        f"let what comes from {node.address} leave by {first}: look at `ip rule` and `ip route show table all` there, and fix it "
        f"where it is configured",
        tuple(evident),
        explains=tuple(explains),
    )


def _is_for_port(rule: str, side: str, port: str) -> bool:
    """Whether a policy rule, as `ip rule` prints it, chooses TCP by this port (`side`: sport or dport), or all of TCP."""
    if " ipproto " in rule and not re.search(r" ipproto (?:tcp|6)\b", rule):
        return False
    chosen = re.search(rf"\b{side} (\d+)(?:-(\d+))?", rule)
    if chosen is None:
        return " ipproto " in rule and "port " not in rule.replace(" ipproto ", " ")
    return int(chosen[1]) <= int(port) <= int(chosen[2] or chosen[1])


def _strict(evidence: Evidence) -> Iterator[Cause]:
    """A SYN that a strict reverse-path filter drops: it came by a NIC that the route back does not use."""
    for node, seen in evidence.nodes:
        first = seen.nic_of(node.address)
        values = [seen.sysctls.get(f"{first}.rp_filter", ""), seen.sysctls.get("all.rp_filter", "")]
        if first is None or "1" not in values or "2" in values:
            continue
        for address, name in (
            (str(evidence.cluster.client.address), "the client"),
            (str(evidence.cluster.load_balancer.probe.source), "the probe"),
        ):
            back = seen.routes.get((address, ""))
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


def _few_hops(evidence: Evidence) -> Iterator[Cause]:
    """What a host sends with too short a time to live is dropped by the first router, and in Azure everything is routed."""
    for name, seen in evidence.hosts.items():
        value = seen.sysctls.get("ip_default_ttl", "")
        if not value.isdigit() or int(value) >= MIN_HOPS:
            continue
        here = (
            ("*/*",) if name == evidence.active or evidence.active is None else tuple(p.name for p in evidence.failed if p.origin == name)
        )
        yield Cause(
            f"{name} sends its packets with a time to live of {value} (net.ipv4.ip_default_ttl): after so many routers they are dropped, "
            "answers to clients and to the probe, and what it says to its peer",
            name,
            Certainty.CERTAIN if int(value) == 1 else Certainty.LIKELY,
            f"set net.ipv4.ip_default_ttl to 64 on {name}, and see what set it (`grep -r ip_default_ttl /etc/sysctl*`)",
            (f"net.ipv4 on {name}: ip_default_ttl {value}",),
            explains=(*here, "*:communication path", "*:roles"),
        )
