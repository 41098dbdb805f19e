"""Service kinds by their name in the cluster file. Drivers are imported on use only."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from harness.core.errors import BadUse
from harness.services.service_kind import Hello, ServiceKind

if TYPE_CHECKING:
    from harness.config.cluster_config import Cluster, Service

KINDS = {"postgres": "Postgres", "oracle": "Oracle", "http": "Http", "tcp": "Tcp"}  # module in harness.services → class


def kind(name: str) -> ServiceKind:
    """The dialogue of that kind of service. Raises BadUse for a kind that nobody wrote."""
    if name not in KINDS:
        raise BadUse(f"there is no service kind {name}; known: {', '.join(sorted(KINDS))}")
    make: Callable[[], ServiceKind] = getattr(import_module(f"harness.services.{name}"), KINDS[name])
    return make()


def settings_of(service: Service, cluster: Cluster) -> dict[str, str]:
    """The service's settings; a web server is asked for the frontend's address, as its clients do, unless they name another host
    (facts IIS-09: a host that no binding fits is answered with 400 or 404)."""
    if service.kind != "http":
        return dict(service.settings)
    frontend = str(cluster.vip) if service.port == 80 else f"{cluster.vip}:{service.port}"
    return {"host_header": frontend, **service.settings}


def hello(service: Service, cluster: Cluster) -> Hello:
    """What is said to that service on each connection that is measured. Raises BadUse for wrong settings."""
    return kind(service.kind).hello(settings_of(service, cluster))
