"""systemd's target of a node's next boot: in a rescue target neither the cluster manager nor sshd starts."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence
from harness.managers.manager_registry import manager_class

WITHOUT_SERVICES = ("rescue.target", "emergency.target", "runlevel1.target", "halt.target", "poweroff.target", "reboot.target")
FILE = "/etc/systemd/system/default.target"


def causes(evidence: Evidence) -> Iterator[Cause]:
    """What a repair left behind; what boots to another target of an administrator's own is not told."""
    name = manager_class(evidence.cluster).name
    for node, host in evidence.nodes:
        target = host.next_boot.target
        if target in WITHOUT_SERVICES:
            yield Cause(
                f"the default target of {node.name} is {target}: at its next boot neither {name} nor sshd starts there, and there "
                "is nobody "
                "to fail over to",
                node.name,
                Certainty.LIKELY,
                f"`systemctl set-default multi-user.target` on {node.name} (or graphical.target, as the other node has it)",
                (f"{FILE} on {node.name} leads to {target}",),
            )
