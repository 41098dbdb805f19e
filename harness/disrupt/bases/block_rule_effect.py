"""Would a block rule of Windows Firewall have any effect on a node's NICs? Pure but for the reading."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from harness.hosts.linux.linux_parse import InterfaceAddress
from harness.hosts.windows.windows_parse import FirewallRows

PROFILES = {"DomainAuthenticated": "Domain", "Private": "Private", "Public": "Public"}


def no_effect(addresses: Iterable[InterfaceAddress], firewall: FirewallRows, own_addresses: Collection[str]) -> str:
    """Why a rule that drops packets at these addresses would not be in force (WNET-03, 04); empty when it would. Pure.

    What is not told is no yes.
    """
    nics = {a.address: a.interface for a in addresses}
    categories = {str(row["InterfaceAlias"]): str(row.get("NetworkCategory")) for row in firewall.nics}
    profiles = {str(row["Name"]): row for row in firewall.profiles}
    for address in own_addresses:
        nic = nics.get(address)
        if nic is None:
            return f"no NIC has the address {address}"
        # A network that was not identified is a public one by Windows' own word; of a NIC without a category nothing was said.
        name = PROFILES.get(categories.get(nic, ""), "")
        profile = profiles.get(name)
        if profile is None:
            return f"which profile of Windows Firewall {nic} is in is not told"
        if why := _profile_obstacle(profile, nic):
            return f"{why} (profile {name} of {nic})"
    return ""


def _profile_obstacle(profile: Mapping[str, Any], nic: str) -> str:
    if str(profile.get("Enabled")).lower() != "true":
        return "Windows Firewall is off, so a block rule would have no effect"
    if str(profile.get("AllowLocalFirewallRules")).lower() == "false":
        return "a group policy lets Windows Firewall's own rules count for nothing"
    if nic in (profile.get("DisabledInterfaceAliases") or ()):
        return "Windows Firewall leaves this NIC alone"
    return ""
