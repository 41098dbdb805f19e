"""Full-sized segments: small ones pass and large ones vanish, without an ICMP message that would say so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, PathSeen
from harness.diagnosis.required_flows import listed
from harness.diagnosis.rules.network import links

MAX_PACKET = 65535  # bytes of an IP packet
USUAL = 1500  # of Azure's NICs, unless somebody raised it


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    at_fault = links.at_fault(evidence)  # a shaper loses the large ones first
    names = _names(evidence)
    echoes = {
        name: kept
        for name, those in _echoes(evidence).items()
        if name not in at_fault and (kept := [(a, size) for a, size in those if names.get(a, "") not in at_fault])
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
    lost: dict[str, list[tuple[str, int]]] = {}
    for name, seen in evidence.hosts.items():
        for address in dict.fromkeys((*seen.large, *seen.jumbo)):
            fitting = []
            for tried, unknown in ((seen.large, MAX_PACKET), (seen.jumbo, USUAL)):  # longer than usual, few hosts take
                small, large, size = tried.get(address, (False, False, 0))
                most = min(_mtu_of(evidence, end, address, unknown) for end in (name, names.get(address, "")))
                fitting += [size] if small and not large and size <= most else []
            if fitting:
                lost.setdefault(name, []).append((address, fitting[0]))
    return lost


def _names(evidence: Evidence) -> dict[str, str]:
    cluster = evidence.cluster
    return {str(m.address): m.name for m in cluster.machines} | {str(n.second_address): n.name for n in cluster.nodes}


def _mtu_of(evidence: Evidence, name: str, to: str, unknown: int = MAX_PACKET) -> int:
    """Of the host's NIC in the subnet of that address, `unknown` where that was not told."""
    seen, cluster = evidence.hosts.get(name), evidence.cluster
    second = any(str(n.second_address) == to for n in cluster.nodes)
    own = {n.name: n.second_address for n in cluster.nodes} if second else {m.name: m.address for m in cluster.machines}
    return seen.mtus.get(seen.nic_of(own.get(name)) or "", unknown) if seen is not None else unknown


def _all_packets(evidence: Evidence, lost: dict[str, list[tuple[str, int]]], segments: list[PathSeen]) -> Cause:
    cluster = evidence.cluster
    names = _names(evidence)
    often: Counter[str] = Counter()
    for name, those in lost.items():
        for end in (name, *(names.get(a, a) for a, _ in those)):
            often[end] += 1
    host = max(often, key=lambda n: (often[n], n == cluster.client.name))
    size = max(size for those in lost.values() for _, size in those)
    pairs = ", ".join(f"{name} and {_called(evidence, a)}" for name, those in lost.items() for a, _ in those)
    inside = {str(n.second_address) for n in cluster.nodes} >= {a for those in lost.values() for a, _ in those}
    hangs = "large answers to the client hang"
    if inside:
        hangs = "what the nodes send each other there hangs once it is long, copies of data for one"
    jumbo = [n.name for n in cluster.nodes if n.name in lost and size > USUAL and size in (s for _, s in lost[n.name])]
    if jumbo:
        hangs = f"the NICs' MTU there is {size}, which the network does not carry, and what is long hangs"
    return Cause(
        f"full-sized packets of {size} bytes are lost between {pairs}, and small ones pass: an MTU black hole at {host} or on the "
        f"way; {hangs}",
        host,
        Certainty.LIKELY,
        f"give the NICs of {listed(jumbo)} the MTU that the network carries, {USUAL} in Azure unless it was raised there (`ip link set NIC "
        f"mtu {USUAL}`, and where it is configured)"
        if jumbo
        else f"look on {host} for a filter on the length, a smaller MTU or a tunnel (`ip link`, `tracepath`); let ICMP type 3 code 4 "
        f"pass, or lower the MTU at both ends",
        (
            *(
                f"from {name} to {a}: an echo of 56 bytes came back, one of {size} bytes with DF did not"
                for name, those in lost.items()
                for a, size in those
            ),
            *(p.full_says for p in segments),
        ),
        explains=tuple(p.name for p in segments),
    )


def _called(evidence: Evidence, address: str) -> str:
    """The host's name, with the address where that is not its first."""
    name = _names(evidence).get(address, address)
    return f"{name} ({address}, Subnet#2)" if any(str(n.second_address) == address for n in evidence.cluster.nodes) else name


def _segments_only(evidence: Evidence, lost: list[PathSeen]) -> Cause:
    """Echoes of the same size pass, or were not tried: what drops them looks at TCP."""
    passing = [p for p in evidence.paths if p.full]
    host = _where(evidence, lost, passing)
    which = listed(f"{p.name} (port {p.service.port})" for p in lost)
    tried = any(large for seen in evidence.hosts.values() for _, large, _ in seen.large.values())
    return Cause(
        f"full-sized TCP segments are lost on the paths {which}, and short exchanges pass there: an MTU black hole at {host} "
        "or on the way; what is larger than one segment hangs",
        host,
        Certainty.LIKELY,
        f"look on {host} for a rule on the length of TCP packets (`nft list ruleset`), a smaller MTU or a tunnel (`ip link`, "
        f"`tracepath`); let ICMP type 3 code 4 pass, or clamp the MSS to what passes",
        (
            *(p.full_says for p in lost),
            *(f"{p.path} to {p.service.name}: {p.full_says}" for p in passing[:3]),
            *(("echoes of full size come back between the hosts: only TCP's are lost",) if tried else ()),
        ),
        f"where nothing on {host} drops them: capture on both ends (`tcpdump greater 1400`) and see where the segments end",
        explains=tuple(p.name for p in lost),
    )


def _where(evidence: Evidence, lost: list[PathSeen], passing: list[PathSeen]) -> str:
    """The host that all that is lost has in common: the one origin, unless the others' origins lose as much; else the active node."""
    origins = {p.origin for p in lost}
    if len(origins) == 1 and {p.origin for p in passing} - origins:
        return origins.pop()
    return evidence.active or lost[0].origin


def _unequal(evidence: Evidence) -> Iterator[Cause]:
    cluster = evidence.cluster
    for node, seen in evidence.nodes:
        first = seen.nic_of(node.address)
        mtu = seen.mtus.get(first or "")
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
