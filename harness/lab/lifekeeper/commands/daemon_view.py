"""All that a node's daemon knows, as one JSON object: for the lab's own stand-ins that tell it in another product's words.

Asked through the control socket; no command of the product's, and not among those that are installed.
"""

from __future__ import annotations

from typing import Any

from harness.lab.lifekeeper.hierarchy.state_store import PAUSED
from harness.lab.lifekeeper.node import Node

ASKED_AS = "standin_view"


def view(node: Node) -> dict[str, Any]:
    """Taken at one moment; what is `of_peer` is the peer's own word in its last heartbeat, and empty without contact."""
    comm, config, quorum = node.comm, node.config, node.quorum
    of_peer = comm.peer if comm.contact() else {}
    return {
        "node": config.node,
        "peer": config.peer,
        "home": config.home,
        "phase": node.phase,
        "states": node.store.states(),
        "claims": sorted(node.switching.claims),
        "contact": comm.contact(),
        "paused": node.store.has_flag(PAUSED),
        "failover_threshold": node.tunables.STANDIN_FAILOVERS,
        "failover_period_s": node.tunables.STANDIN_FAILOVER_PERIOD,
        "of_peer": {key: of_peer[key] for key in ("phase", "states", "claims", "paused") if key in of_peer},
        "paths": [{"local": path.ends.local, "peer": path.ends.peer, "alive": path.alive} for path in comm.paths],
        "witness": quorum and {"holder": quorum.holder(), "reachable": quorum.reachable(), "lost": quorum.lost},
        "resources": [
            {"tag": resource.tag, "kind": resource.kind, "children": list(resource.children), "parameters": resource.parameters}
            for resource in config.resources
        ],
    }
