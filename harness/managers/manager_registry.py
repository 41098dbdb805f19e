"""Which manager a cluster file names."""

from __future__ import annotations

from collections.abc import Mapping

from harness.config import cluster_config
from harness.hosts.host import Host
from harness.managers.manager import Manager
from harness.plugins.registries import MANAGERS


def manager_of(cluster: cluster_config.Cluster, hosts: Mapping[str, Host]) -> Manager:
    """The adapter for the cluster's manager. Raises Unusable for a plug-in that cannot be used."""
    made: Manager = MANAGERS.get(cluster.manager.kind)(cluster, hosts)
    return made
