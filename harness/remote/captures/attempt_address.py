"""From which address an attempt was made, for hosts that tell its port alone (Windows). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.config.cluster_config import Cluster, Node
from harness.remote.connections.attempt import Attempt
from harness.remote.recording.packets import Packet


def with_addresses(attempts: Sequence[Attempt], packets: Mapping[str, Sequence[Packet]], cluster: Cluster) -> list[Attempt]:
    """The same attempts, with the address that their packets come from; one of the host's own where no packet of it was captured."""
    own = {m.name: [str(m.address), *([str(m.second_address)] if isinstance(m, Node) else [])] for m in cluster.machines}
    syns = [p for seen in packets.values() for p in seen if p.is_syn]

    def of(one: Attempt) -> Attempt:
        if one.local_address is not None or one.local_port is None:
            return one
        mine = [p.src for p in syns if (p.sport, p.dport) == (one.local_port, one.port) and p.src in own[one.origin]]
        return replace(one, local_address=mine[-1] if mine else own[one.origin][0])

    return [of(one) for one in attempts]
