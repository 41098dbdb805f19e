"""Connections that go to the active node's own address, past the load balancer: a failover leaves them behind.

With floating IP only (facts DSN-10), where what the balancer delivers has the VIP as its destination; otherwise both look alike on a node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from harness.config.cluster_config import Design
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, Socket
from harness.diagnosis.required_flows import join_names

MAX_PEERS = 5  # named in one sentence


def causes(evidence: Evidence) -> Iterator[Cause]:
    """Monitoring and copies of data go there on purpose, so it is never more than possible."""
    cluster, host = evidence.cluster, evidence.hosts.get(evidence.active or "")
    if cluster.design is not Design.FLOATING or host is None or evidence.moved:
        return
    own = str(cluster.node(host.name).address)
    delivered = {address for p in evidence.paths if p.path != "inside" for address in p.arrived_as}
    if own in delivered or str(cluster.vip) not in delivered:  # floating IP is off there, or that was not seen
        return
    ours = {str(a) for node in cluster.nodes for a in (node.address, node.second_address)} | {str(cluster.vip)}
    ours |= {a.address for _, seen in evidence.nodes for a in seen.addresses or ()}
    client = evidence.hosts.get(cluster.client.name)
    for service in cluster.services:
        past = [s for s in host.sockets if (s.state, s.address, s.port) == ("ESTAB", own, service.port) and s.peer not in ours]
        if not past:
            continue
        peers = Counter(s.peer for s in past)
        named = join_names(peer for peer, _ in peers.most_common(MAX_PEERS))
        more = f" and {len(peers) - MAX_PEERS} more" if len(peers) > MAX_PEERS else ""
        there: list[Socket] = [
            s for s in (client.sockets if client else ()) if (s.state, s.peer, s.peer_port) == ("ESTAB", own, service.port)
        ]
        yield Cause(
            f"{len(past)} connection{'s' if len(past) > 1 else ''} of {named}{more} to port {service.port} ({service.name}) "
            f"{'go' if len(past) > 1 else 'goes'} to {host.name}'s own address {own}, past the load balancer: after a failover "
            f"{'they find' if len(past) > 1 else 'it finds'} nobody there",
            host.name,
            Certainty.POSSIBLE,
            f"see what those connect for; what is no monitoring or copy of one node has to be given {cluster.vip}, or a name of it",
            (
                *(f"`ss -tan` on {host.name}: ESTAB {own}:{service.port}, {n} of {peer}" for peer, n in peers.most_common(MAX_PEERS)),
                *dict.fromkeys(f"`ss -tanp` on {cluster.client.name}: {s.owner} is connected to {own}:{service.port}" for s in there[:3]),
            ),
        )
