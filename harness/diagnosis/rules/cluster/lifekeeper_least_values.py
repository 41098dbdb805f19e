"""LifeKeeper's settings below what it can go by: no interval between its looks at what is in service, and too few heartbeats (facts LKL-35,
LKL-41)."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence

FILE = "/etc/default/LifeKeeper"  # facts LKL-01
CHECKS = "LKCHECKINTERVAL"
LEAST = {"LCMNUMHBEATS": 2.0, "LCMHBEATTIME": 1.0}  # LKL-35
OWN_VALUES = {"LCMNUMHBEATS": "3", "LCMHBEATTIME": "5"}


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
        for name, least in LEAST.items():
            value = _number(host.settings.get(name, ""))
            if value is not None and value < least:
                yield Cause(
                    f"{name} is {value:g} on {node.name}, and the least that LifeKeeper takes is {least:g}: how long it waits for a lost "
                    "node is then not what the file says",
                    node.name,
                    Certainty.POSSIBLE,
                    f"set it in {FILE}, alike on both nodes (LifeKeeper's own value is {OWN_VALUES[name]}); LifeKeeper reads it when it "
                    "starts, and its stop takes services down",
                    (f"{FILE} on {node.name}: {name}={host.settings[name]}",),
                )


def _number(text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
