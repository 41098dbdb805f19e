"""What stands in for the connection worker on a host without Python. `attempt` and `tcp_tunnel` take either."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.remote.connections.attempt import Attempt
    from harness.remote.connections.tcp_tunnel import Link


class ConnectorBase(ABC):
    """Makes connections from one host by what is there. Safe to use from several threads."""

    name: str

    @abstractmethod
    def attempts(self, destination: str, port: int, *, count: int, limit: float, spacing: float, source: str | None) -> list[Attempt]:
        """As `harness.remote.connections.attempt.attempt`; ports and addresses may be missing."""

    @abstractmethod
    def relay(self, destination: str, port: int, *, limit: float, lifetime: float) -> AbstractContextManager[Link]:
        """As `harness.remote.connections.tcp_tunnel.relay`."""

    @abstractmethod
    def close(self) -> None:
        """Closes what it has open."""
