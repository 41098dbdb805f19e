"""Pacemaker's own folders, in which its daemons work as an account of their own: is it there on each node, and may it use them?"""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.diagnosis.host_config.node_files import FileSeen

ACCOUNT, GROUP = "hacluster", "haclient"  # as every distribution's package has them; one may build it with others
CONFIGURATION, INPUTS = "/var/lib/pacemaker/cib", "/var/lib/pacemaker/pengine"
ALL, OF_OWNER, OF_GROUP = 7, 6, 3  # rights on a folder, and by how many bits they are shifted in a mode


def causes(evidence: Evidence) -> Iterator[Cause]:
    """Restored from a backup, or made anew by hand, they are root's: what runs goes on with what it has in memory."""
    if evidence.cluster.manager.kind != "pacemaker":  # what an old installation left is no matter
        return
    for node, host in evidence.nodes:
        peer = evidence.hosts.get(evidence.cluster.peer_of(node.name).name)
        yield from _lacking_accounts(host, peer)
        for folder in (CONFIGURATION, INPUTS) if not host.lacking_accounts else ():
            seen, other = (host.files or {}).get(folder), ((peer.files or {}) if peer else {}).get(folder)
            if seen is not None and seen.owner and seen.kind == "directory" and not _may_use(seen, other):
                yield _cause(host, folder, seen)


def _lacking_accounts(host: HostSeen, peer: HostSeen | None) -> Iterator[Cause]:
    """By the name service's own word; where the other node lacks it too, this Pacemaker was built with another one."""
    for account in sorted(host.lacking_accounts - (peer.lacking_accounts if peer is not None else frozenset())):
        what = "account" if account == ACCOUNT else "group"
        yield Cause(
            f"the {what} {account} of Pacemaker's daemons does not exist on {host.name}: what runs goes on, Pacemaker's commands cannot "
            "ask it there, and it does not start the next time",
            host.name,
            Certainty.LIKELY,
            f"make the {what} {account} again as the package does, with the number that its folders still have (`ls -nd {CONFIGURATION}`); "
            "see what took it away (a clean-up of accounts, a directory service that does not answer)",
            (f"`getent` on {host.name} knows no {what} {account}",),
            explains=("*:roles", "*:communication path"),
        )


def _may_use(seen: FileSeen, other: FileSeen | None) -> bool:
    """May Pacemaker's account read and write there? One of another name, that is no root, has its folder on both nodes."""
    if seen.owner == ACCOUNT or (other is not None and seen.owner == other.owner != "root"):
        return seen.mode >> OF_OWNER & ALL == ALL
    return (seen.group == GROUP and seen.mode >> OF_GROUP & ALL == ALL) or seen.others_may(ALL)


def _cause(host: HostSeen, folder: str, seen: FileSeen) -> Cause:
    configuration = folder == CONFIGURATION
    means = (
        "the daemon that keeps the cluster's configuration cannot store it, and after its next start it may read none or not come up"
        if configuration
        else "the scheduler cannot keep what its decisions were made from"
    )
    return Cause(
        f"{folder} on {host.name} belongs to {seen.owner}:{seen.group} (mode {seen.mode:o}); Pacemaker works there as {ACCOUNT}: {means}",
        host.name,
        Certainty.LIKELY if configuration else Certainty.POSSIBLE,
        f"compare with the other node (`ls -la {folder}`), then on {host.name} `chown -R {ACCOUNT}:{GROUP} {folder}; chmod 750 {folder}`; "
        "the package says what is right (`rpm -V pacemaker`)",
        (f"`stat -L {folder}` on {host.name}: mode {seen.mode:o}, {seen.owner}:{seen.group}",),
    )
