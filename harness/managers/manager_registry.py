"""Which manager a cluster file names."""

from __future__ import annotations

from collections.abc import Mapping

from harness.config import cluster_config
from harness.hosts.host import Host
from harness.managers.manager import Manager
from harness.plugins.extension_points import MANAGERS


def manager_of(cluster: cluster_config.Cluster, hosts: Mapping[str, Host]) -> Manager:
    """The adapter for the cluster's manager. Raises Unusable for a plug-in that cannot be used."""
    return manager_class(cluster)(cluster, hosts)


def manager_class(cluster: cluster_config.Cluster) -> type[Manager]:
    """The adapter's class, for what is true of every cluster of that manager. Raises Unusable as above."""
    adapter: type[Manager] = MANAGERS.get(cluster.manager.kind)
    return adapter
