"""Files that every account has to read, folders that every account has to write to, and a /dev/null that is none any more."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.host_config.node_files import FileSeen

READ, ALL = 4, 7  # bits of what others may
FOR_READING = {
    "/etc/hosts": "finds no name of the cluster there",
    "/etc/resolv.conf": "asks no name server there",
    "/etc/nsswitch.conf": "is not told there where names and accounts are looked for",
    "/etc/passwd": "knows no account there, its own neither",
    "/etc/group": "knows no group there",
}
FOR_WRITING = {
    "/tmp": "services' own accounts cannot make a socket or a lock there",
    "/var/tmp": "services' own accounts cannot make a socket or a lock there",
    "/dev/shm": "what shares memory by it as an account of its own, as PostgreSQL and Oracle do, cannot start there",
}
SHARED_MEMORY = "/dev/shm"
FAR_SMALLER, FEW_KB = 10, 1024  # times; less than any database's first piece of shared memory
NULL = "/dev/null"
DEVICE = "character special file"


def causes(evidence: Evidence) -> Iterator[Cause]:
    """No distribution and no hardening takes these rights from others, so that it need not be compared with the other node."""
    for node, host in evidence.nodes:
        for file, seen in (host.files or {}).items():
            if file in FOR_READING and seen.kind.startswith("regular") and not seen.others_may(READ):
                says = (
                    f"only root may read {file} on {node.name} (mode {seen.mode:o}): what runs as an account of its own, a database for "
                    f"one, {FOR_READING[file]}"
                )
                yield _cause(node.name, file, seen, says, f"chmod 644 {file}", Certainty.LIKELY)
            if file in FOR_WRITING and seen.kind == "directory" and not seen.others_may(ALL):
                says = f"{file} on {node.name} has the mode {seen.mode:o}: {FOR_WRITING[file]}"
                yield _cause(node.name, file, seen, says, f"chmod 1777 {file}", Certainty.LIKELY)
        null = (host.files or {}).get(NULL)
        if null is not None and null.kind != DEVICE:
            says = f"{NULL} on {node.name} is a {null.kind}, and no device: what is written there fills a file, and what reads it gets that"
            yield _cause(node.name, NULL, null, says, f"rm {NULL} && mknod -m 666 {NULL} c 1 3", Certainty.CERTAIN)
    yield from _small_shared_memory(evidence)


def _small_shared_memory(evidence: Evidence) -> Iterator[Cause]:
    """Machines of one size have the same, half of their memory, unless somebody made it another."""
    active, standby = evidence.hosts.get(evidence.active or ""), evidence.hosts.get(evidence.standby or "")
    ours, theirs = (host.shared_memory_kb if host else None for host in (active, standby))
    if active is None or standby is None or evidence.moved or not ours or theirs is None or theirs * FAR_SMALLER > ours:
        return
    kinds = {service.kind for service in evidence.cluster.services}
    needed = "oracle" in kinds or ("postgres" in kinds and theirs < FEW_KB)
    yield Cause(
        f"{SHARED_MEMORY} of {standby.name} holds {theirs} kB, and {ours} kB on {active.name}: after a failover what shares memory by it "
        "may not start there (Oracle's MEMORY_TARGET: ORA-00845), or fail under load",
        standby.name,
        Certainty.LIKELY if needed else Certainty.POSSIBLE,
        f"see what gives it that size on {standby.name} (`findmnt {SHARED_MEMORY}`, /etc/fstab), and `mount -o remount,size={ours}k "
        f"{SHARED_MEMORY}` if that machine has the memory",
        (f"`df -Pk` on {standby.name}: {SHARED_MEMORY}, {theirs} kB", f"`df -Pk` on {active.name}: {SHARED_MEMORY}, {ours} kB"),
        "" if needed else "what runs there has no use for it",
    )


def _cause(host: str, file: str, seen: FileSeen, says: str, line: str, certainty: Certainty) -> Cause:
    shown = f"`stat -L {file}` on {host}: mode {seen.mode:o}, {seen.kind}"
    return Cause(says, host, certainty, f"on {host}: `{line}`; see who changed it", (shown,))
