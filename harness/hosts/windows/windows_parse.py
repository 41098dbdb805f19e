"""What PowerShell's JSON says about a Windows host, as data. Pure. Nothing here raises on any text but `NotReadable`, with a sentence.

Widths, languages and enumerations do not matter: every field was made a string or a number by the script that asked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from harness.hosts.documents import json_of
from harness.hosts.host import NotReadable
from harness.hosts.linux.linux_parse import InterfaceAddress, Listener, Route

T = TypeVar("T")
Row = dict[str, Any]


@dataclass(frozen=True)
class WindowsListener(Listener):
    """A listening socket of Windows, where `::` takes IPv4 only if its program asked for that, which cannot be seen from outside."""

    @property
    def on_any_address(self) -> bool:
        """Whether it listens on every IPv4 address."""
        return self.address == "0.0.0.0"


@dataclass(frozen=True)
class WeakHost:
    """An interface's weak-host settings (facts DSN-16): may it send from, and receive for, others' addresses? None: not told."""

    interface: str
    send: bool | None
    receive: bool | None
    forwarding: bool | None


@dataclass(frozen=True)
class FirewallProfile:
    """A profile of the firewall; `inbound` is what befalls packets that no rule names: Block, Allow or NotConfigured (which blocks)."""

    name: str
    enabled: bool | None
    inbound: str


@dataclass(frozen=True)
class FirewallRule:
    """An enabled inbound rule that names a port, or any; `ports` as the firewall writes them: `1521`, `5000-5010`, `Any`."""

    name: str
    action: str
    profile: str
    ports: tuple[str, ...]


@dataclass(frozen=True)
class Service:
    """A Windows service; `state` is Running, Stopped, StartPending, …"""

    name: str
    state: str
    start: str

    @property
    def running(self) -> bool:
        """Whether the service runs."""
        return self.state == "Running"


@dataclass(frozen=True)
class Event:
    """An entry of the event log; `at` in seconds since the host's epoch, `level` 1 critical, 2 error, 3 warning, 4 information."""

    at: float
    log: str
    source: str
    number: int
    level: int
    text: str

    def __str__(self) -> str:
        return f"{self.at:.3f} {self.source} {self.number} level {self.level}: {' '.join(self.text.split())}"


def rows(text: str) -> list[Row]:
    """The objects of a script's JSON. Lines before it (a profile's, a banner's) are passed over; one object counts as one row.

    Windows PowerShell writes some arrays as {"value": [...], "Count": n}.
    """
    for line in reversed(text.removeprefix("\ufeff").splitlines()):
        if line.lstrip()[:1] not in ("[", "{"):
            continue
        try:
            found = json_of(line)
        except ValueError:
            continue
        if isinstance(found, dict) and set(found) == {"value", "Count"}:
            found = found["value"]
        found = found if isinstance(found, list) else [found]
        if all(isinstance(row, dict) for row in found):
            return list(found)
    raise NotReadable(f"no JSON came back; it said: {(text.strip().splitlines() or ['nothing'])[-1][:200]}")


def addresses(text: str) -> list[InterfaceAddress]:
    """Get-NetIPAddress with the adapter's Status; an address that is not usable (Duplicate, Tentative) has that as its state."""
    return _each(text, _address)


def listeners(text: str) -> list[Listener]:
    """Get-NetTCPConnection -State Listen with the process's name."""
    return _each(text, _listener)


def route(text: str) -> Route:
    """Find-NetRoute, which answers with two objects: the source address and the route."""
    found: Row = {}
    for row in rows(text):
        found.update({key: value for key, value in row.items() if value not in (None, "")})
    if found.get("Unreachable"):
        return Route("unreachable")
    interface, source = _word(found.get("InterfaceAlias")), _word(found.get("IPAddress"))
    if interface is None and source is None:
        raise NotReadable(f"Find-NetRoute named neither an interface nor a source; it said: {text.strip()[:200]}")
    gateway = _word(found.get("NextHop"))
    kind = "local" if found.get("Local") is True else "unicast"
    return Route(kind, interface, source and _bare(source), None if gateway in (None, "0.0.0.0", "::") else gateway)


