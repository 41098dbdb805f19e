"""Which resources answer the load balancer's health probe, and which node the balancer favours for it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from harness.config.cluster_config import Cluster
from harness.managers.manager import ClusterState

# What a health-check resource is called; the cluster file has no name for it. `nc_` and `rsc_nc_` are of Azure's own guides for SAP.
RESPONDER_NAME = re.compile(r"lbhc|azure-lb|probe|health|socat|genlb|(?<![a-z0-9])nc[-_]", re.IGNORECASE)
RESPONDER_AGENTS = ("azure-lb", "gcp-ilb")


def has_responder_name(tag: str) -> bool:
    """Is it called as what answers a health probe usually is?"""
    return RESPONDER_NAME.search(tag) is not None


def responders(cluster: Cluster, state: ClusterState, units: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """The resources that answer the probe; the cluster file's other resources are none. `units` is what the manager's configuration says:
    one that it gives the probe's port (`port TAG`) is known by that, else those count that have it in their names, else those of an agent
    for it (`agent TAG`), else those that are called like one."""
    port = str(cluster.load_balancer.probe.port)
    other_tags = {cluster.ip_resource.tag, cluster.manager.resource, *(s.tag for s in cluster.services)}
    tags = list(dict.fromkeys(tag for node in state.nodes.values() for tag in node.resources if tag not in other_tags))
    return (
        [t for t in tags if units.get(f"port {t}") == port]
        or [t for t in tags if port in t]
        or [t for t in tags if units.get(f"agent {t}") in RESPONDER_AGENTS]
        or [t for t in tags if has_responder_name(t)]
    )


def favoured(cluster: Cluster, state: ClusterState) -> str | None:
    """Where services are apart: the node that the balancer sends clients to, because its health-check resource is in service."""
    tags = responders(cluster, state)
    nodes = [n for n, s in state.nodes.items() if any(s.resources.get(t) and s.resources[t].active for t in tags)]
    return nodes[0] if len(nodes) == 1 else None
