"""What an HTTP probe's own question was answered, in words, and what the load balancer makes of it. Pure."""

from __future__ import annotations

import re

from harness.config.cluster_config import Probe

LONGEST_S = 30.0  # that the balancer waits, however long the probe's interval is (facts PRB-11)
SLACK_S = 0.5  # by how much the way to the host that asks may lengthen what is measured
AFTER = re.compile(r", after (\d{1,4}\.\d) s$")


def waits_s(probe: Probe) -> float:
    """Within how many seconds the balancer wants an HTTP probe's status."""
    return min(probe.interval_s, LONGEST_S)


def in_words(status: int, reason: str, took_s: float, probe: Probe) -> str:
    """`404 Not Found`, `200 OK`, or `200 OK, after 2.0 s` where that took half of what the balancer waits, or more."""
    said = f"{status} {reason}".strip()
    return f"{said}, after {took_s:.1f} s" if status == 200 and took_s >= max(waits_s(probe) / 2, SLACK_S) else said


def turns_away(said: str) -> bool:
    """Is it a status other than 200, so that the balancer sends that node nobody?"""
    return re.match(r"(?!200\b)\d{3}\b", said) is not None


def without_time(said: str) -> str:
    """The status alone, which is the same in each look."""
    return AFTER.sub("", said)


def seconds(said: str) -> float:
    """How long a status took that took long; otherwise 0."""
    found = AFTER.search(said)
    return float(found[1]) if found else 0.0


def is_late(said: str, probe: Probe) -> bool:
    """Does the balancer no longer wait for that status?"""
    return seconds(said) > waits_s(probe) + SLACK_S
