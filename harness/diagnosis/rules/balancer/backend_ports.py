"""Load-balancing rules whose backend port is another than the port that clients use: the node is asked where the service is not."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, PathSeen


def causes(evidence: Evidence) -> Iterator[Cause]:
    """What the packets themselves show: begun for the one port, and arrived for the other, with the same sequence number."""
    delivered: dict[tuple[str, str, int], list[PathSeen]] = {}
    for path in evidence.failed:
        for place in path.other_ports:
            at, _, number = place.rpartition(" ")
            delivered.setdefault((path.service.name, at, int(number)), []).append(path)
    for (name, node, port), paths in delivered.items():
        service, host = paths[0].service, evidence.hosts.get(node)
        listens = host is None or host.listeners is None or bool(host.listening(port))
        does = f"what listens on port {port} there is not {name}" if listens else f"nobody listens on port {port} there"
        yield Cause(
            f"the load balancer delivers port {service.port} ({name}) to port {port} of {node}: the backend port of its rule is not the "
            f"port of the service, and {does}",
            node,
            Certainty.CERTAIN,
            f"set the backend port of the load-balancing rule for port {service.port} to {service.port}, or let {name} listen on port "
            f"{port} on both nodes, and give the cluster file what is meant",
            tuple(
                f"the packet captures: SYNs that left {p.origin} for {evidence.cluster.vip}:{service.port} came to {node} for port {port}"
                for p in paths
            ),
            explains=tuple(p.name for p in paths),
        )
