"""Files that everybody on a host needs, and what a host is known by to others. Pure; no text makes it raise."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

FILE = re.compile(r"(?m)^([0-7]{1,4}) (/\S*) (/\S+) (\S.*)$")
OWNER = re.compile(r"(?m)^~owner (\d{1,10}) (\S{1,64}) (\S{1,64}) (/\S+)$")
PROGRAM = re.compile(r"(?m)^= (/\S+)\n[0-7]{1,4} (\d{1,15}) /\S* regular file$")
IDENTITY = re.compile(r"(?m)^(/\S+) ([0-9a-f]{16})$")
OF_NOTHING = "e3b0c44298fc1c14"  # the SHA-256 of no bytes
ENFORCES = re.compile(r"(?m)^enforce ([01])$")
CONFIGURED = re.compile(r"(?m)^SELINUX=(\w+)\s*$")


@dataclass(frozen=True)
class FileSeen:
    """The permissions of a file, in digits of base 8, where its file system is mounted, and what stat calls it (`regular file`); whose it
    is, by number and name, and its group; None and empty where that was not told."""

    mode: int
    mount: str
    kind: str
    uid: int | None = None
    owner: str = ""
    group: str = ""

    def others_may(self, bits: int) -> bool:
        """May everybody read (4), write (2) or search and run (1) it?"""
        return self.mode & bits == bits


@dataclass(frozen=True)
class MandatoryAccess:
    """SELinux: whether it `enforces` now, None where the kernel does not have it; and what its file says for the next boot."""

    enforces: bool | None = None
    configured: str = ""


def files(text: str) -> dict[str, FileSeen] | None:
    """Lines `MODE MOUNT NAME KIND`, and `~owner UID OWNER GROUP NAME`; what is not there is left out. None where nobody asked."""
    if "# asked" not in text.splitlines():
        return None
    owners = {name: (int(uid), owner, group) for uid, owner, group, name in OWNER.findall(text)}
    return {name: FileSeen(int(mode, 8), mount, kind, *owners.get(name, ())) for mode, mount, name, kind in FILE.findall(text)}


def program_sizes(text: str) -> dict[str, int]:
    """Lines `= FILE`, each with `MODE SIZE PLACE KIND` behind it: the sizes, in bytes, of regular files."""
    return {file: int(size) for file, size in PROGRAM.findall(text)}


def identities(text: str) -> Mapping[str, str]:
    """By file the first digits of the SHA-256 of the name that it holds; and `sessions`, where there is an iSCSI session."""
    found = {file: digits for file, digits in IDENTITY.findall(text) if digits != OF_NOTHING}
    return found | ({"sessions": "yes"} if "# iscsi session" in text.splitlines() else {})


def mandatory_access(text: str) -> MandatoryAccess | None:
    """None where a host told neither."""
    enforces, configured = ENFORCES.search(text), CONFIGURED.search(text)
    if enforces is None and configured is None:
        return None
    return MandatoryAccess(enforces[1] == "1" if enforces else None, configured[1].lower() if configured else "")
