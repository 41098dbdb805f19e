"""What Linux's tools print, as data. Pure. JSON where the tool can, plain text of older versions as well.

Nothing here raises on any text but `NotReadable`, with a sentence.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Concatenate, ParamSpec, TypeVar

from harness.core.text.host_text import cut_at_word
from harness.hosts.bounded_parse import json_of
from harness.hosts.host import NotReadable

P = ParamSpec("P")
T = TypeVar("T")
GARBLED = (ValueError, KeyError, TypeError, AttributeError, IndexError, StopIteration, RecursionError, OverflowError)
ROUTES = {"local", "unicast", "unreachable", "blackhole", "prohibit", "throw", "broadcast", "multicast", "anycast"}


def _reader_of(tool: str) -> Callable[[Callable[Concatenate[str, P], T]], Callable[Concatenate[str, P], T]]:
    """For the reader of a tool's text: whatever is wrong with that is said as what the tool printed."""

    def decorate(read: Callable[Concatenate[str, P], T]) -> Callable[Concatenate[str, P], T]:
        @functools.wraps(read)
        def careful(text: str, *args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return read(text, *args, **kwargs)
            except GARBLED as error:
                last_line = cut_at_word((text.strip().splitlines() or ["nothing"])[-1], 200)
                raise NotReadable(f"{tool} printed what cannot be read; it said: {last_line}") from error

        return careful

    return decorate


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
    """The kernel's choice for a destination: `kind` is local, unicast, unreachable, blackhole, prohibit, …

    `hops` is the time to live that the route gives its packets (`hoplimit`); None where it leaves that to the kernel.
    """

    kind: str
    interface: str | None = None
    source: str | None = None
    gateway: str | None = None
    hops: int | None = None


@_reader_of("ip addr")
def addresses(text: str) -> list[InterfaceAddress]:
    """`ip -json addr`, or plain `ip addr`."""
    return list(_addresses_json(json_of(text)) if _is_json(text) else _addresses_plain(text))


@_reader_of("ss")
def listeners(text: str, protocol: str = "tcp") -> list[Listener]:
    """`ss -Hltnp` (with or without its header)."""
    return [listener for line in text.splitlines() if (listener := _listener(line, protocol))]


@_reader_of("ip route get")
def route(text: str) -> Route:
    """`ip -json route get ADDRESS`, or plain `ip route get ADDRESS`."""
    if not _is_json(text):
        return _checked_route(_route_plain(text))
    (row, *_) = json_of(text)
    hops = next((m["hoplimit"] for m in row.get("metrics", ()) if type(m.get("hoplimit")) is int), None)
    return _checked_route(Route(row.get("type", "unicast"), row.get("dev"), row.get("prefsrc"), row.get("gateway"), hops))


def next_hops(text: str) -> tuple[Route, ...]:
    """The next hops of the route that `ip route get fibmatch ADDRESS` printed, without dead ones; none where it has one way only."""
    matches = re.findall(r"(?m)^\s*nexthop (?:via (?:inet6 )?(\S{1,64}) +)?dev (\S{1,64})(?!.* dead\b)", text)
    return tuple(Route("unicast", nic, gateway=gateway or None) for gateway, nic in matches)


def route_refusal(text: str) -> Route | None:
    """The route that `ip route get` failed with: there is none, or one that forbids. None when it failed for another reason."""
    for message, kind in (
        ("Network is unreachable", "unreachable"),
        ("No route to host", "unreachable"),
        ("Permission denied", "prohibit"),
        ("Invalid argument", "blackhole"),
    ):
        if f"RTNETLINK answers: {message}" in text:
            return Route(kind)
    return None


@_reader_of("/proc/PID/stat")
def start_ticks(stat: str) -> int:
    """Field 22 of /proc/PID/stat: clock ticks from boot to the process's start. Its name may hold blanks and parentheses."""
    return int(stat.rpartition(")")[2].split()[19])


@_reader_of("/proc/stat")
def boot_time(stat: str) -> int:
    """btime of /proc/stat: the boot, in seconds since the epoch."""
    return next(int(line.split()[1]) for line in stat.splitlines() if line.startswith("btime "))


@_reader_of("/proc/PID/stat, getconf CLK_TCK and /proc/stat")
def process_start(text: str) -> float:
    """A process's start in seconds since the epoch, from what these three print one after the other."""
    stat, ticks, boot = text.strip().rsplit("\n", 2)
    if int(ticks) <= 0:
        raise ValueError(ticks)
    return boot_time(boot) + start_ticks(stat) / int(ticks)


@_reader_of("date")
def seconds(text: str) -> float:
    """`date +%s.%N`."""
    if not re.fullmatch(r"[0-9]{1,12}\.[0-9]{1,9}\s*", text):
        raise ValueError(text)
    return float(text)


def _is_json(text: str) -> bool:
    return text.lstrip().startswith(("[", "{"))


def _addresses_json(links: list[dict[str, Any]]) -> Iterator[InterfaceAddress]:
    for link in links:
        for address in link.get("addr_info", []):
            if "local" in address:  # older versions print empty objects for filtered addresses
                name, local, prefix, state = link["ifname"], address["local"], address["prefixlen"], link.get("operstate", "UNKNOWN")
                if not all(isinstance(word, str) for word in (name, local, state)) or type(prefix) is not int:
                    raise ValueError(address)
                yield InterfaceAddress(name, local, prefix, state)


def _addresses_plain(text: str) -> Iterator[InterfaceAddress]:
    interface, state = "", "UNKNOWN"
    for line in text.splitlines():
        if head := re.match(r"\d+: ([^:@\s]+)(?:@\S+)?: <", line):
            interface = head[1]
            state_match = re.search(r"\bstate (\S+)", line)
            state = state_match[1] if state_match else "UNKNOWN"
        elif address_match := re.match(r"\s+inet6? (\S+?)(?: peer \S+?)?(?:/(\d+))? ", line + " "):
            address, _, prefix = address_match[1].partition("/")
            yield InterfaceAddress(interface, address, int(prefix or address_match[2] or (128 if ":" in address else 32)), state)


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


def _checked_route(route: Route) -> Route:
    """A route that was understood: of a known kind, its words words, and with an interface where packets would leave by one."""
    words = (route.kind, route.interface, route.source, route.gateway)
    if not all(word is None or isinstance(word, str) for word in words) or route.kind not in ROUTES:
        raise ValueError(route)
    if route.kind == "unicast" and not route.interface:
        raise ValueError(route)
    return route


def _route_plain(text: str) -> Route:
    words = text.split("\n", 1)[0].split()
    kind = words[0] if words and words[0] in ROUTES else "unicast"
    after = dict(pairwise(words))
    hops = re.search(r"\bhoplimit (\d{1,3})\b", text)
    return Route(kind, after.get("dev"), after.get("src"), after.get("via"), int(hops[1]) if hops else None)
