"""What a Windows host can tell about itself, over any transport: the same facts as `LinuxHost`, and what Windows has besides.

Every method asks anew and is limited to `limit` seconds. All raise what `Host.run` raises, CommandFailed when a cmdlet itself failed, and
NotReadable when the answer is not what was asked for. The cmdlets' shapes are [from memory], facts DSN-16 and WSFC-03; nothing of this
was run on Windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address

from harness.core.errors import BadUse, Unusable
from harness.hosts.host import Host, NotReadable
from harness.hosts.linux.linux_parse import InterfaceAddress, Listener, Route
from harness.hosts.windows import windows_parse
from harness.hosts.windows.script_protocol import Row
from harness.hosts.windows.script_runner import rows_of, runner_of
from harness.hosts.windows.windows_parse import (
    Adapter,
    ClusterAddress,
    Event,
    FirewallProfile,
    FirewallRows,
    HostAbout,
    Service,
    WeakHost,
    WindowsListener,
)

MAX_EVENTS = 5000
FIREWALL_TIMEOUT_S = 120.0


class WindowsHost:
    """Reads facts of `host`, whose commands are PowerShell."""

    def __init__(self, host: Host, *, limit: float = 20.0) -> None:
        self.host = host
        self.name = host.name
        self._limit = limit

    def addresses(self) -> list[InterfaceAddress]:
        """Every address on every interface."""
        return windows_parse.addresses(self._rows("addresses"))

    def listeners(self) -> list[Listener]:
        """Every listening TCP socket with its process."""
        return windows_parse.listeners(self._rows("listeners"))

    def route_to(self, address: str) -> Route:
        """How Windows would send to `address` now; kind `local` means that it never leaves the host."""
        return windows_parse.route(self._rows("route", Address=str(ip_address(address))))

    def weak_hosts(self) -> list[WeakHost]:
        """Weak-host send and receive and forwarding of every IPv4 interface: what rp_filter is on Linux (facts DSN-16)."""
        return windows_parse.weak_hosts(self._rows("interfaces"))

    def firewall(self, *, limit: float | None = None) -> FirewallRows:
        """Windows Firewall as it is in force; with a thousand rules a call takes a minute (WNET-38)."""
        return windows_parse.firewall(self._rows("firewall", limit=limit or FIREWALL_TIMEOUT_S))

    def tcp_settings(self) -> list[Row]:
        """Dynamic and excluded port ranges, port proxies and keepalive, as rows with a kind `K`."""
        return list(self._rows("tcp-settings"))

    def service(self, name: str) -> Service:
        """A service's state. Raises Unusable when there is none of that name."""
        services = windows_parse.services(self._rows("service", Name=name))
        if not services:
            raise Unusable(f"{self.name}: there is no service {name}; is it installed there, and is that its short name?")
        return services[0]

    def start_service(self, name: str) -> None:
        """Start it and wait until Windows says that it runs. Raises CommandFailed."""
        self._rows("service-change", Name=name, Action="start")

    def stop_service(self, name: str, *, along: Sequence[str] = ()) -> None:
        """Stop it, and of what runs and depends on it (`Service.dependents`) those that are named: nothing starts them again (WHST-74).

        Raises CommandFailed; where another would be stopped with it, nothing was.
        """
        self._rows("service-change", Name=name, Action="stop", Along=list(along))

    def events(
        self, begin: float, end: float, *, source: str | None = None, logs: Sequence[str] = ("Application", "System"), most: int = 1000
    ) -> list[Event]:
        """The event log from `begin` to `end`, seconds since the epoch on the host's clock: the newest `most` entries, oldest first."""
        if not 0 < most <= MAX_EVENTS:
            raise BadUse(f"events: at most {MAX_EVENTS} entries at once, and at least one; not {most}")
        rows = self._rows("events", Begin=moment(begin), End=moment(end), Logs=list(logs), Source=source or "", Most=most)
        return windows_parse.events(rows)[-most:]

    def adapters(self) -> list[Adapter]:
        """Every network adapter, those that are gone too."""
        return windows_parse.adapters(self._rows("adapters"))

    def cluster_address(self, resource: str) -> ClusterAddress | None:
        """How an IP resource of the Windows cluster is set; None where there is none of that name, or the cluster does not run there."""
        return windows_parse.cluster_address(self._rows("wsfc-state", Resource=resource))

    def hostname(self) -> str:
        """The name without its domain."""
        return windows_parse.about(self._rows("host")).name.partition(".")[0]

    def about(self) -> HostAbout:
        """Versions, rights, languages and room for temporary files."""
        return windows_parse.about(self._rows("host"))

    def boot_id(self) -> str:
        """Differs after every boot, and is moved by nothing between: the kernel's count of its starts (WHST-96), or its first process.

        No moment stands in for it: those move when the clock is set (WHST-97). Raises NotReadable where neither is told.
        """
        boot = windows_parse.about(self._rows("host", Boot=True)).boot
        if not boot:
            raise NotReadable(f"{self.name}: which boot this is was not told")
        return boot

    def process_start(self, pid: int) -> float | None:
        """When a process started, in seconds since the host's epoch; None when there is none."""
        return windows_parse.process_start(self._rows("process", Id=pid))

    def offset(self) -> tuple[float, float]:
        """How many seconds the host's wall clock is ahead of the harness's, and how wrong this may be at most.

        The best of five askings; each is right to half its round trip and a step of that clock (WNET-92).
        """
        runner = runner_of(self.host)
        readings = [runner.clock(limit=self._limit) for _ in range(5)]
        estimates = [
            (reading.clock - (reading.asked + reading.answered) / 2, (reading.answered - reading.asked) / 2 + reading.step)
            for reading in readings
        ]
        return min(estimates, key=lambda estimate: estimate[1])

    @property
    def why_alone(self) -> str:
        """Why each question costs the host a process of its own; empty while one PowerShell stays there and answers all."""
        return runner_of(self.host).why_alone

    def _rows(self, name: str, *, limit: float | None = None, **parameters: object) -> tuple[Row, ...]:
        return rows_of(self.host, name, parameters, limit=limit or self._limit)


def moment(seconds: float) -> str:
    """Seconds since the epoch as UTC in ISO 8601, to the microsecond."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


__all__ = ["Event", "FirewallProfile", "FirewallRows", "HostAbout", "Service", "WeakHost", "WindowsHost", "WindowsListener"]
