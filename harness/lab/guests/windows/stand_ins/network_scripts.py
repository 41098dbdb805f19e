"""Addresses, listeners, routes and interfaces, as the node's own kernel has them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from harness.hosts.linux import linux_parse
from harness.lab.guests.windows.script_answers import Row, ScriptError, stands_for
from harness.lab.guests.windows.underlying_node import ALIASES, links, run


@stands_for("addresses")
def addresses() -> Iterable[Row]:
    """Those of an adapter that is off are not usable until it is on again."""
    for link in links():
        up = "UP" in link["flags"]
        for one in link["addr_info"]:
            yield {
                "InterfaceAlias": ALIASES.get(link["ifname"], link["ifname"]),
                "InterfaceIndex": link["ifindex"],
                "IPAddress": one["local"],
                "PrefixLength": one["prefixlen"],
                "AddressState": "Preferred" if up else "Tentative",
                "PrefixOrigin": "WellKnown" if link["ifname"] == "lo" else "Manual",
                "SkipAsSource": False,
                "Status": "Up" if up else "Disabled",
            }


@stands_for("listeners")
def listeners() -> Iterable[Row]:
    """With the Linux path of each program."""
    for one in linux_parse.listeners(run(["ss", "-Hltnp"]).stdout):
        program = None
        if one.pid is not None:
            try:
                program = str(Path(f"/proc/{one.pid}/exe").readlink())
            except OSError:
                program = None
        address = "::" if one.address == "*" else one.address
        yield {"LocalAddress": address, "LocalPort": one.port, "OwningProcess": one.pid, "Process": one.process, "Program": program}


@stands_for("route")
def route(address: str) -> Iterable[Row]:
    """How the node's kernel would send to the address now."""
    done = run(["ip", "-json", "route", "get", address])
    if done.returncode != 0:
        if linux_parse.route_refusal(done.stderr) is None:
            raise ScriptError("StandInRoute", done.stderr.strip())
        return [{"Unreachable": True, "Local": False, "InterfaceAlias": None, "IPAddress": None, "NextHop": None}]
    found = json.loads(done.stdout)[0]
    return [
        {
            "Unreachable": False,
            "Local": found.get("type") == "local",
            "InterfaceAlias": ALIASES.get(found.get("dev"), found.get("dev")),
            "IPAddress": found.get("prefsrc"),
            "NextHop": found.get("gateway", "0.0.0.0"),
        }
    ]


@stands_for("interfaces")
def interfaces() -> Iterable[Row]:
    """Linux sends and receives for the addresses of every NIC, which Windows calls weak host behaviour."""
    for link in links():
        forwarding = Path(f"/proc/sys/net/ipv4/conf/{link['ifname']}/forwarding").read_text().strip() == "1"
        yield {
            "InterfaceAlias": ALIASES.get(link["ifname"], link["ifname"]),
            "InterfaceIndex": link["ifindex"],
            "WeakHostSend": "Enabled",
            "WeakHostReceive": "Enabled",
            "Forwarding": "Enabled" if forwarding else "Disabled",
            "Dhcp": "Disabled",
            "InterfaceMetric": 75 if link["ifname"] == "lo" else 5,
        }


@stands_for("tcp-settings")
def tcp_settings() -> Iterable[Row]:
    """Port ranges and keepalive of the node's kernel."""
    first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    yield {"K": "dynamic", "First": int(first), "Last": int(last), "Name": "Internet"}
    for name, file in (("KeepAliveTime", "tcp_keepalive_time"), ("KeepAliveInterval", "tcp_keepalive_intvl")):
        yield {"K": "keepalive", "Name": name, "Milliseconds": 1000 * int(Path("/proc/sys/net/ipv4", file).read_text())}
