"""What any host can tell about itself, whatever runs there."""

from __future__ import annotations

from typing import Protocol

from harness.config.cluster_config import Machine
from harness.hosts.host import Host
from harness.hosts.linux.linux_host import LinuxHost
from harness.hosts.linux.linux_parse import InterfaceAddress, Listener, Route


class HostFacts(Protocol):
    """Every method asks anew. All raise what `Host.run` raises, and CommandFailed when the host's own tool failed."""

    name: str
    host: Host

    def addresses(self) -> list[InterfaceAddress]:
        """Every address with its interface and prefix; raises HostUnreachable."""

    def listeners(self) -> list[Listener]:
        """Every listening TCP socket."""

    def route_to(self, address: str) -> Route:
        """The route that a packet to this address would take."""

    def hostname(self) -> str:
        """The host's own name."""

    def boot_id(self) -> str:
        """What changes with every boot and with nothing else."""

    def process_start(self, pid: int) -> float | None:
        """When that process began, in seconds after the boot; None when there is none."""

    def offset(self) -> tuple[float, float]:
        """The host's wall clock against the harness's, and how far that may be off, both in seconds."""


def facts_of(machine: Machine, host: Host) -> HostFacts:
    """The reader of facts for a machine's platform."""
    if machine.platform == "windows":
        from harness.hosts.windows.windows_host import WindowsHost  # half of what there is to load, and few clusters need it

        return WindowsHost(host)
    return LinuxHost(host)
