"""Which resources answer the load balancer's health probe, by their names, and which node the balancer favours for it. Pure."""

from __future__ import annotations

from harness.config.cluster_config import Cluster
from harness.managers.manager import ClusterState

# What a health-check resource is called; the cluster file has no name for it.
RESPONDER_WORDS = ("lbhc", "azure-lb", "probe", "health", "socat", "nc-", "genlb")


def responders(cluster: Cluster, state: ClusterState) -> list[str]:
    """The resources that answer the probe, by their tags' words; the cluster file's other resources are none."""
    port = str(cluster.load_balancer.probe.port)
    other_tags = {cluster.ip_resource.tag, cluster.manager.resource, *(s.tag for s in cluster.services)}
    tags = dict.fromkeys(tag for node in state.nodes.values() for tag in node.resources if tag not in other_tags)
    return [t for t in tags if port in t] or [t for t in tags if any(w in t.lower() for w in RESPONDER_WORDS)]


def favoured(cluster: Cluster, state: ClusterState) -> str | None:
    """Where services are apart: the node that the balancer sends clients to, because its health-check resource is in service."""
    tags = responders(cluster, state)
    nodes = [n for n, s in state.nodes.items() if any(s.resources.get(t) and s.resources[t].active for t in tags)]
    return nodes[0] if len(nodes) == 1 else None
