"""Names: what a host's own name, its peer's and a cluster's resolve to there."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import ANY, Evidence


def causes(evidence: Evidence) -> Iterator[Cause]:
    for node, seen in evidence.nodes:
        own = seen.names.get(node.name, ())
        loops = [a for a in own if _is_loopback(a)]
        caught = [
            s for service in evidence.cluster.services for s in seen.listening(service.port) if s.address not in ANY and s.address in loops
        ]
        for one in caught:
            service = next(s for s in evidence.cluster.services if s.port == one.port)
            yield Cause(
                f"{node.name}'s own name resolves to {one.address} there, and the listener of {service.name} (port {one.port}) binds "
                f"to that: nobody else reaches it",
                node.name,
                Certainty.CERTAIN,
                f"take {one.address} off the line with the host's name in /etc/hosts, and let it listen on any address",
                (
                    f"`getent hosts {node.name}` on {node.name}: {', '.join(own)}",
                    f"`ss -tlnp`: {one.owner} listens on {one.address}:{one.port}",
                ),
                explains=(f"*/{service.name}", f"{node.name}:listener of {service.name}"),
            )
        for other in evidence.cluster.nodes:
            known = seen.names.get(other.name, ())
            right = {str(other.address), str(other.second_address)}
            wrong = [a for a in known if a not in right and not _is_loopback(a) and ":" not in a]
            if other.name != node.name and known and wrong and not set(known) & right:
                yield Cause(
                    f"{other.name} resolves to {', '.join(wrong)} on {node.name}, which is none of its addresses "
                    f"({', '.join(sorted(right))})",
                    node.name,
                    Certainty.LIKELY,
                    "correct it in /etc/hosts or in the name service; the cluster manager's nodes must find each other",
                    (f"`getent hosts {other.name}` on {node.name}: {', '.join(known)}",),
                )


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
