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
FOR_WRITING = {"/tmp": "1777", "/var/tmp": "1777"}
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
                says = f"{file} on {node.name} has the mode {seen.mode:o}: services' own accounts cannot make a socket or a lock there"
                yield _cause(node.name, file, seen, says, f"chmod {FOR_WRITING[file]} {file}", Certainty.LIKELY)
        null = (host.files or {}).get(NULL)
        if null is not None and null.kind != DEVICE:
            says = f"{NULL} on {node.name} is a {null.kind}, and no device: what is written there fills a file, and what reads it gets that"
            yield _cause(node.name, NULL, null, says, f"rm {NULL} && mknod -m 666 {NULL} c 1 3", Certainty.CERTAIN)


def _cause(host: str, file: str, seen: FileSeen, says: str, line: str, certainty: Certainty) -> Cause:
    shown = f"`stat -L {file}` on {host}: mode {seen.mode:o}, {seen.kind}"
    return Cause(says, host, certainty, f"on {host}: `{line}`; see who changed it", (shown,))
