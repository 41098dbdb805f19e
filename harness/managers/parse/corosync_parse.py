"""corosync.conf (`man 5 corosync.conf`) as flat settings, and what two nodes' files say differently. Pure; no text makes it raise."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from ipaddress import ip_address

# How long a node waits before it gives another up.
WAITS = ("totem.token", "totem.token_coefficient", "totem.token_retransmits_before_loss_const", "totem.consensus", "totem.join")
# What both nodes must say alike; where one leaves it out, corosync's default counts, which depends on its version.
ALIKE = ("totem.transport", "totem.cluster_name", "totem.crypto_cipher", "totem.crypto_hash", "totem.secauth", "totem.link_mode", *WAITS,
         "quorum.provider", "quorum.two_node", "quorum.expected_votes", "quorum.wait_for_all")  # fmt: skip
# What each of corosync's versions takes where it is left out (see `possible_values` for those that hang on others).
DEFAULTS = {
    "totem.token": ("1000", "3000"),
    "totem.token_coefficient": ("650",),
    "totem.token_retransmits_before_loss_const": ("4",),
    "totem.link_mode": ("passive",),
    "quorum.two_node": ("0",),
}
COEFFICIENT = "totem.token_coefficient"  # counts from the third node on (man 5 corosync.conf)
LINK_ADDRESS = re.compile(r"node .* ring(\d{1,2})_addr")
PORT = re.compile(r"[1-9][0-9]{0,4}")
RUNNING = re.compile(r"(?m)^runtime\.config\.(totem\.\w+) \(u\d+\) = (\d{1,9})$")
NUMBER = re.compile(r"[0-9]{1,9}")
CONSENSUS = 1.2  # how many tokens long Corosync waits for the rest to agree, where nothing is set (man 5 corosync.conf)
ABSENT = "not set"
MAX_LINES = 2000


def parse(text: str) -> dict[str, str]:
    """`totem.transport` and the like; of each node in the list its addresses as `node 1 ring0_addr`, by its id, and of what is set for one
    link alone (`interface`) `link 1 mcastport`, by its number."""
    settings: dict[str, str] = {}
    within: list[str] = []
    node: dict[str, str] = {}  # or a link
    for line in text.splitlines()[:MAX_LINES]:
        line = line.strip()
        if line.endswith("{"):
            within.append(line[:-1].strip())
            node = {}
        elif line == "}":
            if within == ["nodelist", "node"]:
                number = node.pop("nodeid", "") or node.get("name") or node.get("ring0_addr") or "?"
                settings |= {f"node {number} {key}": value for key, value in node.items() if key}
            if within == ["totem", "interface"]:
                number = node.get("linknumber") or node.get("ringnumber") or "0"
                settings |= {f"link {number} {key}": value for key, value in node.items() if key}
            del within[-1:]
        elif not line.startswith("#") and ":" in line:
            key, _, value = line.partition(":")
            if within in (["nodelist", "node"], ["totem", "interface"]):
                node[key.strip()] = value.strip()
            if within and within != ["nodelist", "node"]:
                settings[f"{'.'.join(within)}.{key.strip()}"] = value.strip()
    return settings


def running(text: str) -> dict[str, str]:
    """`corosync-cmapctl -g runtime.config.totem.token …`: what it runs with, by the names of the file's settings."""
    return {match[1]: match[2] for match in RUNNING.finditer(text)}


def has_three(settings: Mapping[str, str]) -> bool:
    """Whether more than two nodes are listed, for whom the coefficient counts."""
    return len({key.split()[1] for key in settings if key.startswith("node ")}) > 2


