"""The balancer against the cluster file: floating IP on or off, the frontend's address, a rule for each port, and whom it lets through."""

from __future__ import annotations

from collections.abc import Iterator

from harness.config.cluster_config import Design
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, PathSeen
from harness.diagnosis.firewall import Packet
from harness.diagnosis.rules.network import links
from harness.diagnosis.rules.network.hop_limits import MIN_HOPS, hops_by_rule
from harness.diagnosis.rules.network.host_firewall import is_doubted, is_probe_doubted, is_stopped
from harness.expectations.http_probe_answer import without_time

OUTSIDE = ("client", "standby")
LEFT = "W8"  # the SYN left its origin and reached no node: nothing is lost in Azure that never left


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    yield from _frontend(evidence)
    yield from _floating(evidence)
    at_fault = links.at_fault(evidence)  # what their own NICs lose, nothing in Azure denies
    outside = [p for p in evidence.paths if p.path in OUTSIDE and not at_fault & {p.origin, evidence.active}]
    for service in evidence.cluster.services:
        matching = [p for p in outside if p.service.name == service.name]
        other_paths = [p for p in outside if p.service.name != service.name]
        if _is_lost_between(matching) and any(p.nodes for p in other_paths):
            yield _no_rule(evidence, matching)
    for path in OUTSIDE:
        matching = [p for p in outside if p.path == path]
        other_paths = [p for p in outside if p.path != path]
        if _is_lost_between(matching) and any(p.nodes for p in other_paths):
            yield _one_origin(evidence, matching)
    yield from _one_port_of_one_origin(evidence, outside)
    yield from _sends_nothing(evidence, outside)
    yield from (_lost_answers(evidence, p) for p in evidence.paths if p.answers_left and not p.connects and p.silent)


def _is_lost_between(paths: list[PathSeen]) -> bool:
    """Did all of these end in silence and reach no node, and was one of them seen leaving the host where it began?"""
    return all(p.lost for p in paths) and any(LEFT in p.ways for p in paths)


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
    if active is None or probes is None or not probes.answered or not outside or not all(p.lost for p in outside):
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
    answer = evidence.asked_by_probe.get(active, "")
    if answer.startswith("200"):
        yield _other_answer(evidence, active, lines, explains)
        return
    if answer and evidence.cluster.load_balancer.probe.protocol == "tcp":
        yield _page_behind_probe(evidence, active, answer, lines, explains)
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


def _page_behind_probe(evidence: Evidence, active: str, answer: str, lines: tuple[str, ...], explains: tuple[str, ...]) -> Cause:
    """By the file the probe is a TCP one; but what answers it is a web server, which turns an HTTP probe away."""
    probe = evidence.cluster.load_balancer.probe
    return Cause(
        f"{active} takes the probe's connections, and the load balancer sends it nobody: its probe is likely an HTTP one, for which "
        f"only 200 counts, and GET / of {evidence.cluster.node(active).address}:{probe.port} is answered {answer}; the cluster "
        "file says that the probe's protocol is tcp",
        active,
        Certainty.LIKELY,
        "see the probe's protocol and path in Azure: let the page answer them with 200 while the node is active, and the cluster file have "
        "the same (load_balancer.probe.protocol and path)",
        (*lines, f"GET / of {active}, asked from another host of the cluster: {answer}"),
        "if the load balancer's probe is a TCP one: the pool member's administrative state (adminState), the rules, or the threshold",
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
        if not _is_lost_between([path]) or any(predicate(evidence, path.origin, path) for predicate in (is_doubted, is_stopped)):
            continue  # its own firewall is told
        if _has_few_hops(evidence, path):
            continue
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


def _has_few_hops(evidence: Evidence, path: PathSeen) -> bool:
    """Does a rule of its origin's own firewall let the first router drop what it sends?"""
    host, cluster = evidence.hosts.get(path.origin), evidence.cluster
    if host is None:
        return False
    source = str(next(m.address for m in cluster.machines if m.name == path.origin))
    syn = Packet(source, str(cluster.vip), path.service.port, hook="output", out_nic=host.nic_of(source))
    hops = hops_by_rule(host, host.place_packet(cluster.vip, syn))
    return hops is not None and hops < MIN_HOPS


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
