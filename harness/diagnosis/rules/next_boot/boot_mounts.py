"""A disk that /etc/fstab wants and that is not there any more: the next boot, be it after fencing, ends in emergency mode."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports. What is mounted now is there, whatever its name."""
    for node, host in evidence.nodes:
        for what, place in host.next_boot.lacking:
            if not host.mounts or place in host.mounts:
                continue
            yield Cause(
                f"/etc/fstab of {node.name} mounts {what} on {place} at boot, and no disk there has that name: the next boot waits for it "
                "and ends in emergency mode, so that a node which is fenced or rebooted does not come back",
                node.name,
                Certainty.LIKELY,
                f"give that line the option nofail on {node.name}, or take it out; `findmnt --verify` reads the file again",
                (f"/etc/fstab on {node.name}: {what} on {place}, without nofail", f"/dev/disk on {node.name}: nothing of that name"),
                "the disk is attached to the other node, or is there again by then",
            )
