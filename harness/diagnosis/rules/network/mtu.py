"""Full-sized segments: small ones pass and large ones vanish, without an ICMP message that would say so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, PathSeen
from harness.diagnosis.required_flows import join_names
from harness.diagnosis.rules.network import links

MAX_PACKET = 65535  # bytes of an IP packet
USUAL = 1500  # of Azure's NICs, unless somebody raised it


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    at_fault = links.at_fault(evidence)  # a shaper loses the large ones first
    names = _names(evidence)
    echoes = {
        name: lost_echoes
        for name, targets in _echoes(evidence).items()
        if name not in at_fault and (lost_echoes := [(a, size) for a, size in targets if names.get(a, "") not in at_fault])
    }
    segments = [p for p in evidence.paths if p.full is False and not at_fault & {p.origin, evidence.active}]
    if echoes:
        yield _all_packets(evidence, echoes, segments)
    elif segments:
        yield _segments_only(evidence, segments)
    yield from _unequal(evidence)


def _echoes(evidence: Evidence) -> dict[str, list[tuple[str, int]]]:
    """By host: to which addresses large echoes are lost, of how many bytes. Beyond an end's own MTU they are lost by right: TCP knows that
    MTU, and sends nothing longer there."""
    names = _names(evidence)
    targets_by_host: dict[str, list[tuple[str, int]]] = {}
    for name, host in evidence.hosts.items():
        for address in dict.fromkeys((*host.large, *host.jumbo)):
            fitting = []
            for echoes, unknown in ((host.large, MAX_PACKET), (host.jumbo, USUAL)):  # longer than usual, few hosts take
                small, large, size = echoes.get(address, (False, False, 0))
                most = min(_mtu_of(evidence, end, address, unknown) for end in (name, names.get(address, "")))
                fitting += [size] if small and not large and size <= most else []
            if fitting:
                targets_by_host.setdefault(name, []).append((address, fitting[0]))
    return targets_by_host


def _names(evidence: Evidence) -> dict[str, str]:
    cluster = evidence.cluster
    return {str(m.address): m.name for m in cluster.machines} | {str(n.second_address): n.name for n in cluster.nodes}


def _mtu_of(evidence: Evidence, name: str, to: str, unknown: int = MAX_PACKET) -> int:
    """Of the host's NIC in the subnet of that address, `unknown` where that was not told."""
    host, cluster = evidence.hosts.get(name), evidence.cluster
    second = any(str(n.second_address) == to for n in cluster.nodes)
    addresses = {n.name: n.second_address for n in cluster.nodes} if second else {m.name: m.address for m in cluster.machines}
    return host.mtus.get(host.nic_of(addresses.get(name)) or "", unknown) if host is not None else unknown


def _all_packets(evidence: Evidence, targets_by_host: dict[str, list[tuple[str, int]]], segments: list[PathSeen]) -> Cause:
    cluster = evidence.cluster
    names = _names(evidence)
    often: Counter[str] = Counter()
    for name, targets in targets_by_host.items():
        for end in (name, *(names.get(a, a) for a, _ in targets)):
            often[end] += 1
    host = max(often, key=lambda n: (often[n], n == cluster.client.name))
    size = max(size for targets in targets_by_host.values() for _, size in targets)
    pairs = ", ".join(f"{name} and {_name_of(evidence, a)}" for name, targets in targets_by_host.items() for a, _ in targets)
    inside = {str(n.second_address) for n in cluster.nodes} >= {a for targets in targets_by_host.values() for a, _ in targets}
    hangs = "large answers to the client hang"
    if inside:
        hangs = "what the nodes send each other there hangs once it is long, copies of data for one"
    jumbo = [
        n.name for n in cluster.nodes if n.name in targets_by_host and size > USUAL and size in (s for _, s in targets_by_host[n.name])
    ]
    if jumbo:
        hangs = f"the NICs' MTU there is {size}, which the network does not carry, and what is long hangs"
    return Cause(
        f"full-sized packets of {size} bytes are lost between {pairs}, and small ones pass: an MTU black hole at {host} or on the "
        f"way; {hangs}",
        host,
        Certainty.LIKELY,
        f"give the NICs of {join_names(jumbo)} the MTU that the network carries, {USUAL} in Azure unless it was raised there (`ip link "
        "set NIC "
        f"mtu {USUAL}`, and where it is configured)"
        if jumbo
        else f"look on {host} for a filter on the length, a smaller MTU or a tunnel (`ip link`, `tracepath`); let ICMP type 3 code 4 "
        f"pass, or lower the MTU at both ends",
        (
            *(
                f"from {name} to {a}: an echo of 56 bytes came back, one of {size} bytes with DF did not"
                for name, targets in targets_by_host.items()
                for a, size in targets
            ),
            *(p.full_says for p in segments),
        ),
        explains=tuple(p.name for p in segments),
    )


