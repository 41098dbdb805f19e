"""A reboot that somebody, or a tool for updates, has scheduled on a node: it may well be meant, and explains what happens then."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence

DOES = {"reboot": "reboot", "kexec": "reboot", "soft-reboot": "reboot", "poweroff": "power off", "halt": "halt"}


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    for node, host in evidence.nodes:
        if host.next_boot.shutdown is None:
            continue
        when, how = host.next_boot.shutdown
        if host.clock is not None and when < host.clock:
            continue
        try:
            at = datetime.fromtimestamp(when, host.zone).strftime("%Y-%m-%d %H:%M %z")
        except (OverflowError, ValueError, OSError):  # a stranger's number
            continue
        follows = (
            "what it has in service goes down with it, and moves" if node.name == evidence.active else "meanwhile nobody can take over"
        )
        yield Cause(
            f"{node.name} is to {DOES[how]} at {at}: {follows}",
            node.name,
            Certainty.POSSIBLE,
            "see who wants that (`shutdown --show` where it has that, the tool for updates); `shutdown -c` there calls it off, and a "
            "planned move of the services before it is gentler",
            (f"/run/systemd/shutdown/scheduled on {node.name}: {how} at {at}",),
        )
