"""Limits of a running server beside its descriptors: how long its files, how large its memory, how many its account's processes may be."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen, Socket
from harness.diagnosis.rules.service.listeners import WRITE, ports_of

GB = 1 << 30  # bytes; PostgreSQL's own longest files, and less memory than any database is started with
FEW_PROCESSES = 100  # of all that run as one account; distributions give thousands
MEMORY = ("data size", "address space")


def causes(evidence: Evidence) -> Iterator[Cause]:
    """What a shell or somebody's prlimit left; systemd, packages and distributions limit none of these so."""
    for _, host in evidence.nodes:
        for port, what in ports_of(evidence.cluster).items():
            stores = any(s.port == port and s.kind in WRITE for s in evidence.cluster.services)
            listeners = {s.pid: s for s in host.listening(port) if s.pid in host.process_limits}
            for pid, listener in listeners.items():
                for limit, most in host.process_limits[pid or 0].items():
                    if says := _says(limit, most, by_root=0 in host.accounts.get(port, {0})):
                        yield _cause(host, listener, what, limit, says, stores=stores)


def _says(limit: str, most: int, *, by_root: bool) -> str:
    if limit == "file size" and most < GB:
        return f"may write no file longer than {most} bytes: what would be longer fails, or ends the process (SIGXFSZ)"
    if limit in MEMORY and most < GB:
        return f"may have no more than {most} bytes of memory ({limit}): what wants more fails"
    if limit == "processes" and most < FEW_PROCESSES and not by_root:  # root may always start another
        return f"may start no further process once its account has {most}: connections or jobs that need one fail"
    return ""


def _cause(host: HostSeen, listener: Socket, what: str, limit: str, says: str, *, stores: bool) -> Cause:
    option = {"file size": "fsize", "data size": "data", "address space": "as", "processes": "nproc"}[limit]
    return Cause(
        f"{listener.owner}, which listens on port {listener.port} ({what}), {says}",
        host.name,
        Certainty.LIKELY if stores else Certainty.POSSIBLE,
        f"see who set it (`ulimit` in what starts it, limits.d, `prlimit`), raise it there, and for what runs now `prlimit --pid "
        f"{listener.pid} --{option}=unlimited`; its children keep what they began with",
        (f"/proc/{listener.pid}/limits on {host.name}: Max {limit}",),
        "" if stores else "it is meant so, and enough for what it does",
    )
