"""Clocks that are apart: logs cannot be put side by side, and certificates and constraints with an end go wrong."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    for finding in evidence.findings:
        if finding.what == "clock":
            yield Cause(
                f"{finding.host}'s clock is wrong, or the other's: {finding.says}",
                finding.host,
                Certainty.CERTAIN,
                finding.do,
                ("each host's `date`, against this machine's clock",),
                explains=(f"{finding.host}:clock",),
            )
