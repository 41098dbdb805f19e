"""Services that do not bear to be connected to a hundred times: found out with one connection each, before there are more."""

from __future__ import annotations

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.cluster.path_exchange import ask_over_the_path
from harness.core.errors import BadUse, HarnessError
from harness.services import service_registry
from harness.services.service_kind import DemandsTolerance, NotTheService

ATTEMPT_TIMEOUT_S = 5.0


def demand_bearable(subject: ClusterUnderTest) -> None:
    """From the client's host. Raises Unbearable; what else comes of it is for the checks of the paths to say."""
    client = subject.cluster.client.name
    if client in subject.absent:
        return
    for service in subject.cluster.services:
        kind = service_registry.kind(service.kind)
        if isinstance(kind, DemandsTolerance):
            try:
                ask_over_the_path(subject, client, service, kind.demand_bearable, ATTEMPT_TIMEOUT_S)
            except BadUse:
                raise
            except (NotTheService, HarnessError, OSError):
                continue  # nobody greets there now
