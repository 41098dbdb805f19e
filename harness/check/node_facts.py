"""What one node of a cluster told of itself, be it by a live look or in a bundle: facts, of which findings are made. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.diagnosis.evidence import HostSeen
from harness.hosts.linux.linux_parse import InterfaceAddress, Listener, Route
from harness.hosts.windows.script_protocol import Row
from harness.hosts.windows.windows_parse import Adapter, ClusterAddress, FirewallRows, HostAbout, WeakHost


@dataclass(frozen=True)
class WindowsFacts:
    """What only a Windows node tells; a None was not told. `settings` are rows of the script tcp-settings."""

    firewall: FirewallRows | None = None
    weak_hosts: list[WeakHost] | None = None
    settings: list[Row] | None = None
    about: HostAbout | None = None
    adapters: list[Adapter] | None = None
    cluster_address: ClusterAddress | None = None  # of a Windows cluster: how its IP resource is set
    why_alone: str = ""  # why each question costs the node a process of its own


@dataclass(frozen=True)
class NodeFacts:
    """What one node told; a None was not told, and `not_told` says why. `offset`: how far its clock is ahead, and how wrong that may be."""

    node: str
    addresses: list[InterfaceAddress] | None = None
    listeners: list[Listener] | None = None
    vip_route: Route | None = None
    probe_route: Route | None = None
    sysctls: Mapping[str, str] = field(default_factory=dict)
    firewall: str | None = None
    offset: tuple[float, float] | None = None
    not_told: tuple[str, ...] = ()
    disks: tuple[str, ...] = ()  # what keeps programs there from writing
    windows: WindowsFacts | None = None
    seen: HostSeen | None = field(default=None, compare=False, repr=False)  # a Linux host's own words, of which the rest is made

    def nic_of(self, address: object) -> str | None:
        """The NIC that has this address on the node; None where it is on none."""
        return next((a.interface for a in self.addresses or () if a.address == str(address)), None)
