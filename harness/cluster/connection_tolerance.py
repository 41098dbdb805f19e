"""Services that do not bear to be connected to a hundred times: found out with one connection each, before there are more."""

from __future__ import annotations

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.cluster.path_exchange import ask_over_the_path
from harness.core.errors import BadUse, HarnessError
from harness.services import service_registry
from harness.services.service_kind import DemandsTolerance, NotTheService, Unbearable

ATTEMPT_TIMEOUT_S = 5.0


def demand_bearable(subject: ClusterUnderTest) -> None:
    """From the client's host. Raises Unbearable; what else comes of it is for the checks of the paths to say."""
    for error in find_unbearable(subject).values():
        raise error


def find_unbearable(subject: ClusterUnderTest) -> dict[str, Unbearable]:
    """By its name, each service that does not bear it, and why; one connection each from the client's host. Raises BadUse for a service's
    settings."""
    client = subject.cluster.client.name
    unbearable: dict[str, Unbearable] = {}
    for service in subject.cluster.services if client not in subject.absent else ():
        kind = service_registry.kind(service.kind)
        if isinstance(kind, DemandsTolerance):
            try:
                ask_over_the_path(subject, client, service, kind.demand_bearable, ATTEMPT_TIMEOUT_S)
            except Unbearable as error:
                unbearable[service.name] = error
            except BadUse:
                raise
            except (NotTheService, HarnessError, OSError):
                continue  # nobody greets there now
    return unbearable
