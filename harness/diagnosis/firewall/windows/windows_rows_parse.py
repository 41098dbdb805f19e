"""The rows of the scripts' JSON as profiles, NICs and rules: words or numbers (WNET-35), one value or a list. Pure.

A rule's row has the cmdlets' own names (Name, Action, Profile, Direction, Enabled, Protocol, LocalPort, RemotePort, LocalAddress,
RemoteAddress, Program, Service, InterfaceAlias, InterfaceType, PolicyStoreSourceType, EnforcementStatus, Authentication). Rows that have
Name, Action, Profile and Ports only are of enabled inbound rules for TCP; what else narrows them is not told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_interface
from typing import Any

from harness.diagnosis.firewall.windows.windows_rules import ANY, Nic, Profile, Rule, WindowsFirewall, Words

Row = Mapping[str, Any]
ACTIONS = {"2": "Allow", "3": "AllowBypass", "4": "Block"}
PROFILES = {1: "Domain", 2: "Private", 4: "Public"}
STATUSES = {
    "1": "Full", "2": "FirewallOffInProfile", "4": "DisabledObject", "5": "InactiveProfile", "6": "LocalAddressResolutionEmpty",
    "7": "RemoteAddressResolutionEmpty", "10": "InterfaceResolutionEmpty", "16": "LocalFirewallRulesDisallowed",
}  # fmt: skip
WITHOUT_EFFECT = {
    "DisabledObject",
    "LocalAddressResolutionEmpty",
    "RemoteAddressResolutionEmpty",
    "InterfaceResolutionEmpty",
    "LocalFirewallRulesDisallowed",
}
READ_IN_PART = "only enabled inbound rules for TCP were read; one for any protocol may block or allow as well"


def read(profiles: Iterable[Row], rules: Iterable[Row], nics: Iterable[Row] = (), *, not_told: str = "") -> WindowsFirewall:
    """A rule of which it is not told what it does makes `not_told`. Raises ValueError for a profile or a NIC without a name."""
    rows = [row for row in rules if _yes(row.get("Enabled", "True")) is not False]
    short = any("Direction" not in row or "Protocol" not in row for row in rows)
    untold = [_rule_name(row) for row in rows if _word(row.get("Action")) is None]
    if untold and not not_told:
        more = f" and of {len(untold) - 1} more" if len(untold) > 1 else ""
        not_told = f"whether the rule “{untold[0]}” allows or blocks was not told{more}"
    enabled_rules = [_rule(row) for row in rows if _word(row.get("Action")) is not None]
    return WindowsFirewall(
        tuple(_profile(row) for row in profiles),
        tuple(enabled_rules),
        tuple(_nic(row) for row in nics),
        not_told or (READ_IN_PART if short else ""),
    )


def _profile(row: Row) -> Profile:
    return Profile(
        _needed(row, "Name"),
        _yes(row.get("Enabled")),
        _word(row.get("Inbound", row.get("DefaultInboundAction"))),
        _word(row.get("Outbound", row.get("DefaultOutboundAction"))),
        _unless_denied(row, "AllowInboundRules"),
        _unless_denied(row, "AllowLocalFirewallRules"),
        tuple(w for w in _words(row["DisabledInterfaceAliases"]) if w != "NotConfigured") if "DisabledInterfaceAliases" in row else None,
        _yes(row.get("StealthMode")),
    )


def _nic(row: Row) -> Nic:
    addresses = _words(row["Addresses"]) if "Addresses" in row else None
    if addresses is not None and not all(map(_is_interface, addresses)):
        addresses = None
    category = {"0": "Public", "1": "Private", "2": "DomainAuthenticated"}.get(str(row.get("NetworkCategory")), row.get("NetworkCategory"))
    return Nic(_needed(row, "InterfaceAlias"), _word(category), _word(row.get("InterfaceType")), addresses)


def _rule(row: Row) -> Rule:
    name, short = _rule_name(row), "Direction" not in row
    action = _needed(row, "Action")
    direction = str(row.get("Direction", "Inbound")).lower()
    statuses = {STATUSES.get(w, w) for w in _words(row.get("EnforcementStatus"))}
    source = _word(row.get("PolicyStoreSourceType"))
    wanted = _word(row.get("Authentication"))
    return Rule(
        name,
        {"inbound": True, "1": True, "outbound": False, "2": False}.get(direction),
        ACTIONS.get(action, action),
        _profiles(row.get("Profile")),
        _word(row.get("Protocol")) or ("TCP" if short else None),
        _words_of(row, "LocalPort", "Ports"),
        _words_of(row, "RemotePort"),
        _words_of(row, "LocalAddress"),
        _words_of(row, "RemoteAddress"),
        _word(row.get("Program")),
        _word(row.get("Service")),
        _words_of(row, "InterfaceAlias"),
        _words_of(row, "InterfaceType"),
        None if source is None else source.lower() in ("local", "1"),
        enforced="Full" in statuses or not statuses & WITHOUT_EFFECT,
        authenticated=None if wanted is None else wanted.lower() not in ("notrequired", "0", "none"),
    )


def _rule_name(row: Row) -> str:
    """What it is called, else its id: a rule need not have a name."""
    return _word(row.get("Name")) or _word(row.get("Id")) or "without a name"


def _is_interface(text: str) -> bool:
    """Is it an address with its prefix?"""
    try:
        return bool(ip_interface(text))
    except ValueError:
        return False


def _profiles(value: object) -> Words | None:
    """`Any`, `Domain, Private`, or a sum of numbers, 0 for any."""
    words = [part.strip() for word in _words(value) for part in word.split(",") if part.strip()]
    if not words:
        return None
    if len(words) == 1 and words[0].isdigit():
        number = int(words[0])
        return tuple(name for bit, name in PROFILES.items() if number & bit) or ANY
    return tuple(words)


def _words_of(row: Row, *keys: str) -> Words | None:
    for key in keys:
        if key in row:
            return _words(row[key]) or ANY  # Windows writes Any; an empty value names nothing
    return None


def _words(value: object) -> Words:
    listed = value if isinstance(value, list | tuple) else [value]
    return tuple(str(item).strip() for item in listed if item not in (None, ""))


def _word(value: object) -> str | None:
    return str(value) if value not in (None, "") else None


def _needed(row: Row, key: str) -> str:
    word = _word(row.get(key))
    if word is None:
        raise ValueError(f"a row lacks {key}: {dict(row)!r}"[:200])
    return word


def _yes(value: object) -> bool | None:
    """Enabled is no boolean: 1 is yes and 2 is no (WNET-35)."""
    return {"true": True, "1": True, "enabled": True, "false": False, "2": False, "disabled": False}.get(str(value).lower())


def _unless_denied(row: Row, key: str) -> bool | None:
    """NotConfigured stands for the default, which is yes."""
    return None if key not in row else _yes(row[key]) is not False
