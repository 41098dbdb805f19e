"""LifeKeeper's settings below what it can go by: no interval between its looks at what is in service, and too few heartbeats (facts LKL-35,
LKL-41)."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence

FILE = "/etc/default/LifeKeeper"  # facts LKL-01
CHECKS = "LKCHECKINTERVAL"
HEARTBEATS, MIN_HEARTBEATS = "LCMNUMHBEATS", 2  # LKL-35


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    if evidence.moved:
        return
    for node, host in evidence.nodes:
        if _number(host.settings.get(CHECKS, "")) == 0:
            yield Cause(
                f"{CHECKS} is 0 on {node.name}: LifeKeeper may never look at what is in service there, and what dies is noticed by nobody",
                node.name,
                Certainty.LIKELY,
                f"set it back in {FILE} on {node.name} (LifeKeeper's own value is 120)",
                (f"{FILE} on {node.name}: {CHECKS}={host.settings[CHECKS]}",),
            )
        value = _number(host.settings.get(HEARTBEATS, ""))
        if value is not None and value < MIN_HEARTBEATS:
            yield Cause(
                f"{HEARTBEATS} is {value:g} on {node.name}, and the least that LifeKeeper takes is {MIN_HEARTBEATS}: how long it waits for "
                "a lost node is then not what the file says",
                node.name,
                Certainty.POSSIBLE,
                f"set it in {FILE}, alike on both nodes (LifeKeeper's own value is 3); LifeKeeper reads it when it starts, and its stop "
                "takes services down",
                (f"{FILE} on {node.name}: {HEARTBEATS}={host.settings[HEARTBEATS]}",),
            )


def _number(text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
