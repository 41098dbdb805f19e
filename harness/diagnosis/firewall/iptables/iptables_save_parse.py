"""What `iptables-save` printed, as chains of rules that a packet can be walked through. Pure."""

from __future__ import annotations

import re
import shlex

from harness.diagnosis.firewall.chain_evaluation import Chain, Rule
from harness.diagnosis.firewall.iptables.iptables_matches import matches
from harness.diagnosis.firewall.iptables.iptables_targets import target

# Table, chain: hook, priority (linux/netfilter_ipv4.h).
FILTER = {"INPUT": ("input", 0), "OUTPUT": ("output", 0), "FORWARD": ("forward", 0)}
RAW = {"PREROUTING": ("prerouting", -300), "OUTPUT": ("output", -300)}
MANGLED = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
SECURITY = {"INPUT": ("input", 50), "FORWARD": ("forward", 50), "OUTPUT": ("output", 50)}
NAT = {"PREROUTING": ("prerouting", -100), "INPUT": ("input", 100), "OUTPUT": ("output", -100), "POSTROUTING": ("postrouting", 100)}
HOOKS: dict[str, dict[str, tuple[str, int]]] = {
    "filter": FILTER,
    "raw": RAW,
    "mangle": {name: (name.lower(), -150) for name in MANGLED},
    "security": SECURITY,
    "nat": NAT,
}


def chains(text: str, family: str = "ip", old_tool: bool = False) -> list[Chain]:
    """The chains of every table in the text. `old_tool`: they are `iptables-legacy`'s, and `iptables` shows others. Raises
    ValueError where a line is none that iptables-save writes."""
    chains_by_name: dict[tuple[str, str], Chain] = {}
    table = ""
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#") or line == "COMMIT":
            continue
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":") and table:
            name, policy = line[1:].split()[:2]
            chains_by_name[table, name] = _chain(family, table, name, policy)
        elif (rule := re.fullmatch(r"(?:\[\d+:\d+\] )?(-A (\S+).*)", line)) and table:
            chain = chains_by_name.get((table, rule[2]))
            if chain is None:
                raise ValueError(f"`{line}` belongs to no chain that was listed")
            chain.rules.append(_rule(chain, rule[1], family, old_tool))
        else:
            raise ValueError(f"`{line[:80]}` is no line of iptables-save")
    return list(chains_by_name.values())


def table_title(family: str, table: str) -> str:
    """The table as a person finds it."""
    return f"table {family} {table}"


def _chain(family: str, table: str, name: str, policy: str) -> Chain:
    hook, priority = HOOKS.get(table, {}).get(name, (None, 0))
    base = hook is not None and policy != "-"
    return Chain(
        table_title(family, table),
        name,
        hook=hook if base else None,
        priority=priority,
        policy=policy.lower() if base else "accept",
        kind="nat" if table == "nat" else "filter",
    )


def _rule(chain: Chain, text: str, family: str, old_tool: bool) -> Rule:
    tool = f"{'ip6tables' if family == 'ip6' else 'iptables'}{'-legacy' if old_tool else ''}"
    where = f"{tool} -t {chain.table.split()[2]}, rule {len(chain.rules) + 1} of {chain.name}"
    words = shlex.split(text)[2:]
    conditions, rest = matches(words)
    return Rule(where, text, [*conditions, *target(rest, chain.table, text)])
