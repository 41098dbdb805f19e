"""`lcdstatus -q` of LifeKeeper, on Linux and Windows. Pure; no text makes it raise."""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness.managers.base import CommPath, NodeState, ResourceState
from harness.managers.takeover import last_words

# Widths vary per host, so rows are read by pattern, never by offset (LKL-09, LKL-11). On Windows children are marked `|---`, at times with
# long dashes (LKW-03).
ROW = re.compile(
    r"^(?P<node>\S+)\s+(?:\|[|\-\u2013\u2014 ]*)?(?P<tag>[A-Za-z0-9_-][\w./-]*)\s+(?P<id>.*?)\s+"
    r"(?P<state>ISP|ISU|OSU|OSF|ILLSTATE)\s+(?P<prio>\d+)\s+(?P<primary>\S+)\s*$"
)
PATH = re.compile(r"^(?P<peer>\S+)\s+(?:TCP|TTY|DISK)\s+(?P<addresses>\S+)\s+(?P<state>ALIVE|DEAD)\s+(?:\d+|--)\s*$")
NOT_RUNNING = "LifeKeeper does not appear to be running"

STATES = {  # LKL-14 to LKL-16
    "ISP": ResourceState.IN_SERVICE,
    "ISU": ResourceState.UNPROTECTED,
    "OSU": ResourceState.STANDBY,
    "OSF": ResourceState.FAILED,
    "ILLSTATE": ResourceState.UNKNOWN,
}


def parse(node: str, text: str) -> NodeState:
    """What `lcdstatus -q` printed on `node`. The exit code is not known to mean anything, so the text decides (LKL-10)."""
    if NOT_RUNNING in text:
        return NodeState(node, False, {}, (), "LifeKeeper is not running", stopped=True)
    lines = text.splitlines()
    rows = [m for m in map(ROW.match, lines) if m]
    paths = tuple(CommPath(m["peer"], m["addresses"], m["state"] == "ALIVE") for m in map(PATH.match, lines) if m)
    if not rows and not any(line.split()[:2] == ["LOCAL", "TAG"] for line in lines):
        return NodeState(node, False, {}, paths, f"lcdstatus printed no table; it said: {last_words(text)}")
    return NodeState(node, True, _states((m["tag"], STATES[m["state"]]) for m in rows), paths)


def _states(rows: Iterable[tuple[str, ResourceState]]) -> dict[str, ResourceState]:
    """A shared child stands under each of its parents, always in the same state; a table that contradicts itself is not believed."""
    found: dict[str, ResourceState] = {}
    for tag, state in rows:
        found[tag] = state if found.get(tag, state) is state else ResourceState.UNKNOWN
    return found
