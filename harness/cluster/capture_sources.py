"""Where each host's packets are captured: on the host, at the network's end of its links, or there with its loopback on the host."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from harness.config.cluster_config import Cluster
from harness.core.errors import Unusable
from harness.hosts.host import Host, HostUnreachable
from harness.remote.captures.capture_factory import capture_of
from harness.remote.captures.capture_session import PacketCapture
from harness.remote.captures.network_capture import NetworkCapture, own_loopback
from harness.remote.host_capabilities import Capabilities


class Source(StrEnum):
    """Where a host's packets are captured."""

    HOST = "host"
    NETWORK_AND_LOOPBACK = "network and loopback"
    NETWORK = "network"
    NONE = "none"


class CaptureSources:
    """The captures of a cluster's hosts. What a host refused is not asked of it again; `refused` has what it said."""

    def __init__(self, cluster: Cluster, hosts: Mapping[str, Host], capabilities: Callable[[str], Capabilities]) -> None:
        table = cluster.network_capture
        self._network = NetworkCapture(table.command, table.hosts) if table else None
        self._hosts = hosts
        self._capabilities = capabilities
        self._python = {machine.name: machine.ssh.python for machine in cluster.machines}
        self.refused: dict[str, str] = {}

    def close(self) -> None:
        """End what captures at the network."""
        if self._network is not None:
            self._network.close()

    def source(self, name: str) -> Source:
        """Where the packets of that host are captured. Raises as `capabilities` does."""
        capabilities = self._capabilities(name)
        is_possible = capabilities.captures and name not in self.refused
        if self._network is None:
            return Source.HOST if is_possible else Source.NONE
        if is_possible and name not in self._network.hosts:
            return Source.HOST
        return Source.NETWORK_AND_LOOPBACK if is_possible and capabilities.full else Source.NETWORK

    def at_network(self, name: str) -> bool:
        """Are the packets of its links captured at the network, by this machine's clock?"""
        return self.source(name) in (Source.NETWORK, Source.NETWORK_AND_LOOPBACK)

    def without_loopback(self, name: str) -> bool:
        """Is it captured, but for what stays inside it, because nothing that captures runs there?"""
        return self.source(name) is Source.NETWORK

    def make(self, name: str, **options: Any) -> PacketCapture:
        """A capture of that host that is not started yet; its options are those of PacketCapture."""
        host, python, source = self._hosts[name], self._python[name], self.source(name)
        if self._network is None or source in (Source.HOST, Source.NONE):
            return capture_of(host, self._capabilities(name), python, **options)
        loopback_program = own_loopback(host, python) if source is Source.NETWORK_AND_LOOPBACK else None
        return PacketCapture(host, python, program=self._network.program(host, own_loopback=loopback_program), **options)

    def begin(self, name: str, **options: Any) -> PacketCapture:
        """The same, started: on the host, or at the network where the host does not bear or does not allow it. Raises as PacketCapture's
        `start`."""
        capture = self.make(name, **options)
        try:
            capture.start()
        except Unusable as error:
            if isinstance(error, HostUnreachable) or not self.fall_back(name, str(error)):
                raise
            capture = self.make(name, **options)
            capture.start()
        return capture

    def fall_back(self, name: str, reason: str) -> bool:
        """The host has refused to be captured, for this reason: is there another way for it from now on?"""
        if self._network is None or self.source(name) is Source.NETWORK:
            return False
        self.refused[name] = reason
        return True
