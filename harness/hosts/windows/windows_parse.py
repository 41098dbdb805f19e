"""The rows that a Windows host's scripts answer with, as data. Pure. Nothing here raises on any row but `NotReadable`, with a sentence.

Widths, languages and enumerations do not matter: every field was made a string or a number by the script that asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from harness.core.text.host_text import cut_at_word
from harness.hosts.host import NotReadable
from harness.hosts.linux.linux_parse import InterfaceAddress, Listener, Route
from harness.hosts.windows.script_protocol import Row

T = TypeVar("T")
Rows = Sequence[Row]


@dataclass(frozen=True)
class WindowsListener(Listener):
    """A listening socket of Windows; a program that takes IPv4 by a socket for `::` shows a second row for `0.0.0.0` (WNET-72).

    `program`: its path, `System` for the kernel's own; None: not told.
    """

    program: str | None = None


@dataclass(frozen=True)
class WindowsAddress(InterfaceAddress):
    """An address; `skip_as_source`: is it never the source of what does not ask for it (WNET-47)? None: not told."""

    skip_as_source: bool | None = None


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
class FirewallRows:
    """Windows Firewall as rows, which the evaluator reads: profiles, NICs, and the enabled rules with their filters."""

    profiles: tuple[Row, ...]
    nics: tuple[Row, ...]
    rules: tuple[Row, ...]


@dataclass(frozen=True)
class Adapter:
    """A network adapter; `gone`: it is not there any more, and keeps its name and its addresses (WNET-101)."""

    name: str
    device: str
    gone: bool


@dataclass(frozen=True)
class ClusterAddress:
    """An IP resource of a Windows cluster as it is set; `probe_port` and `mask` None: not set."""

    address: str | None
    mask: str | None
    probe_port: int | None


@dataclass(frozen=True)
class HostAbout:
    """Who a host is: PowerShell's version, the language of its messages, its code page, the execution policy, whether the account is an
    administrator (None: not told), the room for temporary files in bytes, and which boot this is (empty: not told)."""

    name: str
    version: str
    culture: str
    code_page: int
    policy: str
    elevated: bool | None
    temp_free: int | None
    boot: str


@dataclass(frozen=True)
class Service:
    """A Windows service; `state` is Running, Stopped, StartPending, …, empty where it is not told; `dependents` run and would be stopped
    with it (WHST-74)."""

    name: str
    state: str
    start: str
    process: int | None = None
    account: str = ""
    dependents: tuple[str, ...] = ()

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


def addresses(rows: Rows) -> list[InterfaceAddress]:
    """The adapter's status; an address that is not usable (Duplicate, Tentative) has that as its state."""
    return _read_rows(rows, _address)


def listeners(rows: Rows) -> list[Listener]:
    """Listening sockets with their processes' names."""
    return _read_rows(rows, _listener)


def route(rows: Rows) -> Route:
    """The one row of a route."""
    if len(rows) != 1:
        raise NotReadable(f"a route is one row, not {len(rows)}")
    row = rows[0]
    if row.get("Unreachable") is True:
        return Route("unreachable")
    interface, source = _word(row.get("InterfaceAlias")), _word(row.get("IPAddress"))
    if interface is None and source is None:
        raise NotReadable("Find-NetRoute named neither an interface nor a source")
    gateway = _word(row.get("NextHop"))
    kind = "local" if row.get("Local") is True else "unicast"
    return Route(kind, interface, source and _bare(source), None if gateway in (None, "0.0.0.0", "::") else gateway)


def weak_hosts(rows: Rows) -> list[WeakHost]:
    """Interfaces, their enumerations as words."""
    return _read_rows(rows, _weak_host)


def firewall(rows: Rows) -> FirewallRows:
    """The rows of Windows Firewall by their kind."""
    kinds = [row.get("K") for row in rows]
    if strange := [kind for kind in kinds if kind not in ("profile", "nic", "rule")]:
        raise NotReadable(f"a row of the firewall is of no known kind: {cut_at_word(repr(strange[0]), 160)}")
    return FirewallRows(*(tuple(row for row in rows if row.get("K") == kind) for kind in ("profile", "nic", "rule")))


def profiles(rows: Rows) -> list[FirewallProfile]:
    """The profiles among the firewall's rows."""
    return _read_rows(
        firewall(rows).profiles,
        lambda row: FirewallProfile(
            _needed(row, "Name"), _flag(row.get("Enabled")), str(row.get("DefaultInboundAction") or "NotConfigured")
        ),
    )


def services(rows: Rows) -> list[Service]:
    """Services with their states; `process` and `account` where they were asked for."""
    return _read_rows(rows, _service)


def events(rows: Rows) -> list[Event]:
    """Entries of the event log, in the order of time."""
    return sorted(_read_rows(rows, _event), key=lambda event: event.at)


def about(rows: Rows) -> HostAbout:
    """The one row that tells who a host is."""
    if len(rows) != 1:
        raise NotReadable(f"a host tells of itself in one row, not {len(rows)}")
    return _read_rows(rows, _about)[0]


