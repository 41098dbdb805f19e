"""OpenSSH's known_hosts files: plain and hashed names, [host]:port, wildcards, negation, @revoked. Pure but for reading the file.

Certificate authorities (@cert-authority) are not used: a host needs an entry of its own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

SSH_PORT = 22


@dataclass(frozen=True)
class Entry:
    """One line of the file."""

    names: str
    key_type: str
    key: bytes
    marker: str = ""

    def covers(self, name: str) -> bool:
        """Is this line about `name`, written as `entry_name` writes it?"""
        if self.names.startswith("|1|"):
            return _hashed_match(self.names, name)
        patterns = self.names.lower().split(",")
        if any(p.startswith("!") and _glob(p[1:], name) for p in patterns):
            return False
        return any(not p.startswith("!") and _glob(p, name) for p in patterns)


@dataclass(frozen=True)
class HostKeys:
    """What a file says about one host: `keys` by type, and keys that it revokes."""

    keys: dict[str, frozenset[bytes]]
    revoked: frozenset[bytes]

    def vouches_for(self, key_type: str, key: bytes) -> bool:
        """Whether the file has this key for the host and has not revoked it."""
        return key not in self.revoked and key in self.keys.get(key_type, frozenset())


def entry_name(host: str, port: int) -> str:
    """The name that known_hosts has for a host: bare on port 22, `[host]:port` elsewhere."""
    return host.lower() if port == SSH_PORT else f"[{host.lower()}]:{port}"


def read(path: Path) -> list[Entry]:
    """Every usable line. Raises OSError when the file cannot be read."""
    return list(parse(path.read_text(encoding="utf-8", errors="replace").splitlines()))


def parse(lines: Iterable[str]) -> Iterable[Entry]:
    """The entries of these lines; comments and lines that are no entries are passed over, as ssh does."""
    for line in lines:
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#"):
            continue
        try:
            key = base64.b64decode(words[2], validate=True)
        except binascii.Error:
            continue
        yield Entry(words[0], words[1], key, marker)


def keys_of(entries: Iterable[Entry], host: str, port: int) -> HostKeys:
    """What the entries say about `host`:`port`."""
    name = entry_name(host, port)
    keys: dict[str, set[bytes]] = {}
    revoked = set()
    for entry in entries:
        if not entry.covers(name):
            continue
        if entry.marker == "@revoked":
            revoked.add(entry.key)
        elif not entry.marker:
            keys.setdefault(entry.key_type, set()).add(entry.key)
    return HostKeys({kind: frozenset(values) for kind, values in keys.items()}, frozenset(revoked))


def fingerprint(key: bytes) -> str:
    """SHA256:… as `ssh-keygen -l` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def _glob(pattern: str, name: str) -> bool:
    # `[` starts a port here, never a set of characters as fnmatch would have it
    return fnmatchcase(name, pattern.replace("[", "[[]"))


def _hashed_match(hashed: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part) for part in hashed.split("|")[2:4])
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), digest)
