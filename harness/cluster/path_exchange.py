"""A question put to a service over one connection made on the origin host, whatever it is that is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.config.cluster_config import Service
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded
from harness.remote.connections.tcp_tunnel import relay
from harness.services import service_registry
from harness.services.service_kind import NotTheService, TurnedAway, Unbearable

T = TypeVar("T")
ATTEMPT_TIMEOUT_S = 1.0  # an attempt that hears nothing is given up; long enough to see one retransmission


class NoConnection(ConnectionError):
    """The connection for the question did not come about; the message says what became of it."""


def ask_over_the_path(subject: ClusterUnderTest, host: str, service: Service, ask: Callable[..., T], limit: float) -> T:
    """Ask a question over one fresh connection from the origin to the VIP. Raises what the question raises, with the service's own address
    in its sentence instead of the relay's; NoConnection without a connection."""
    with relay(subject.connection_workers[host], str(subject.cluster.vip), service.port, limit=ATTEMPT_TIMEOUT_S) as link:
        if link.port is None:
            raise NoConnection(f"the connection was {link.attempt.outcome}")
        try:
            return ask(link.host, link.port, settings=service_registry.settings_of(service, subject.cluster), deadline=Deadline(limit))
        except (NotTheService, TurnedAway, Unbearable, DeadlineExceeded, OSError) as error:
            relay_address, service_address = f"{link.host}:{link.port}", f"{subject.cluster.vip}:{service.port}"
            if relay_address not in str(error):
                raise
            raise type(error)(str(error).replace(relay_address, service_address)) from error
