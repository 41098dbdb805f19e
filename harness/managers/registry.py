"""Which manager a cluster file names."""

from __future__ import annotations

from collections.abc import Mapping

from harness import model
from harness.hosts.base import Host
from harness.managers.base import Manager


def manager_of(cluster: model.Cluster, hosts: Mapping[str, Host]) -> Manager:
    """The adapter for the cluster's manager; the model admits no kind that is not here."""
    from harness.managers.lifekeeper import LifeKeeper

    return {"lifekeeper": LifeKeeper}[cluster.manager.kind](cluster, hosts)
