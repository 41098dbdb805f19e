"""What any host can tell about itself, whatever runs there."""

from __future__ import annotations

from typing import Protocol

from harness.config.cluster_config import Machine
from harness.hosts.host import Host
from harness.hosts.linux.linux import LinuxHost
from harness.hosts.linux.linux_parse import InterfaceAddress, Listener, Route
from harness.hosts.windows.windows import WindowsHost


class HostFacts(Protocol):
    """Every method asks anew. All raise what `Host.run` raises, and CommandFailed when the host's own tool failed."""

    name: str
    host: Host

    def addresses(self) -> list[InterfaceAddress]: ...
    def listeners(self) -> list[Listener]: ...
    def route_to(self, address: str) -> Route: ...
    def hostname(self) -> str: ...
    def boot_id(self) -> str: ...
    def process_start(self, pid: int) -> float | None: ...
    def offset(self) -> tuple[float, float]: ...


def facts_of(machine: Machine, host: Host) -> HostFacts:
    """The reader of facts for a machine's platform."""
    return WindowsHost(host) if machine.platform == "windows" else LinuxHost(host)
