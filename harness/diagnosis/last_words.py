"""What a cluster manager's log says of one resource. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timezone

from harness.managers.logs import time_of

BAD = re.compile(r"\b(error|fail\w*|fatal|cannot|could not|refused|in use|denied|no connection|timed? ?out|not running)\b", re.IGNORECASE)
BEGUN = re.compile(r"\brecover\b|\brecovered\b|not running|_monitor_\d+\b.*\b(7|not running)\b", re.IGNORECASE)
HEAD = re.compile(r"^\S+ +\d+ [\d:.]+ \S+ [^\s:]+: ?")


def about(log: Sequence[str], tag: str, most: int = 3) -> list[str]:
    """The last lines that say what went wrong with a resource, without date and host."""
    found = [HEAD.sub("", line).strip() for line in log if tag in line and BAD.search(line)]
    return list(dict.fromkeys(found))[-most:]


def recoveries(log: Sequence[str], tag: str, now: float | None, zone: timezone, within_s: float) -> list[str]:
    """The lines, of the last seconds, by which a resource was found gone and brought back."""
    if now is None:
        return []
    found: dict[float, str] = {}
    for line in log:
        if tag not in line or not BEGUN.search(line):
            continue
        at = time_of(line, zone, now)
        if at is not None and now - within_s <= at <= now + 1:
            found.setdefault(at, line.strip())
    return list(found.values())
