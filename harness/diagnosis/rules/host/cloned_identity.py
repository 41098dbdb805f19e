"""What a host is known by to a storage target, alike on both nodes: one was cloned from the other."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence

INITIATOR, HOST_NQN = "/etc/iscsi/initiatorname.iscsi", "/etc/nvme/hostnqn"
MAKES = {INITIATOR: "iscsi-iname", HOST_NQN: "nvme gen-hostnqn"}


def causes(evidence: Evidence) -> Iterator[Cause]:
    """Each is unique by its definition (RFC 3720, NVMe's host NQN); where nothing uses it, it is worth a look only."""
    told = list(evidence.nodes)
    if len(told) != 2:
        return
    (_, one), (_, other) = told
    for file, what in ((INITIATOR, "iSCSI initiator name"), (HOST_NQN, "NVMe host name (NQN)")):
        digits = one.identities.get(file)
        if digits is None or digits != other.identities.get(file):
            continue
        used = file == INITIATOR and "yes" in (one.identities.get("sessions"), other.identities.get("sessions"))
        yield Cause(
            f"{one.name} and {other.name} have the same {what}, as a cloned image has: a target cannot tell them apart, so that their "
            "sessions end each other, and reservations and fencing by such a disk hold for both",
            other.name,
            Certainty.LIKELY if used else Certainty.POSSIBLE,
            f"give {other.name} a name of its own in {file} (`{MAKES[file]}` makes one), and let the targets' lists know it, in an hour in "
            "which that node's disks may be away",
            tuple(f"{file} on {host.name}: SHA-256 {digits}…" for host in (one, other)),
            "" if used else "nothing was seen that uses it",
        )
