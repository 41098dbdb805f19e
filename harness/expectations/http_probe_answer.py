"""What an HTTP probe's own question was answered, in words, and what the load balancer makes of it. Pure."""

from __future__ import annotations

import re

from harness.config.load_balancer_config import Probe

MAX_PROBE_WAIT_S = 30.0  # that the balancer waits, however long the probe's interval is (facts PRB-11)
SLACK_S = 0.5  # by how much the way to the host that asks may lengthen what is measured
AFTER = re.compile(r", after (\d{1,4}\.\d) s$")


def waits_s(probe: Probe) -> float:
    """Within how many seconds the balancer wants an HTTP probe's status."""
    return min(probe.interval_s, MAX_PROBE_WAIT_S)


def in_words(status: int, reason: str, took_s: float, probe: Probe) -> str:
    """`404 Not Found`, `200 OK`, or `200 OK, after 2.0 s` where that took half of what the balancer waits, or more."""
    status_text = f"{status} {reason}".strip()
    return f"{status_text}, after {took_s:.1f} s" if status == 200 and took_s >= max(waits_s(probe) / 2, SLACK_S) else status_text


def turns_away(status_text: str) -> bool:
    """Is it a status other than 200, so that the balancer sends that node nobody?"""
    return re.match(r"(?!200\b)\d{3}\b", status_text) is not None


def without_time(status_text: str) -> str:
    """The status alone, which is the same in each look."""
    return AFTER.sub("", status_text)


def seconds(status_text: str) -> float:
    """How long a status took that took long; otherwise 0."""
    match = AFTER.search(status_text)
    return float(match[1]) if match else 0.0


def is_late(status_text: str, probe: Probe) -> bool:
    """Does the balancer no longer wait for that status?"""
    return seconds(status_text) > waits_s(probe) + SLACK_S