def weak_hosts(text: str) -> list[WeakHost]:
    """Get-NetIPInterface -AddressFamily IPv4, its enumerations as words."""
    return _each(text, _weak_host)


def profiles(text: str) -> list[FirewallProfile]:
    """Get-NetFirewallProfile."""
    return _each(text, lambda row: FirewallProfile(str(row["Name"]), _on(row.get("Enabled")), str(row.get("Inbound") or "NotConfigured")))


def rules(text: str) -> list[FirewallRule]:
    """Enabled inbound rules with their ports."""
    return _each(text, _rule)


def service(text: str) -> Service | None:
    """Get-Service; None when there is no such service."""
    found = _each(text, lambda row: Service(str(row["Name"]), str(row["Status"]), str(row.get("StartType") or "")))
    return found[0] if found else None


def events(text: str) -> list[Event]:
    """Get-WinEvent, in the order of time."""
    return sorted(_each(text, _event), key=lambda event: event.at)


def number(text: str) -> float:
    """A script's one number, with a point whatever the host's language."""
    for line in reversed(text.removeprefix("\ufeff").split()):
        try:
            found = float(line)
        except ValueError:
            continue
        if math.isfinite(found):
            return found
    raise NotReadable(f"no number came back; it said: {text.strip()[:200] or 'nothing'}")


def _each(text: str, read: Callable[[Row], T]) -> list[T]:
    """Every row, read; one that lacks what makes it a row is a fault of the answer, not something to leave out silently."""
    return list(_read(rows(text), read))


def _read(found: Iterable[Row], read: Callable[[Row], T]) -> Iterable[T]:
    for row in found:
        try:
            yield read(row)
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise NotReadable(f"a row lacks or garbles {error}: {json.dumps(row)[:200]}") from error


def _address(row: Row) -> InterfaceAddress:
    usable = str(row.get("AddressState") or "Preferred")
    link = {"Up": "UP", "Disconnected": "DOWN", "Disabled": "DOWN", "Not Present": "DOWN"}.get(str(row.get("Status")), "UNKNOWN")
    state = link if usable in ("Preferred", "Deprecated") else usable.upper()
    return InterfaceAddress(str(row["InterfaceAlias"]), _bare(str(row["IPAddress"])), int(row["PrefixLength"]), state)


def _listener(row: Row) -> Listener:
    pid = row.get("OwningProcess")
    return WindowsListener(
        _bare(str(row["LocalAddress"])), int(row["LocalPort"]), "tcp", int(pid) if pid is not None else None, _word(row.get("Process"))
    )


def _weak_host(row: Row) -> WeakHost:
    return WeakHost(str(row["InterfaceAlias"]), *(_on(row.get(key)) for key in ("WeakHostSend", "WeakHostReceive", "Forwarding")))


def _rule(row: Row) -> FirewallRule:
    ports = row.get("Ports")
    listed = ports if isinstance(ports, list) else [ports]
    words = tuple(str(port) for port in listed if port not in (None, ""))
    return FirewallRule(str(row["Name"]), str(row["Action"]), str(row.get("Profile") or ""), words)


def _event(row: Row) -> Event:
    at = float(row["At"]) / 1000
    if not math.isfinite(at):
        raise ValueError("At")
    text = str(row.get("Message") or "")
    return Event(at, str(row.get("LogName") or ""), str(row["ProviderName"]), int(row["Id"]), int(row.get("Level") or 0), text)


def _on(value: object) -> bool | None:
    return {"enabled": True, "disabled": False, "true": True, "false": False}.get(str(value).lower())


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _bare(address: str) -> str:
    """Without %interface, and IPv4 where it is IPv4 in IPv6's clothes."""
    return address.partition("%")[0].removeprefix("::ffff:")
