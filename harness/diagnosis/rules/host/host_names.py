"""The name that a cluster manager knows a node by is the host's own: where that was changed, now or for the next boot, it does not know
itself at its next start."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen


def causes(evidence: Evidence) -> Iterator[Cause]:
    """LifeKeeper takes the host's name, as its peers know it; Pacemaker where corosync.conf has none for the node."""
    kind = evidence.cluster.manager.kind
    for node, host in evidence.nodes:
        now, then = host.limits.get("kernel.hostname", ""), host.next_boot.hostname
        at_boot = not now or _short(now) == _short(node.name)
        host_name = then if at_boot else now
        if not host_name or _short(host_name) in (_short(node.name), "localhost"):
            continue
        peer = evidence.cluster.peer_of(node.name).name
        peer_state = evidence.state.nodes.get(peer)
        paths = peer_state.comm_paths if peer_state else ()
        known_names = [path.peer for path in paths if _short(path.peer) == _short(node.name)]
        if (kind == "lifekeeper" and known_names) or (kind == "pacemaker" and _unnamed(host)):
            yield Cause(
                f"the host name of {node.name} is {host_name} {'from its next boot on (/etc/hostname)' if at_boot else 'now'}, while the "
                f"cluster manager knows the node as {node.name}: {'then' if at_boot else 'at its next start'} it would not find "
                f"itself in the cluster, and {peer} would have nobody to fail over to",
                node.name,
                Certainty.LIKELY,
                f"give the host its name back (`hostnamectl set-hostname {node.name}`), or have the cluster manager's own procedure for a "
                "new name done before anything is restarted there",
                (
                    f"{'/etc/hostname' if at_boot else '/proc/sys/kernel/hostname'} of {node.name}: {host_name}",
                    f"the cluster manager on {peer} knows its peer as {known_names[0]}"
                    if known_names
                    else f"corosync.conf on {node.name}: no node has a name",
                ),
            )


def _short(name: str) -> str:
    return name.lower().partition(".")[0]


def _unnamed(host: HostSeen) -> bool:
    """Does its corosync.conf list nodes, and none by a name or a host's name?"""
    listed = {key: value for key, value in host.corosync.items() if key.startswith("node ")}
    return bool(listed) and not any(
        key.endswith(" name") or (key.endswith(" ring0_addr") and not value.replace(".", "").isdigit()) for key, value in listed.items()
    )
