"""Services that do not bear to be connected to a hundred times: found out with one connection each, before there are more."""

from __future__ import annotations

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.cluster.path_exchange import ask_over_the_path
from harness.core.errors import BadUse, HarnessError
from harness.services import service_registry
from harness.services.service_kind import DemandsTolerance, NotTheService, Unbearable

GREETING_TIMEOUT_S = 1.0  # of most servers that greet it is known sooner
# A server that looks up its client's name first, in vain, greets late: resolv.conf(5), two attempts of 5 s at each of two name servers.
LATE_GREETING_TIMEOUT_S = 22.0
MYSQL_PORT = 3306


def demand_bearable(subject: ClusterUnderTest, *, many: bool) -> None:
    """From the client's host. `many`: hundreds of connections will follow, so a late greeting is waited for, up to 22 s from a service that
    says nothing. Raises Unbearable; what else comes of it is for the checks of the paths to say."""
    for error in find_unbearable(subject, many=many).values():
        raise error


def find_unbearable(subject: ClusterUnderTest, *, many: bool = False) -> dict[str, Unbearable]:
    """By its name, each service that does not bear it, and why; one connection each from the client's host. What is silent is heard for a
    second, on MySQL's own port as if there were `many`. Raises BadUse for a service's settings."""
    client = subject.cluster.client.name
    unbearable: dict[str, Unbearable] = {}
    for service in subject.cluster.services if client not in subject.absent else ():
        kind = service_registry.kind(service.kind)
        if isinstance(kind, DemandsTolerance):
            limit = LATE_GREETING_TIMEOUT_S if many or service.port == MYSQL_PORT else GREETING_TIMEOUT_S
            try:
                ask_over_the_path(subject, client, service, kind.demand_bearable, limit)
            except Unbearable as error:
                unbearable[service.name] = error
            except BadUse:
                raise
            except (NotTheService, HarnessError, OSError):
                continue  # nobody greets there now
    return unbearable
