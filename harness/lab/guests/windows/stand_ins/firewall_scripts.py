"""Windows Firewall as the node's nftables: one rule that lets everything in, and the block rules that were made."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

from harness.lab.guests.windows.script_answers import Row, ScriptError, stands_for
from harness.lab.guests.windows.stand_ins.lease_scripts import demand_lease
from harness.lab.guests.windows.task_store import demand_armed
from harness.lab.guests.windows.underlying_node import ALIASES, STORE, links, locked, read_or_none, run, write_whole

RULES = STORE / "firewall.json"  # kept over a boot, as Windows keeps rules in its registry
TABLE = "inet lab_windows_firewall"
# Stealth mode (WNET-13): no RST leaves for a port without a listener (such a RST has no sequence number); the node itself is refused
# (WNET-14).
STEALTH = """table inet lab_windows_stealth
delete table inet lab_windows_stealth
table inet lab_windows_stealth {
    chain output {
        type filter hook output priority 0; policy accept;
        oifname != "lo" tcp flags & (fin | syn | rst | ack) == rst | ack tcp sequence 0 drop
    }
}
"""


def rules() -> list[dict[str, Any]]:
    """The block rules that are kept."""
    found: list[dict[str, Any]] = json.loads(read_or_none(RULES) or "[]")
    return found


def remove(name: str) -> None:
    """Every rule that shows that name goes, from the kernel as well."""
    with locked("firewall"):
        _keep([one for one in rules() if one["rule"] != name])


def _keep(found: list[dict[str, Any]]) -> None:
    write_whole(RULES, json.dumps(found))
    enforce()


def enforce() -> None:
    """Have the node's kernel do what is kept, and nothing else. Raises ScriptError."""
    lines = [f"table {TABLE}", f"delete table {TABLE}", f"table {TABLE} {{"]
    chains: dict[str, list[str]] = {"input": [], "output": []}
    for one in rules():
        for chain, line in _of_rule(one):
            chains[chain].append(line)
    for chain, inside in chains.items():
        lines.append(f"chain {chain} {{ type filter hook {chain} priority 0; policy accept; {'; '.join(inside)}{';' if inside else ''} }}")
    done = run(["nft", "-f", "-"], input="\n".join([*lines, "}", ""]))
    if done.returncode != 0:
        raise ScriptError("StandInNft", done.stderr.strip())


def keep_silent() -> None:
    """Begin stealth mode, which is on by default. Raises ScriptError."""
    done = run(["nft", "-f", "-"], input=STEALTH)
    if done.returncode != 0:
        raise ScriptError("StandInNft", done.stderr.strip())


def _of_rule(one: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """A rule's direction says who opened the connection (WNET-19); packets of one that is there are judged again both ways (WNET-17)."""
    remote = "{ " + ", ".join(one["remote"]) + " }"
    if one["port"]:
        yield "input", f"ip saddr {remote} tcp dport {one['port']} drop"
        yield "output", f"ip daddr {remote} tcp sport {one['port']} drop"
        return
    local = "{ " + ", ".join(one["local"]) + " }"
    if one["direction"] == "Inbound":
        yield "input", f"ip saddr {remote} ip daddr {local} drop"
    else:
        yield "output", f"ip saddr {local} ip daddr {remote} drop"


@stands_for("cut")
def cut(rule: str, local: list[str], remote: list[str], undo: str, port: int = 0, lease: str = "") -> Iterable[Row]:
    """Two block rules, while this host waits to undo them."""
    if rule != f"lkharness-{undo}":
        raise ScriptError("BadName", "a rule has the name of what undoes it")
    demand_armed(undo)
    demand_lease(lease)
    before = time.time()
    about = {"rule": rule, "local": local, "remote": remote, "port": port}
    made = [{"id": f"{rule}-in", "direction": "Inbound", **about}]
    made += [] if port else [{"id": f"{rule}-out", "direction": "Outbound", **about}]
    with locked("firewall"):
        _keep([*rules(), *made])
    try:
        demand_armed(undo)
    except ScriptError:  # undone meanwhile: what was made after that would stay
        remove(rule)
        raise
    return [{"Before": before, "After": time.time()}]


@stands_for("firewall")
def firewall() -> Iterable[Row]:
    """Profiles, NICs and enabled rules."""
    for name in ("Domain", "Private", "Public"):
        yield {
            "K": "profile",
            "Name": name,
            "Enabled": "True",
            "DefaultInboundAction": "Block",
            "DefaultOutboundAction": "Allow",
            "AllowInboundRules": "True",
            "AllowLocalFirewallRules": "True",
            "DisabledInterfaceAliases": [],
        }
    for link in links():
        own = [f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"]]
        category = None if link["ifname"] == "lo" else "Public"
        yield {"K": "nic", "InterfaceAlias": ALIASES.get(link["ifname"], link["ifname"]), "NetworkCategory": category, "Addresses": own}
    yield _row("lab-allow-all", "the lab lets everything in", "Inbound", "Allow", "Any", ["Any"], ["Any"], ["Any"])
    for one in rules():
        protocol, ports = ("TCP", [str(one["port"])]) if one["port"] else ("Any", ["Any"])
        local = ["Any"] if one["port"] else one["local"]
        yield _row(one["id"], one["rule"], one["direction"], "Block", protocol, ports, local, one["remote"])


def _row(id: str, name: str, direction: str, action: str, protocol: str, ports: list[str], local: list[str], remote: list[str]) -> Row:
    return {
        "K": "rule",
        "Name": name,
        "Id": id,
        "Enabled": "True",
        "Direction": direction,
        "Action": action,
        "Profile": "Any",
        "EnforcementStatus": ["Full"],
        "PolicyStoreSourceType": "Local",
        "Protocol": protocol,
        "LocalPort": ports,
        "RemotePort": ["Any"],
        "LocalAddress": local,
        "RemoteAddress": remote,
        "Program": "Any",
        "Service": "Any",
        "InterfaceAlias": ["Any"],
        "InterfaceType": ["Any"],
        "Authentication": "NotRequired",
    }
