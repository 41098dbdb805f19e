"""How often measuring connects, to which service, from which hosts: for a person to see before it begins. Pure.

A server may count connections that end without what it expects (MySQL's and MariaDB's max_connect_errors, an authentication log, an
intrusion detection): whoever runs one must know the rate.
"""

from __future__ import annotations

from harness.config.cluster_config import Cluster
from harness.remote.agents.agent_launch import bearable
from harness.services import service_registry

OTHER_PERIOD_S = 0.1  # for services beside the first: PostgreSQL forks a process for each connection, and every path is measured anyway


def requested_period_s(place: int, period_s: float) -> float:
    """The period, in seconds, of new connections to the service with this place in the cluster file; `period_s` is what is asked for."""
    return period_s if place == 0 else max(period_s, OTHER_PERIOD_S)


def rates(cluster: Cluster, period_s: float) -> dict[str, float]:
    """New connections a second that each host makes at most to each service, by its name. A host that bears less makes fewer."""
    return {
        service.name: 1 / bearable(requested_period_s(place, period_s), service_registry.hello(service, cluster))
        for place, service in enumerate(cluster.services)
    }


def sentence(cluster: Cluster, period_s: float) -> str:
    """The same for the plan."""
    *others, last = [machine.name for machine in cluster.machines]
    each = ", ".join(f"{rate:g} a second to {name}" for name, rate in rates(cluster, period_s).items())
    return (
        f"While it is measured, {', '.join(others)} and {last} each make new connections and break them off: at most {each}. "
        "A server that counts such, or logs each, will do so."
    )