def differences(first: Mapping[str, str], second: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Each setting that the files have differently, with what each says; nodes, and addresses of nodes, that only one of them lists."""
    for name in ALIKE:
        here, there = (possible_values(settings, name) for settings in (first, second))
        if name == COEFFICIENT and not all(has_three(settings) for settings in (first, second)):
            continue
        if here and there and not set(here) & set(there) and (name in first or name in second):
            yield name, first.get(name, ABSENT), second.get(name, ABSENT)
    if first and second:
        first_nodes, second_nodes = ({key.split()[1] for key in settings if key.startswith("node ")} for settings in (first, second))
        if first_nodes and second_nodes and first_nodes != second_nodes:
            yield "nodelist", f"nodes {', '.join(sorted(first_nodes))}", f"nodes {', '.join(sorted(second_nodes))}"
    for name in sorted({*first, *second}):
        words = name.split()
        if len(words) != 3 or words[0] != "node" or not words[2].endswith("_addr"):
            continue
        both_list_it = all(any(key.startswith(f"node {words[1]} ") for key in settings) for settings in (first, second))
        if both_list_it and ((name in first) != (name in second) or _are_apart(first[name], second[name])):
            yield f"nodelist, {name}", first.get(name, ABSENT), second.get(name, ABSENT)


def possible_values(settings: Mapping[str, str], name: str) -> tuple[str, ...]:
    """What it may be, in small letters: what is written, else its default; nothing where that is not known, or the file is not whole."""
    if name in settings:
        return (settings[name].lower(),)
    if not all(any(key.startswith(part) for key in settings) for part in ("totem.", "quorum.", "node ")):
        return ()
    if name == "quorum.wait_for_all":
        return possible_values(settings, "quorum.two_node")
    if name == "quorum.expected_votes" and not any(key.endswith(" quorum_votes") for key in settings):
        return (str(len({key.split()[1] for key in settings if key.startswith("node ")})),)
    return DEFAULTS.get(name, ())


def silence_s(settings: Mapping[str, str]) -> float | None:
    """After how many seconds of silence a node is given up, by the token and what is waited for besides; None where no token is told."""
    token, consensus = (settings.get(name, "") for name in ("totem.token", "totem.consensus"))
    if not NUMBER.fullmatch(token):
        return None
    return (int(token) + (int(consensus) if NUMBER.fullmatch(consensus) else CONSENSUS * int(token))) / 1000


def is_sealed(settings: Mapping[str, str]) -> bool | None:
    """Does corosync seal what it sends, with its key? None where the default of its version decides."""
    algorithms = [settings[f"totem.{name}"].lower() for name in ("crypto_cipher", "crypto_hash") if f"totem.{name}" in settings]
    if any(value != "none" for value in algorithms) or settings.get("totem.secauth", "").lower() in ("on", "yes"):
        return True
    return False if algorithms or settings.get("totem.secauth") else None


def node_names(settings: Mapping[str, str]) -> dict[str, str]:
    """The nodes' names, by the ids by which the settings list them."""
    words = ((key.split(), value) for key, value in settings.items())
    return {key[1]: value for key, value in words if len(key) == 3 and (key[0], key[2]) == ("node", "name")}


def link_port(ends: Collection[str], settings: Mapping[str, str], names: Mapping[str, Collection[str]], first: int) -> int | None:
    """The UDP port of the link that leads between these addresses. `first` is link 0's: knet counts on from it by one (seen with 3.1.7),
    the older transports by two, and an interface section may set another one (`mcastport`).

    `names`: what the names in the list resolve to. None where it has no such link, or one that is not by UDP."""
    listed: dict[str, set[str]] = {}
    for key, value in settings.items():
        if match := LINK_ADDRESS.fullmatch(key):
            listed.setdefault(match[1], set()).add(value)
    links = [number for number, values in listed.items() if values & set(ends)]
    links = links or [n for n, values in listed.items() if any({*names.get(value, ())} & set(ends) for value in values)]
    if not links and len(listed) == 1 and not any(is_address(value) for values in listed.values() for value in values):
        links = [*listed]  # whatever its names resolve to, there is no other one
    if len(links) != 1 or settings.get(f"link {links[0]} knet_transport", "udp").lower() != "udp":
        return None
    own = settings.get(f"link {links[0]} mcastport", "")
    return int(own) if PORT.fullmatch(own) else first + int(links[0]) * (1 if is_knet(settings) else 2)


def is_knet(settings: Mapping[str, str]) -> bool:
    """Whether its links are knet's: by its own word, or by the default of the versions that do not know redundant rings (rrp) any more."""
    return settings.get("totem.transport", "knet").lower() == "knet" and "totem.rrp_mode" not in settings


def is_address(text: str) -> bool:
    """Whether it is an address, and not a name."""
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


def _are_apart(first: str, second: str) -> bool:
    """Two addresses; a name and an address may well be the same."""
    try:
        return ip_address(first) != ip_address(second)
    except ValueError:
        return False
