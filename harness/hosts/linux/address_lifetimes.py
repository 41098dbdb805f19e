"""How long a Linux host's addresses last, and which programs of it renew those that end."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from harness.hosts.bounded_parse import json_of

FOREVER = 0xFFFF_FFFF  # as `ip -json` writes it
CLIENTS = ("dhclient", "dhcpcd", "udhcpc", "systemd-network", "NetworkManager", "wickedd-dhcp4", "connmand", "dhcp6c")
# Where there is an IPv4 address that ends: the programs that may renew it, and that they were looked for, by who may see others'.
LOOK = (
    "case \"$(ip -4 addr)\" in *valid_lft' '[0-9]*) "
    f"ps -eo comm= | grep -xE '({'|'.join(CLIENTS)})[[:alnum:]:_-]*' | sort -u; [ ! -r /proc/1/stat ] || echo '# asked' ;; esac"
)
_ADDRESS = re.compile(r"\s+inet (\d{1,3}(?:\.\d{1,3}){3})[/ ]")
_LIFETIMES = re.compile(r"\s+valid_lft (\d{1,10}|forever)\w* preferred_lft (\d{1,10}|forever)")


def parse(addresses: str) -> Mapping[str, tuple[int, int]]:
    """Of `ip -json addr` or `ip addr`: for how many seconds each IPv4 address that ends is valid, and is taken as a source. Pure; no text
    makes it raise."""
    try:
        return dict(_of_json(json_of(addresses)))
    except (ValueError, TypeError, KeyError, AttributeError):
        return dict(_of_plain(addresses))


def renewing(text: str) -> frozenset[str] | None:
    """What LOOK printed: programs. None where nobody looked."""
    lines = text.splitlines()
    return frozenset(line for line in lines if re.fullmatch(r"[\w:-]{1,15}", line)) if "# asked" in lines else None


def _of_json(links: list[dict]) -> Iterator[tuple[str, tuple[int, int]]]:
    for link in links:
        for address in link.get("addr_info", []):
            valid, preferred = address.get("valid_life_time"), address.get("preferred_life_time")
            if address.get("family") == "inet" and type(valid) is type(preferred) is int and min(valid, preferred) != FOREVER:
                yield address["local"], (valid, preferred)


def _of_plain(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    address = ""
    for line in text.splitlines():
        if match := _ADDRESS.match(line):
            address = match[1]
        elif (match := _LIFETIMES.match(line)) and address:
            valid, preferred = (FOREVER if word == "forever" else int(word) for word in match.groups())
            if min(valid, preferred) != FOREVER:
                yield address, (valid, preferred)
            address = ""