def _name_of(evidence: Evidence, address: str) -> str:
    """The host's name, with the address where that is not its first."""
    name = _names(evidence).get(address, address)
    return f"{name} ({address}, Subnet#2)" if any(str(n.second_address) == address for n in evidence.cluster.nodes) else name


def _segments_only(evidence: Evidence, paths: list[PathSeen]) -> Cause:
    """Echoes of the same size pass, or were not tried: what drops them looks at TCP."""
    passing = [p for p in evidence.paths if p.full]
    host = _locate_loss(evidence, paths, passing)
    which = join_names(f"{p.name} (port {p.service.port})" for p in paths)
    has_full_echoes = any(large for host_seen in evidence.hosts.values() for _, large, _ in host_seen.large.values())
    return Cause(
        f"full-sized TCP segments are lost on the paths {which}, and short exchanges pass there: an MTU black hole at {host} "
        "or on the way; what is larger than one segment hangs",
        host,
        Certainty.LIKELY,
        f"look on {host} for a rule on the length of TCP packets (`nft list ruleset`), a smaller MTU or a tunnel (`ip link`, "
        f"`tracepath`); let ICMP type 3 code 4 pass, or clamp the MSS to what passes",
        (
            *(p.full_says for p in paths),
            *(f"{p.path} to {p.service.name}: {p.full_says}" for p in passing[:3]),
            *(("echoes of full size come back between the hosts: only TCP's are lost",) if has_full_echoes else ()),
        ),
        f"where nothing on {host} drops them: capture on both ends (`tcpdump greater 1400`) and see where the segments end",
        explains=tuple(p.name for p in paths),
    )


def _locate_loss(evidence: Evidence, lost_paths: list[PathSeen], passing: list[PathSeen]) -> str:
    """The host that all that is lost has in common: the one origin, unless the others' origins lose as much; else the active node."""
    origins = {p.origin for p in lost_paths}
    if len(origins) == 1 and {p.origin for p in passing} - origins:
        return origins.pop()
    return evidence.active or lost_paths[0].origin


def _unequal(evidence: Evidence) -> Iterator[Cause]:
    cluster = evidence.cluster
    for node, host in evidence.nodes:
        first = host.nic_of(node.address)
        mtu = host.mtus.get(first or "")
        other = evidence.hosts.get(cluster.peer_of(node.name).name)
        theirs = other.mtus.get(other.nic_of(cluster.peer_of(node.name).address) or "") if other else None
        if mtu and theirs and mtu < theirs:
            yield Cause(
                f"{first} of {node.name} has an MTU of {mtu}, and the other node's has {theirs}: large packets from there do not fit",
                node.name,
                Certainty.LIKELY if mtu < 1400 else Certainty.POSSIBLE,
                "give both nodes' NICs the same MTU, 1500 in Azure",
                (f"`ip link` on {node.name}: {first} mtu {mtu}",),
            )
