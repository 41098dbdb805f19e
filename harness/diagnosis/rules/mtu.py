"""Full-sized segments: small ones pass and large ones vanish, without an ICMP message that would say so."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence


def causes(evidence: Evidence) -> Iterator[Cause]:
    cluster = evidence.cluster
    names = {str(m.address): m.name for m in cluster.machines} | {str(n.second_address): n.name for n in cluster.nodes}
    lost: dict[str, list[tuple[str, int]]] = {}
    for name, seen in evidence.hosts.items():
        for address, (small, large, size) in seen.large.items():
            if small and not large:
                lost.setdefault(name, []).append((address, size))
    if lost:
        often: dict[str, int] = {}
        for name, those in lost.items():
            for end in (name, *(names.get(a, a) for a, _ in those)):
                often[end] = often.get(end, 0) + 1
        host = max(often, key=lambda n: (often[n], n == cluster.client.name))
        size = max(size for those in lost.values() for _, size in those)
        pairs = ", ".join(f"{name} and {names.get(a, a)}" for name, those in lost.items() for a, _ in those)
        yield Cause(
            f"full-sized packets of {size} bytes are lost between {pairs}, and small ones pass: an MTU black hole at {host} or on the "
            f"way; large answers to the client hang",
            host,
            Certainty.LIKELY,
            f"look on {host} for a filter on the length, a smaller MTU or a tunnel (`ip link`, `tracepath`); let ICMP type 3 code 4 "
            f"pass, or lower the MTU at both ends",
            tuple(
                f"from {name} to {a}: an echo of 56 bytes came back, one of {size} bytes with DF did not"
                for name, those in lost.items()
                for a, size in those
            ),
        )
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
