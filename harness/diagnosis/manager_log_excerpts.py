"""What a cluster manager's log says of one resource. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timezone

from harness.managers.log_window import time_of

BAD = re.compile(r"\b(error|fail\w*|fatal|cannot|could not|refused|in use|denied|no connection|timed? ?out|not running)\b", re.IGNORECASE)
# LifeKeeper's action `recover` (LKL-34), Pacemaker's plan to recover, and a recurring monitor that found nothing; not a first probe.
BEGUN = re.compile(r":recover:|\bRecover +\S|^(?!.*(?:probe|monitor_0)).*\bmonitor\b.*\bnot running\b")
HEAD = re.compile(r"^\S+ +\d+ [\d:.]+ \S+ (?:[^\s:]+: ?|[\w-]+ *\[\d+\] \([\w-]+\)\s*)")  # LifeKeeper's and Pacemaker's
RUN = re.compile(r"(?<=\d)\[\d+\](?= error output)")  # the process of one run of an agent: another one each time
PLANS = re.compile(r"\bpacemaker-schedulerd\b.*\t?(?:info|debug|trace): ")  # what is to be done about a failure, not what failed
COUNTS = re.compile(r"migration.threshold|has failed \w+ times|fail-count-", re.IGNORECASE)  # what a failure led to, not what it was
# Pacemaker's words where it ends without being told to; an orderly stop is "Shutting down" by a signal.
ENDED = re.compile(r"\bpacemakerd\b.*\b(?:emerg|crit)\w*:|Shutting down: |aborting Pacemaker startup|configured .* but SBD not active")
BEGAN = re.compile(r"\bStarting Pacemaker\b")
MAX_WORD = 200
SAID_NOTHING = re.compile(r"error output \[\s*\]")


def _names(tag: str) -> re.Pattern[str]:
    """The tag as a word; Pacemaker writes its operations as TAG_monitor_10000."""
    return re.compile(rf"(?<![\w.-]){re.escape(tag)}(?=_(?:start|stop|monitor|promote|demote)_|[^\w-]|$)")


def about(log: Sequence[str], tag: str, most: int = 3) -> list[str]:
    """The last lines that say what went wrong with a resource, without date and host."""
    tag_pattern = _names(tag)
    lines = [
        line for line in log if BAD.search(line) and tag_pattern.search(line) and not SAID_NOTHING.search(line) and not PLANS.search(line)
    ]
    lines = [line for line in lines if not COUNTS.search(line)] or lines
    messages = [RUN.sub("", HEAD.sub("", line)).strip() for line in lines]
    return list(dict.fromkeys(messages))[-most:]


def last_word(log: Sequence[str]) -> str:
    """Why a manager that runs no more ended by itself, in its own words, without date and host; "" where it began again after that."""
    for line in reversed(log):
        if BEGAN.search(line):
            return ""
        if ENDED.search(line):
            return HEAD.sub("", line).strip()[:MAX_WORD]
    return ""


def recoveries(log: Sequence[str], tag: str, now: float | None, zone: timezone, within_s: float) -> list[str]:
    """The lines, of the last seconds, by which a resource was found gone and brought back."""
    if now is None:
        return []
    lines_by_time: dict[float, str] = {}
    tag_pattern = _names(tag)
    for line in log:
        if not BEGUN.search(line) or not tag_pattern.search(line):
            continue
        at = time_of(line, zone, now)
        if at is not None and now - within_s <= at <= now + 1:
            lines_by_time.setdefault(at, line.strip())
    return list(lines_by_time.values())
