"""The balancer against the cluster file: floating IP on or off, the frontend's address, a rule for each port, and whom it lets through."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from harness.config.cluster_config import Design
from harness.core.finding import Weight
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Direct, Evidence, PathSeen
from harness.diagnosis.firewall import Packet, opening
from harness.diagnosis.required_flows import join_names
from harness.diagnosis.rules.network import links
from harness.diagnosis.rules.network.host_firewall import is_doubted, is_probe_doubted, is_stopped
from harness.expectations.http_probe_answer import without_time
from harness.hosts.linux.linux_parse import Route

OUTSIDE = ("client", "standby")
# What keeps no SYN back without a word: it refuses, or looks into what is only sent after the handshake.
NOT_IN_SILENCE = re.compile(r"\breject\b|-m (?:string|ndpi|layer7)\b|@ih,", re.IGNORECASE)


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    yield from _frontend(evidence)
    yield from _floating(evidence)
    at_fault = links.at_fault(evidence)  # what their own NICs lose, nothing in Azure denies
    outside = [p for p in evidence.paths if p.path in OUTSIDE and not at_fault & {p.origin, evidence.active}]
    for service in evidence.cluster.services:
        matching = [p for p in outside if p.service.name == service.name]
        other_paths = [p for p in outside if p.service.name != service.name]
        if matching and all(p.silent and not p.nodes for p in matching) and any(p.nodes for p in other_paths):
            yield _no_rule(evidence, matching)
    for path in OUTSIDE:
        matching = [p for p in outside if p.path == path]
        other_paths = [p for p in outside if p.path != path]
        if matching and other_paths and all(p.silent and not p.nodes for p in matching) and any(p.nodes for p in other_paths):
            yield _one_origin(evidence, matching)
    yield from _one_port_of_one_origin(evidence, outside)
    yield from _sends_nothing(evidence, outside)
    if evidence.standby not in at_fault:
        yield from _standby_shut(evidence)
    yield from (_lost_answers(evidence, p) for p in evidence.paths if p.answers_left and not p.connects and p.silent)


def _frontend(evidence: Evidence) -> Iterator[Cause]:
    cluster = evidence.cluster
    frontend, resource_address = cluster.load_balancer.frontend, cluster.ip_resource.address
    if frontend == resource_address:
        return
    holder = next(
        (f"{node.name} holds {resource_address} on {nic}" for node, host in evidence.nodes if (nic := host.nic_of(resource_address))), ""
    )
    yield Cause(
        f"the cluster's address {resource_address} (the IP resource {cluster.ip_resource.tag}) is not the load balancer's frontend "
        f"{frontend}: "
        f"whoever connects to the one is "
        "not served by the other",
        evidence.active or cluster.name,
        Certainty.CERTAIN,
        f"give the IP resource the frontend's address {frontend}, or the frontend the address {resource_address}, and let the clients' "
        "name "
        f"resolve to it (DES-09)",
        tuple(filter(None, (f"the cluster file: load_balancer.frontend {frontend}, ip_resource.address {resource_address}", holder))),
        explains=("*/*", "*:VIP", "*:route to the VIP"),
    )


def _floating(evidence: Evidence) -> Iterator[Cause]:
    cluster = evidence.cluster
    arrived = [p for p in evidence.paths if p.path in OUTSIDE and p.arrived_as]
    as_vip = [p for p in arrived if p.arrived_as == {str(cluster.vip)}]
    private = {str(n.address) for n in cluster.nodes}
    translated = [p for p in arrived if p.arrived_as <= private]
    explains = ("*/*", "*:listener of *", "*:VIP", "*:route to the VIP")
    if cluster.design is Design.NAT and as_vip and not translated:
        yield Cause(
            f"floating IP is on in the load-balancing rules: connections arrive untranslated, as → {cluster.vip}, but the cluster "
            f"file's design is nat "
            "(floating IP off)",
            evidence.active or cluster.name,
            Certainty.CERTAIN,
            'turn floating IP off in the rules, or set design = "floating" in the cluster file and set the nodes up for that',
            tuple(
                f"packet capture: {p.path} to port {p.service.port} arrived at {', '.join(sorted(p.nodes))} as → {cluster.vip}"
                for p in as_vip[:3]
            ),
            explains=explains,
        )
    if cluster.design is Design.FLOATING and translated and not as_vip:
        addresses = sorted({a for p in translated for a in p.arrived_as})
        yield Cause(
            f"floating IP is off in the load-balancing rules: connections to {cluster.vip} are translated to {', '.join(addresses)}, but "
            f"the cluster file says "
            "that the design is floating (floating IP on)",
            evidence.active or cluster.name,
            Certainty.CERTAIN,
            'turn floating IP on in the rules, or set design = "nat" in the cluster file and set the nodes up for that',
            tuple(
                f"packet capture: {p.path} to port {p.service.port} arrived at {', '.join(sorted(p.nodes))} as → {', '.join(p.arrived_as)}"
                for p in translated[:3]
            ),
            explains=explains,
        )


def _no_rule(evidence: Evidence, paths: list[PathSeen]) -> Cause:
    service, active = paths[0].service, evidence.active or evidence.cluster.name
    attempts = evidence.direct_attempts(active, service.port)
    lines = [
        f"the packet captures: what {p.origin} sends to {evidence.cluster.vip}:{service.port} reaches no node, other ports do"
        for p in paths
    ]
    lines += [f"from {d.origin} to {active}'s own address, port {service.port}: {d.outcome}" for d in attempts]
    explains = tuple(p.name for p in paths)
    if attempts and all(d.outcome == "silent" and not evidence.stealthy(active, d.port) for d in attempts):
        return Cause(
            f"a network security group (NSG) rule denies port {service.port} ({service.name}) at {active}: neither through the load "
            f"balancer nor past it does "
            "anything arrive there, while other ports do",
            active,
            Certainty.LIKELY,
            f"look at the security rules of {active}'s NIC and subnet that name port {service.port}",
            tuple(lines),
            f"if those let it pass, see whether the load balancer has a rule for port {service.port}",
            explains=explains,
        )
    return Cause(
        f"the load balancer has no rule for port {service.port} ({service.name}): the frontend drops it, while its other ports reach "
        f"{active}",
        active,
        Certainty.LIKELY,
        f"add a load-balancing rule for port {service.port} with the same probe and backend pool, or an HA-ports rule for all ports",
        tuple(lines),
        f"a network security group that denies port {service.port} alone looks the same from here: look at the rules of the balancer first",
        explains=explains,
    )


def _sends_nothing(evidence: Evidence, outside: list[PathSeen]) -> Iterator[Cause]:
    """The probe is answered, and yet nothing that anybody sends to the frontend arrives."""
    active = evidence.active
    probes = evidence.probes.get(active or "")
    if active is None or probes is None or not probes.answered or not outside or not all(p.silent and not p.nodes for p in outside):
        return
    if evidence.probes_lost_in_part(active) or is_probe_doubted(evidence, active):
        return  # the node itself answers too few of them
    address = evidence.cluster.node(active).address
    attempts = [d for d in evidence.direct if d.node == active and d.port != evidence.cluster.load_balancer.probe.port]
    lines = (
        f"the packet capture on {active}: {probes.answered} probes answered by {', '.join(sorted(probes.answers_by))}, no SYN of a client",
        *(f"from {d.origin} to {address}:{d.port}: {d.outcome}" for d in attempts[:4]),
    )
    explains = tuple(p.name for p in outside)
    if attempts and all(d.outcome == "silent" and not evidence.stealthy(active, d.port) for d in attempts):
        yield Cause(
            f"a network security group (NSG) rule at {active} denies everybody but the probe: it is healthy, and no client's "
            f"connection arrives, nor past the balancer",
            active,
            Certainty.LIKELY,
            f"look at the security rules of {active}'s NIC and subnet",
            lines,
            explains=explains,
            general=True,
        )
        return
    if evidence.asked_by_probe.get(active, "").startswith("200"):
        yield _other_answer(evidence, active, lines, explains)
        return
    yield Cause(
        f"{active} answers the probe, and the load balancer sends it nobody: its administrative state (adminState) in the pool is "
        f"Down, the frontend has no rules for "
        "these ports, or the probe's threshold is not reached",
        active,
        Certainty.LIKELY,
        "look at the pool member's admin state, at the load-balancing rules, and at the balancer's own view of its members",
        lines,
        "the answers of the probe leave by the right NIC if a packet capture says so; a route table on the subnet can still lead them away",
        explains=explains,
        general=True,
    )


def _other_answer(evidence: Evidence, active: str, lines: tuple[str, ...], explains: tuple[str, ...]) -> Cause:
    """An HTTP page that is right for whoever asks from the cluster's own hosts; what it answers the balancer, connections do not show."""
    probe = evidence.cluster.load_balancer.probe
    return Cause(
        f"{active} takes the probe's connections, and the load balancer sends it nobody, though GET {probe.path} is answered "
        f"{without_time(evidence.asked_by_probe[active])} to the cluster's own hosts: the page may answer {probe.source} otherwise, or the "
        "load balancer keeps the node out by itself (the pool member's state, its rules, the probe's threshold)",
        active,
        Certainty.LIKELY,
        f"see in the page's access log what it answers {probe.source}: an access list has to let that in, and the page may demand no other "
        "Host than the node's address; if that is 200, look at the pool member's administrative state and at the load-balancing rules",
        (*lines, f"GET {probe.path} of {active}, asked from another host of the cluster: {evidence.asked_by_probe[active]}"),
        explains=explains,
        general=True,
    )


