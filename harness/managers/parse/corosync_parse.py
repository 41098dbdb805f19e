"""corosync.conf (`man 5 corosync.conf`) as flat settings, and what two nodes' files say differently. Pure; no text makes it raise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address

# What both nodes must say alike; where one leaves it out, corosync's default counts, which depends on its version.
ALIKE = ("totem.transport", "totem.cluster_name", "totem.crypto_cipher", "totem.crypto_hash", "totem.secauth", "quorum.provider",
         "quorum.two_node", "quorum.expected_votes", "quorum.wait_for_all")  # fmt: skip
MAX_LINES = 2000


def parse(text: str) -> dict[str, str]:
    """`totem.transport` and the like; of each node in the list its addresses as `node 1 ring0_addr`, by its id."""
    found: dict[str, str] = {}
    within: list[str] = []
    node: dict[str, str] = {}
    for line in text.splitlines()[:MAX_LINES]:
        line = line.strip()
        if line.endswith("{"):
            within.append(line[:-1].strip())
            node = {}
        elif line == "}":
            if within == ["nodelist", "node"]:
                number = node.pop("nodeid", "") or node.get("name") or node.get("ring0_addr") or "?"
                found |= {f"node {number} {key}": value for key, value in node.items() if key}
            del within[-1:]
        elif not line.startswith("#") and ":" in line:
            key, _, value = line.partition(":")
            if within == ["nodelist", "node"]:
                node[key.strip()] = value.strip()
            elif within:
                found[f"{'.'.join(within)}.{key.strip()}"] = value.strip()
    return found


def differences(one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Each setting that both files have, and have differently, with what each says; nodes that only one of them lists."""
    for name in ALIKE:
        if name in one and name in other and one[name].lower() != other[name].lower():
            yield name, one[name], other[name]
    if one and other:
        mine, theirs = ({key.split()[1] for key in settings if key.startswith("node ")} for settings in (one, other))
        if mine and theirs and mine != theirs:
            yield "nodelist", f"nodes {', '.join(sorted(mine))}", f"nodes {', '.join(sorted(theirs))}"
    for name in sorted(one):
        if name.startswith("node ") and "_addr" in name and name in other and _are_apart(one[name], other[name]):
            yield f"nodelist, {name}", one[name], other[name]


def is_sealed(settings: Mapping[str, str]) -> bool | None:
    """Does corosync seal what it sends, with its key? None where the default of its version decides."""
    told = [settings[f"totem.{name}"].lower() for name in ("crypto_cipher", "crypto_hash") if f"totem.{name}" in settings]
    if any(value != "none" for value in told) or settings.get("totem.secauth", "").lower() in ("on", "yes"):
        return True
    return False if told or settings.get("totem.secauth") else None


def _are_apart(one: str, other: str) -> bool:
    """Two addresses; a name and an address may well be the same."""
    try:
        return ip_address(one) != ip_address(other)
    except ValueError:
        return False
