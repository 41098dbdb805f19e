"""A file system of which next to nothing is left, room or inodes: what writes there stops within minutes."""

from __future__ import annotations

from collections.abc import Iterator

from harness.cluster.linux_disk_space import FEW_INODES, NEARLY_FULL_KB, STATE
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.rules.host.shared_disks import is_below

LOGS = "/var/log"


def causes(evidence: Evidence) -> Iterator[Cause]:
    """What is full already is a finding by itself. Where root has more than others, who knows who writes there."""
    for node, host in evidence.nodes:
        for mount, free in host.few_inodes.items():
            by_managers = any(is_below(place, mount) for place in (LOGS, *STATE))
            yield Cause(
                f"{mount} of {node.name} has next to no inode left (less than {FEW_INODES}): soon no file can be made there, though it may "
                "have room",
                node.name,
                Certainty.LIKELY if by_managers else Certainty.POSSIBLE,
                f"see what has so many files (`du --inodes -x -d 2 {mount} | sort -n`): sessions, mails, a spool; and make room",
                (f"`df -Pi {mount}` on {node.name}: {free} inodes are free",),
            )
        for disk in host.nearly_full:
            of_managers = [place for place in disk.holds if place in (LOGS, *STATE)]
            sure = bool(of_managers) and disk.for_root_kb < NEARLY_FULL_KB
            others = [place for place in of_managers if place != disk.mount]
            holds = f", which holds {', '.join(others)}," if others else ""
            yield Cause(
                f"{disk.mount} of {node.name}{holds} is nearly full: less than {NEARLY_FULL_KB // 1024} MB are left of "
                f"{disk.size_kb / 1048576:.0f} GB",
                node.name,
                Certainty.LIKELY if sure else Certainty.POSSIBLE,
                f"see what fills it (`du -x -d 1 {disk.mount} | sort -n`), and make room before anything is switched over",
                (f"`df -Pk {disk.mount}` on {node.name}: {disk.free_kb} kB available of {disk.size_kb}",),
                f"root has {disk.for_root_kb / 1024:.0f} MB there" if disk.for_root_kb > disk.free_kb else "",
            )
