"""What the accounts of services have on a host beside their numbers: groups, a home, an end, limits. Pure; no text makes it raise."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LINE = re.compile(r"(?m)^~ (\d{1,10}) (\S{1,64}) ?(\S{0,256})$")
GROUPS = re.compile(r"(?m)^~groups (\S{1,64}) (.{1,4000})$")
HOME = re.compile(r"(?m)^~home (\S{1,64}) (.*)$")
EXPIRES = re.compile(r"(?m)^~expires (\S{1,64}) (\d{1,7})$")
LIMIT = re.compile(r"(?m)^\s*(\S{1,64})\s+(soft|hard|-)\s+(memlock|nofile|nproc|stack)\s+(unlimited|infinity|-1|\d{1,18})\s*(?:#.*)?$")
PLAIN_GROUP = re.compile(r"[\w.-]{1,64}", re.ASCII)
UNLIMITED = float("inf")
# What counts where nothing is written down: no more than this, whatever the distribution (soft ones, but for memlock; kB, but for nofile).
# Others have none that is alike everywhere.
USUAL = {("soft", "nofile"): 1024.0, ("soft", "memlock"): 8192.0, ("hard", "memlock"): 8192.0, ("soft", "stack"): 8192.0}


@dataclass(frozen=True)
class AccountRights:
    """`home_is` is what stat calls the home (`directory`), `absent`, or empty where it is not known; `groups` is None where they are not
    known; `expires` the day since 1970 from which the account may not be used."""

    gid: int
    home: str = ""
    home_is: str = ""
    groups: frozenset[str] | None = None
    expires: int | None = None


@dataclass(frozen=True)
class Limit:
    """One line of /etc/security/limits.conf: for an account, `@group` or `*`; kB or a number, as pam_limits has it."""

    domain: str
    kind: str
    item: str
    value: float


def parse(text: str, expiry: str) -> dict[str, AccountRights]:
    """By name, of what `harness.collect.node_sections.RIGHTS` and EXPIRY print."""
    groups = {name: frozenset(filter(PLAIN_GROUP.fullmatch, listed.split())) for name, listed in GROUPS.findall(text)}
    homes = {name: _home(says) for name, says in HOME.findall(text)}
    expires = {name: int(day) for name, day in EXPIRES.findall(expiry)}
    return {
        name: AccountRights(int(gid), home, homes.get(name, ""), groups.get(name), expires.get(name))
        for gid, name, home in LINE.findall(text)
    }


def _home(says: str) -> str:
    if "No such file" in says or "Not a directory" in says:
        return "absent"
    return "" if says.startswith("stat:") else says.strip()


def limits(text: str) -> list[Limit] | None:
    """Lines of pam_limits, in their order; None where they were not asked for."""
    if "# asked" not in text.splitlines():
        return None
    matches = LIMIT.findall(text)
    return [
        Limit(domain, kind, item, UNLIMITED if value in ("unlimited", "infinity", "-1") else float(value))
        for domain, kind, item, value in matches
    ]


def limit_of(lines: Sequence[Limit], account: str, groups: Iterable[str], kind: str, item: str) -> float | None:
    """The limit that an account has: its own goes before a group's, and that before everybody's; of these the last counts (pam_limits)."""
    member_of = {f"@{group}" for group in groups}
    fitting = [line for line in lines if line.item == item and line.kind in (kind, "-")]
    for chosen in ({account}, member_of, {"*"}):
        if values := [line.value for line in fitting if line.domain in chosen]:
            return values[-1]
    return None
