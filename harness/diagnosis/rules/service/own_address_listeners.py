"""A service that listens on the active node's own address beside the VIP: with the same configuration the other node listens on less."""

from __future__ import annotations

from collections.abc import Iterator

from harness.config.cluster_config import Design
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import ANY, Evidence
from harness.diagnosis.rules.host.shared_disks import all_places, is_below
from harness.diagnosis.rules.service.next_start import LISTENS


def causes(evidence: Evidence) -> Iterator[Cause]:
    """Without floating IP, where the balancer delivers at the node's own address (facts DSN-04). PostgreSQL warns of an address that it
    lacks, and starts. Where each node has a configuration of its own, it may well be right there."""
    cluster, host = evidence.cluster, evidence.hosts.get(evidence.active or "")
    if cluster.design is not Design.NAT or host is None or evidence.moved or evidence.standby is None:
        return
    own, peer = str(cluster.node(host.name).address), cluster.node(evidence.standby)
    there = evidence.hosts.get(peer.name)
    for service in cluster.services:
        listeners = host.listening(service.port)
        addresses = {s.address for s in listeners}
        if own not in addresses or addresses & {*ANY, str(peer.address)} or f"instances of {service.tag}" in host.units:
            continue
        folders = [data.folder for s in listeners if (data := host.data_folders.get(s.pid or 0)) is not None]
        moves = any(is_below(folder, place) for folder in folders for place in all_places(evidence).values())
        here, then = (seen.units.get(f"start options {service.tag}", "") if seen is not None else "" for seen in (host, there))
        if str(peer.address) in then or (here != then and LISTENS.search(then)):
            continue  # it is started there with other addresses
        yield Cause(
            f"{service.name} (port {service.port}) listens on {', '.join(sorted(addresses))} of {host.name} only: with the same "
            f"configuration it would not listen on {peer.address} of {peer.name}, where the load balancer delivers after a failover",
            peer.name,
            Certainty.LIKELY if moves or (here and here == then) else Certainty.POSSIBLE,
            f"let {service.name} listen on any address (0.0.0.0), or on each node's own by that node's own configuration",
            (
                *(f"`ss -tlnp` on {host.name}: {s.owner} listens on {s.address}:{service.port}" for s in listeners),
                *(f"{folder}, where it works, moves with the cluster manager's disk" for folder in folders if moves),
            ),
            "its configuration lies on each node, and names that node's address there" if not moves else "",
        )