def _standby_shut(evidence: Evidence) -> Iterator[Cause]:
    """The standby's kernel refuses what nobody listens to; silence was made before it. Windows is silent itself."""
    cluster, standby = evidence.cluster, evidence.standby
    away = any(f.host == standby and (f.weight is Weight.UNREACHABLE or f.what == "log-in") for f in evidence.findings)
    if standby is None or evidence.moved or away:  # a machine that is off or frozen is silent by itself
        return
    address = cluster.node(standby).address
    services = {s.port: s.name for s in cluster.services}
    shut, undecided = defaultdict[str, list[Direct]](list), defaultdict[str, list[Direct]](list)
    for attempt in evidence.direct:
        if (
            attempt.node != standby
            or attempt.port not in services
            or attempt.outcome != "silent"
            or evidence.stealthy(standby, attempt.port)
        ):
            continue
        if not _is_asked_and_answered(evidence, attempt):
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
            shut[attempt.origin].append(attempt)
        elif decision.passes is None:
            undecided[decision.why].append(attempt)
    for why, attempts in undecided.items():
        ports = ", ".join(dict.fromkeys(f"{d.port} ({services[d.port]})" for d in attempts))
        yield Cause(
            f"its own firewall, or a network security group (NSG) at {standby}, stops {join_names(d.origin for d in attempts)} at port "
            f"{ports}: "
            f"after a failover clients would get no answer; what the firewall does depends on {why}",
            standby,
            Certainty.LIKELY,
            "see what that rule does to them (its counter: `nft list ruleset`, `iptables -vnL`); let these pass by a rule before it",
            tuple(f"from {d.origin} to {address}:{d.port}: {d.outcome}; its kernel would refuse what arrives" for d in attempts),
            "with the rule taken away for a moment it is decided which of the two it is",
        )
    by_ports = defaultdict[str, list[str]](list)
    for origin, attempts in shut.items():
        by_ports[", ".join(f"{d.port} ({services[d.port]})" for d in attempts)].append(origin)
    for ports, origins in by_ports.items():
        consequence = (
            "clients would get no answer" if cluster.client.name in origins else f"{join_names(origins)} could not use them as a client"
        )
        yield Cause(
            f"a network security group (NSG) at {standby} denies {join_names(origins)} port {ports}: after a failover {consequence}",
            standby,
            Certainty.LIKELY,
            f"look at the security rules of {standby}'s NIC: they should be the other node's",
            tuple(
                f"from {d.origin} to {address}:{d.port}: {d.outcome}; its kernel would refuse what arrives"
                for o in origins
                for d in shut[o]
            ),
            f"a filter on {standby} that could not be read would do the same",
        )


