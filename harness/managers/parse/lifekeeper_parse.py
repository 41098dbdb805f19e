"""LifeKeeper's own database, as `ins_list` prints it (LKL-13, LKL-19). Pure; no text makes it raise."""

from __future__ import annotations

import re
from collections.abc import Collection

ADDRESS = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")
STRATEGY = "shutdown_switchover"  # the flag of the shutdown strategy (LKL-23)
WAY_FLAGS = ("!nofailover!", "confirmso!")  # before a node's name: no failover from it, or not without a person's word (LKL-22)
OF_WAY = re.compile(rf"(?:{'|'.join(WAY_FLAGS)})[\w.-]{{1,64}}", re.ASCII)
MASK = re.compile(r"(?<![\w.:-])(?:0x)?([0-9a-fA-F]{8})(?![\w.:-])")


def instances(text: str, ip_tag: str, nics: Collection[str]) -> dict[str, str]:
    """The NIC, the address and the mask of the IP resource are in its field `info`, found by their form; of a file system (app or type
    `filesys`) the place where it is mounted, which is its id or in its info, and its state there."""
    disks: dict[str, str] = {}
    rows = [line.split("\x01") for line in text.splitlines()]
    for fields in rows:
        place = next((field.rstrip("/") for field in fields[4:6] if re.fullmatch(r"/[^\x00-\x1f]+", field)), "")
        if len(fields) > 6 and "filesys" in fields[1:3] and place:
            disks |= {f"place {fields[3]}": place, f"state {fields[3]}": fields[6]}
    for fields in rows:
        if len(fields) > 5 and ip_tag in fields:
            matching_nics = [nic for nic in nics if re.search(rf"(?<![\w.-]){re.escape(nic)}(?![\w.-])", fields[5])]
            addresses = set(ADDRESS.findall(fields[5]))
            prefixes = {prefix for mask in MASK.findall(fields[5]) if (prefix := _prefix(mask))}
            settings = {"ip nic": matching_nics[0]} if len(matching_nics) == 1 else {}
            settings |= {"ip address": addresses.pop()} if len(addresses) == 1 else {}
            return disks | settings | ({"ip prefix": str(prefixes.pop())} if len(prefixes) == 1 else {})
    return disks


def flags(text: str) -> dict[str, str]:
    """`flg_list`, and `# asked` behind it where it ended well: whether an orderly shutdown moves what is in service (LKL-46), and flags
    about failovers from a node."""
    lines = [line.strip() for line in text.splitlines()]
    if "# asked" not in lines:
        return {}
    about_ways = {f"flag {line}": "set" for line in lines if OF_WAY.fullmatch(line)}
    return {f"flag {STRATEGY}": "set" if STRATEGY in lines else "not set"} | about_ways


def _prefix(mask: str) -> int | None:
    """How many bits of it are set, from the first one on without a gap; None for what is no mask."""
    bits = f"{int(mask, 16):032b}"
    return bits.count("1") if "01" not in bits else None
