"""What Linux's tools print, as data. Pure. JSON where the tool can, plain text of older versions as well."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any


@dataclass(frozen=True)
class InterfaceAddress:
    """An address on an interface; `state` is the link's operational state (UP, DOWN, UNKNOWN on lo)."""

    interface: str
    address: str
    prefix: int
    state: str


@dataclass(frozen=True)
class Listener:
    """A listening socket. `address` is 0.0.0.0, ::, * or one address; pid and process are None where the reader may not know."""

    address: str
    port: int
    protocol: str
    pid: int | None = None
    process: str | None = None


@dataclass(frozen=True)
class Route:
    """The kernel's choice for a destination: `kind` is local, unicast, unreachable, blackhole, prohibit, …"""

    kind: str
    interface: str | None = None
    source: str | None = None
    gateway: str | None = None


def addresses(text: str) -> list[InterfaceAddress]:
    """`ip -json addr`, or plain `ip addr`."""
    return list(_addresses_json(json.loads(text)) if _is_json(text) else _addresses_plain(text))


def listeners(text: str, protocol: str = "tcp") -> list[Listener]:
    """`ss -Hltnp` (with or without its header)."""
    return [found for line in text.splitlines() if (found := _listener(line, protocol))]


def route(text: str) -> Route:
    """`ip -json route get ADDRESS`, or plain `ip route get ADDRESS`."""
    if not _is_json(text):
        return _route_plain(text)
    (found, *_) = json.loads(text)
    return Route(found.get("type", "unicast"), found.get("dev"), found.get("prefsrc"), found.get("gateway"))


def route_refusal(text: str) -> Route | None:
    """The route that `ip route get` failed with: there is none, or one that forbids. None when it failed for another reason."""
    for said, kind in (
        ("Network is unreachable", "unreachable"),
        ("No route to host", "unreachable"),
        ("Permission denied", "prohibit"),
        ("Invalid argument", "blackhole"),
    ):
        if f"RTNETLINK answers: {said}" in text:
            return Route(kind)
    return None


def start_ticks(stat: str) -> int:
    """Field 22 of /proc/PID/stat: clock ticks from boot to the process's start. Its name may hold blanks and parentheses."""
    return int(stat.rpartition(")")[2].split()[19])


def boot_time(stat: str) -> int:
    """btime of /proc/stat: the boot, in seconds since the epoch."""
    return next(int(line.split()[1]) for line in stat.splitlines() if line.startswith("btime "))


def _is_json(text: str) -> bool:
    return text.lstrip().startswith(("[", "{"))


def _addresses_json(links: list[dict[str, Any]]) -> Iterator[InterfaceAddress]:
    for link in links:
        for address in link.get("addr_info", []):
            if "local" in address:  # older versions print empty objects for filtered addresses
                yield InterfaceAddress(link["ifname"], address["local"], address["prefixlen"], link.get("operstate", "UNKNOWN"))


def _addresses_plain(text: str) -> Iterator[InterfaceAddress]:
    interface, state = "", "UNKNOWN"
    for line in text.splitlines():
        if head := re.match(r"\d+: ([^:@\s]+)(?:@\S+)?: <", line):
            interface = head[1]
            said = re.search(r"\bstate (\S+)", line)
            state = said[1] if said else "UNKNOWN"
        elif found := re.match(r"\s+inet6? (\S+?)(?: peer \S+?)?(?:/(\d+))? ", line + " "):
            address, _, prefix = found[1].partition("/")
            yield InterfaceAddress(interface, address, int(prefix or found[2] or (128 if ":" in address else 32)), state)


def _listener(line: str, protocol: str) -> Listener | None:
    words = line.split(maxsplit=5)
    if len(words) < 5 or words[0] not in ("LISTEN", "UNCONN"):
        return None
    address, _, port = words[3].rpartition(":")
    owner = re.search(r'users:\(\("((?:[^"\\]|\\.)*)",pid=(\d+)', line)
    return Listener(_bare(address), int(port), protocol, int(owner[2]) if owner else None, owner[1] if owner else None)


def _bare(address: str) -> str:
    """Without brackets, without %interface, and IPv4 where it is IPv4 in IPv6's clothes."""
    address = re.sub(r"%[^\]]*", "", address).strip("[]")
    return address.removeprefix("::ffff:") if "." in address else address


def _route_plain(text: str) -> Route:
    words = text.split("\n", 1)[0].split()
    kind = words[0] if words and re.fullmatch(r"[a-z]+", words[0]) else "unicast"
    after = dict(pairwise(words))
    return Route(kind, after.get("dev"), after.get("src"), after.get("via"))