def adapters(rows: Rows) -> list[Adapter]:
    """Adapters, those that are gone too."""
    return _read_rows(rows, lambda row: Adapter(_needed(row, "Name"), str(row.get("Device") or ""), row.get("Status") == "Not Present"))


def cluster_address(rows: Rows) -> ClusterAddress | None:
    """The IP resource among the rows of a cluster's state; None where the cluster does not run there, or has none of that name."""
    matches = _read_rows([row for row in rows if row.get("K") == "address"], _cluster_address)
    return matches[0] if matches else None


def process_start(rows: Rows) -> float | None:
    """Seconds since the host's epoch; None when there is no such process. Raises NotReadable where its start is not told."""
    if any(row.get("StartedAt") is None for row in rows):
        raise NotReadable("when the process started is not told to this account; is it an administrator there?")
    starts = _read_rows(rows, lambda row: _seconds(row["StartedAt"]))
    return starts[0] if starts else None


def _read_rows(rows: Rows, read: Callable[[Row], T]) -> list[T]:
    """Every row, read; one that lacks what makes it a row is a fault of the answer, not something to leave out silently."""
    return list(_read_each(rows, read))


def _read_each(rows: Iterable[Row], read: Callable[[Row], T]) -> Iterable[T]:
    for row in rows:
        try:
            yield read(row)
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise NotReadable(f"a row lacks or garbles {error}: {cut_at_word(json.dumps(row), 200)}") from error


def _address(row: Row) -> InterfaceAddress:
    usable = str(row.get("AddressState") or "Preferred")
    link = {"Up": "UP", "Disconnected": "DOWN", "Disabled": "DOWN", "Not Present": "DOWN"}.get(str(row.get("Status")), "UNKNOWN")
    state = link if usable in ("Preferred", "Deprecated") else usable.upper()
    skipped = row.get("SkipAsSource")
    return WindowsAddress(
        _needed(row, "InterfaceAlias"),
        _bare(_needed(row, "IPAddress")),
        int(row["PrefixLength"]),
        state,
        skip_as_source=skipped if isinstance(skipped, bool) else None,
    )


def _listener(row: Row) -> Listener:
    pid = row.get("OwningProcess")
    return WindowsListener(
        _bare(_needed(row, "LocalAddress")),
        int(row["LocalPort"]),
        "tcp",
        int(pid) if pid is not None else None,
        _word(row.get("Process")),
        _word(row.get("Program")),
    )


def _weak_host(row: Row) -> WeakHost:
    return WeakHost(_needed(row, "InterfaceAlias"), *(_flag(row.get(key)) for key in ("WeakHostSend", "WeakHostReceive", "Forwarding")))


def _service(row: Row) -> Service:
    pid = row.get("Process")
    return Service(
        _needed(row, "Name"),
        str(row.get("Status") or ""),
        str(row.get("StartType") or ""),
        int(pid) if pid else None,
        str(row.get("Account") or ""),
        tuple(map(str, row.get("Dependents") or ())),
    )


def _about(row: Row) -> HostAbout:
    elevated, free = row.get("Elevated"), row.get("TempFree")
    return HostAbout(
        _needed(row, "Name"),
        _needed(row, "Version"),
        str(row.get("UICulture") or ""),
        int(row.get("CodePage") or 0),
        str(row.get("Policy") or ""),
        elevated if isinstance(elevated, bool) else None,
        None if free is None else int(free),
        str(row.get("BootId") or ""),
    )


def _cluster_address(row: Row) -> ClusterAddress:
    port = row.get("ProbePort")
    return ClusterAddress(_word(row.get("Address")), _word(row.get("Mask")), int(port) if port else None)


def _event(row: Row) -> Event:
    at = _seconds(row["At"])
    text = str(row.get("Message") or "")
    return Event(at, str(row.get("LogName") or ""), str(row.get("ProviderName") or ""), int(row["Id"]), int(row.get("Level") or 0), text)


def _seconds(moment: object) -> float:
    """A moment in ISO 8601 as seconds since the epoch."""
    if not isinstance(moment, str):
        raise ValueError(f"{moment!r}, which is no moment")
    parsed = datetime.fromisoformat(moment)
    if parsed.tzinfo is None:
        raise ValueError(f"{moment}, which names no zone")
    return parsed.timestamp()


def _flag(value: object) -> bool | None:
    return {"enabled": True, "disabled": False, "true": True, "false": False}.get(str(value).lower())


def _needed(row: Row, key: str) -> str:
    """A text without which a row is none; nothing is made of a null."""
    value = row[key]
    if not isinstance(value, str):
        raise ValueError(f"{key}, which is {value!r}")
    return value


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _bare(address: str) -> str:
    """Without %interface, and IPv4 where it is IPv4 in IPv6's clothes."""
    return address.partition("%")[0].removeprefix("::ffff:")
