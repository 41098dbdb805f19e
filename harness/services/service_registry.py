"""Service kinds by their name in the cluster file. Drivers are imported on use only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.plugins.extension_points import SERVICES
from harness.services.service_kind import Hello, ServiceKind

if TYPE_CHECKING:
    from harness.config.cluster_config import Cluster, Service


def kind(name: str) -> ServiceKind:
    """All that is known of that kind of service. Raises BadUse for one that nobody wrote, Unusable for a plug-in that cannot be used."""
    service_kind: ServiceKind = SERVICES.get(name)()
    return service_kind


def settings_of(service: Service, cluster: Cluster) -> dict[str, str]:
    """The service's settings, and beside them what its kind's clients say by themselves at this frontend."""
    return {**kind(service.kind).usual_settings(str(cluster.vip), service.port), **service.settings}


def hello(service: Service, cluster: Cluster) -> Hello:
    """What is said to that service on each connection that is measured. Raises BadUse for wrong settings."""
    return kind(service.kind).hello(settings_of(service, cluster))


def kind_of_port(port: int) -> str:
    """The kind that usually listens there, this product's own first; any TCP service where none says so."""
    return next((name for name, (kind_class,) in SERVICES.usable().items() if port in kind_class.usual_ports), "tcp")
