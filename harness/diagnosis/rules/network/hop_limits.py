"""Hop limits: what a host sends with too short a time to live is dropped by the first routers, and in Azure everything is routed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from harness.config.cluster_config import Design
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.diagnosis.firewall import Packet
from harness.diagnosis.firewall.ruleset_evaluation import decide
from harness.diagnosis.required_flows import join_names
from harness.diagnosis.rules.network.routes import explains_lost

MIN_HOPS = 16  # of packets that a host sends; Linux's default is 64, and ways through Azure have a few
SETS_HOPS = re.compile(r"\bttl set (\d{1,3})\b|--ttl-set (\d{1,3})\b")  # in nft's words, in iptables'


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    yield from _few_hops(evidence)
    yield from _few_hops_of_a_route(evidence)
    yield from _few_hops_by_a_rule(evidence)


def hops_by_rule(host: HostSeen, packet: Packet) -> int | None:
    """The time to live that the rules of the host's firewall surely give a packet that it sends; None where none does, as far as known."""
    if host.firewall is None or not any(SETS_HOPS.search(rule.text) for chain in host.firewall.chains for rule in chain.rules):
        return None
    _, flow = decide(host.firewall, packet)
    return flow.known_number("ttl") if flow is not None else None


def _few_hops_by_a_rule(evidence: Evidence) -> Iterator[Cause]:
    """The same by a rule of a firewall (nft's `ip ttl set`, iptables' target TTL), for the packets that it matches."""
    for name, host in evidence.hosts.items():
        short = {what: hops for what, packet in _sent(evidence, host) if (hops := hops_by_rule(host, packet)) is not None}
        short = {what: hops for what, hops in short.items() if hops < MIN_HOPS}
        if not short or host.firewall is None:
            continue
        least, to = min(short.values()), {destination for _, destination in short}
        explains = tuple(dict.fromkeys(_felt_by(evidence, name, to)))
        symptoms = [*(p.name for p in evidence.failed), *(f"{f.host}:{f.what}" for f in evidence.findings)]
        felt = any(fnmatchcase(s, e) for s in symptoms for e in explains)
        rule = next(
            (str(r) for c in host.firewall.chains for r in c.rules if (m := SETS_HOPS.search(r.text)) and int(m[1] or m[2]) == least),
            "a rule",
        )
        yield Cause(
            f"a firewall rule of {name} gives {join_names(what for what, _ in short)} a time to live of {least}: {rule}; after so many "
            "routers that is dropped",
            name,
            Certainty.CERTAIN if least == 1 and felt else Certainty.LIKELY if felt or name == evidence.standby else Certainty.POSSIBLE,
            f"take that rule away on {name}, and see what put it there",
            (f"{name}'s ruleset, evaluated for what it sends: the time to live becomes {least}",),
            explains=explains,
        )


def _sent(evidence: Evidence, host: HostSeen) -> Iterator[tuple[tuple[str, str], Packet]]:
    """What a host sends that this cluster lives by, each in words and with its destination: a node is judged as if it were active."""
    cluster = evidence.cluster
    vip, source = str(cluster.vip), next(str(m.address) for m in cluster.machines if m.name == host.name)
    nic = host.nic_of(source)
    if host.name != evidence.active:
        for service in cluster.services:
            syn = Packet(source, vip, service.port, hook="output", out_nic=nic)
            yield (f"what it sends to port {service.port} ({service.name}) of {vip}", vip), host.place_packet(vip, syn)
    if host.name == cluster.client.name:
        return
    node = cluster.node(host.name)
    peer, probe = cluster.peer_of(node.name), cluster.load_balancer.probe
    yield (
        ("the answers to the probe", str(probe.source)),
        host.place_packet(vip, Packet(str(probe.source), source, probe.port, in_nic=nic)).answer(),
    )
    target = vip if cluster.design is Design.FLOATING else source
    for service in cluster.services:
        for who, address in ((f"the client {cluster.client.name}", cluster.client.address), (peer.name, peer.address)):
            syn = host.place_packet(vip, Packet(str(address), target, service.port, in_nic=nic))
            yield (f"the answers of port {service.port} ({service.name}) to {who}", str(address)), syn.answer()
    for own, other in ((node.address, peer.address), (node.second_address, peer.second_address)):
        peer_port = host.port_between(cluster, (str(own), str(other)))
        if peer_port is not None:
            leaves = Packet(str(own), str(other), peer_port[1], protocol=peer_port[0], hook="output", out_nic=host.nic_of(own))
            yield (f"what the cluster manager sends to {other}", str(peer.address)), host.place_packet(vip, leaves)


def _few_hops(evidence: Evidence) -> Iterator[Cause]:
    """What a host sends with too short a time to live is dropped by the first router, and in Azure everything is routed."""
    for name, host in evidence.hosts.items():
        value = host.sysctls.get("ip_default_ttl", "")
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


def _few_hops_of_a_route(evidence: Evidence) -> Iterator[Cause]:
    """The same for one destination: a route that gives its packets a time to live of its own (`hoplimit`)."""
    cluster = evidence.cluster
    names = {str(m.address): m.name for m in cluster.machines}
    names |= {
        str(cluster.client.address): f"the client {cluster.client.name}",
        str(cluster.load_balancer.probe.source): "the probe's source",
        str(cluster.vip): "the VIP",
    }
    for name, host in evidence.hosts.items():
        is_client = name == cluster.client.name
        short = {
            to: (source, route.hops)
            for (to, source), route in host.routes.items()
            if to in names
            and route.kind == "unicast"
            and route.hops
            and route.hops < MIN_HOPS
            and (not is_client or to == str(cluster.vip))
        }
        if not short:
            continue
        explains = tuple(_felt_by(evidence, name, set(short)))
        symptoms = [*(p.name for p in evidence.failed), *(f"{f.host}:{f.what}" for f in evidence.findings)]
        felt = any(fnmatchcase(s, e) for s in symptoms for e in explains)
        unseen = name == evidence.standby  # whose answers nobody waits for
        least = min(hops for _, hops in short.values())
        lost_traffic = "its connections there" if is_client else "what it answers and sends there"
        yield Cause(
            f"{name}'s route to {join_names(f'{names[to]} ({to})' for to in short)} gives its packets a time to live of {least} (the "
            "route's "
            f"`hoplimit`): after so many routers {lost_traffic} is dropped",
            name,
            Certainty.CERTAIN if least == 1 and felt else Certainty.LIKELY if felt or unseen else Certainty.POSSIBLE,
            f"take `hoplimit {least}` off that route on {name} (`ip route show table all`), and where it is configured",
            tuple(f"`ip route get {to}{f' from {s}' if s else ''}` on {name}: hoplimit {hops}" for to, (s, hops) in short.items()),
            explains=explains,
        )


def _felt_by(evidence: Evidence, name: str, to: set[str]) -> Iterator[str]:
    """The symptoms of packets to there that a host sends and that are lost."""
    cluster = evidence.cluster
    if name != cluster.client.name:
        yield from explains_lost(evidence, cluster.node(name), to)
    if str(cluster.vip) in to and name != evidence.active:
        yield from (p.name for p in evidence.failed if p.origin == name)