def _address_of(evidence: Evidence, name: str) -> str:
    return str(next(m.address for m in evidence.cluster.machines if m.name == name))


def _is_asked_and_answered(evidence: Evidence, attempt: Direct) -> bool:
    """Do the routes of both ends and the firewall of the host that asks let the attempt leave, and its refusal come back? A client's own
    routes are judged by its paths."""
    cluster, there, here = evidence.cluster, evidence.hosts.get(attempt.node), evidence.hosts.get(attempt.origin)
    address, source = str(cluster.node(attempt.node).address), _address_of(evidence, attempt.origin)
    back = there.routes.get((source, address)) if there else None
    if there is not None and (not there.is_up(address) or (back is not None and not _leads_by(back, there.nic_of(address)))):
        return False  # its answers, refusals too, come back to nobody
    if here is None or here.firewall is None:
        return attempt.origin == cluster.client.name
    leave = Packet(source, address, attempt.port, hook="output", out_nic=here.nic_of(source))
    passes = opening(here.firewall, here.place_packet(cluster.vip, leave)).passes
    if attempt.origin == cluster.client.name:
        return passes is not False
    if attempt.origin in links.at_fault(evidence) or not here.is_up(source):
        return False
    out = here.routes.get((address, source))
    return passes is True and out is not None and _leads_by(out, here.nic_of(source))


