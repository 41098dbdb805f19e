"""Which manager a cluster file names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.config import cluster_config
from harness.hosts.host import Host
from harness.managers.manager import Manager


def manager_of(cluster: cluster_config.Cluster, hosts: Mapping[str, Host]) -> Manager:
    """The adapter for the cluster's manager; the model admits no kind that is not here."""
    from harness.managers.lifekeeper import LifeKeeper
    from harness.managers.lifekeeper_windows import LifeKeeperWindows
    from harness.managers.pacemaker import Pacemaker
    from harness.managers.wsfc import Wsfc

    kinds: dict[str, Callable[[cluster_config.Cluster, Mapping[str, Host]], Manager]] = {
        "lifekeeper": LifeKeeper,
        "lifekeeper-windows": LifeKeeperWindows,
        "pacemaker": Pacemaker,
        "wsfc": Wsfc,
    }
    return kinds[cluster.manager.kind](cluster, hosts)
