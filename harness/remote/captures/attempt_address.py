"""From which address an attempt was made, for hosts that tell its port alone (Windows). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.config.cluster_config import Cluster, Node
from harness.remote.connections.attempt import Attempt
from harness.remote.recording.packets import Packet


def with_addresses(attempts: Sequence[Attempt], packets: Mapping[str, Sequence[Packet]], cluster: Cluster) -> list[Attempt]:
    """The same attempts, with the address that their packets come from; one of the host's own where no packet of it was captured."""
    own_addresses = {m.name: [str(m.address), *([str(m.second_address)] if isinstance(m, Node) else [])] for m in cluster.machines}
    syns = [p for host_packets in packets.values() for p in host_packets if p.is_syn]

    def with_address(attempt: Attempt) -> Attempt:
        if attempt.local_address is not None or attempt.local_port is None:
            return attempt
        sources = [
            p.src for p in syns if (p.sport, p.dport) == (attempt.local_port, attempt.port) and p.src in own_addresses[attempt.origin]
        ]
        return replace(attempt, local_address=sources[-1] if sources else own_addresses[attempt.origin][0])

    return [with_address(attempt) for attempt in attempts]