def _leads_by(route: Route, nic: str | None) -> bool:
    return route.kind == "unicast" and route.interface == nic


def _one_origin(evidence: Evidence, paths: list[PathSeen]) -> Cause:
    origin = paths[0].origin
    return Cause(
        f"nothing that {origin} sends to {evidence.cluster.vip} reaches a node, while other hosts' connections do: a network security "
        f"group (NSG) rule denies it "
        f"from there, or {origin} routes it elsewhere",
        origin,
        Certainty.LIKELY,
        f"look at the security rules of the nodes' NICs and subnet for {origin}'s address, and at `ip route get "
        f"{evidence.cluster.vip}` on {origin}",
        (f"the packet captures: the SYNs left {origin} and arrived at no node; those of the other origin arrived",),
        f"`ip neigh show {evidence.cluster.vip}` on {origin} decides whether the fabric or another machine takes them",
        explains=tuple(p.name for p in paths),
        general=True,
    )


def _one_port_of_one_origin(evidence: Evidence, outside: list[PathSeen]) -> Iterator[Cause]:
    for path in outside:
        if not path.silent or path.nodes or any(predicate(evidence, path.origin, path) for predicate in (is_doubted, is_stopped)):
            continue  # its own firewall is told
        same_port = any(p.nodes for p in outside if p.service.name == path.service.name and p.path != path.path)
        same_origin = any(p.nodes for p in outside if p.path == path.path and p.service.name != path.service.name)
        if not same_port or not same_origin:
            continue
        port = f"port {path.service.port} ({path.service.name})"
        yield Cause(
            f"what {path.origin} sends to {port} of {evidence.cluster.vip} reaches no node, while its other ports and other hosts' "
            f"connections do: a network "
            f"security group (NSG) rule denies that port from {path.origin}",
            path.origin,
            Certainty.LIKELY,
            f"look at the security rules of the nodes' NICs and subnet that name port {path.service.port}",
            (f"the packet captures: SYNs to {port} left {path.origin} and arrived at no node; those of the other origin arrived",),
            f"a filter on the way out of {path.origin}'s subnet: its outbound security rules decide",
            explains=(path.name,),
        )


def _lost_answers(evidence: Evidence, path: PathSeen) -> Cause:
    node = ", ".join(sorted(path.nodes)) or "the node"
    where = f"port {path.service.port} ({path.service.name})"
    if path.answers_came:
        return Cause(
            f"the answers (SYN-ACK) of {where} come back to {path.origin}'s own NIC and are dropped there: a filter or a strict "
            f"rp_filter of {path.origin}",
            path.origin,
            Certainty.LIKELY,
            f"look at the firewall and at rp_filter of {path.origin}",
            (f"the packet captures: SYN-ACKs left {node} and were seen on {path.origin}; its connection stayed silent",),
            explains=(path.name,),
            general=True,
        )
    return Cause(
        f"the answers (SYN-ACK) that {node} sends from {where} are lost on the way back to {path.origin}: they never arrive there",
        path.origin,
        Certainty.LIKELY,
        f"see by which NIC and route {node} answers {path.origin}, and whether a route table or an appliance takes the way back elsewhere",
        (f"the packet captures: SYN-ACKs left {node}, none arrived at {path.origin}",),
        explains=(path.name,),
        general=True,
    )
