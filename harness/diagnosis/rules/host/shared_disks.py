"""File systems of the cluster's own that something mounts beside the cluster manager: two kernels that write to one disk destroy it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.managers.manager import ResourceState

# What several hosts may mount at once, and what mounts nothing before somebody looks into it.
FOR_SEVERAL = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|gfs2?|ocfs2|lustre|beegfs|gpfs|vxfs|glusterfs|ceph|9p|virtiofs|autofs|aznfs|fuse\d?(?:\..*)?"
)
NO_DISK = ("none", "bind", "swap", "tmpfs", "proc", "sysfs")


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    active = evidence.active
    if active is None or evidence.moved:
        return
    places = _places(evidence)
    for node, host in evidence.nodes:
        for tag, place in places.items():
            kind, leads = host.mounts.get(place), evidence.resource(active, tag)
            out = evidence.resource(node.name, tag) is ResourceState.STANDBY
            alone = not _has_another_there(evidence, node.name, tag, place)
            alike = kind == evidence.hosts[active].mounts.get(place) if active in evidence.hosts else False  # one disk is of one kind
            if kind and alike and out and leads and leads.active and alone and not FOR_SEVERAL.fullmatch(kind):
                yield Cause(
                    f"{place} is mounted on {node.name} as well, where the cluster manager has {tag} out of service: it is "
                    f"in service on {active}, and where two nodes have one disk mounted, what they write destroys it",
                    node.name,
                    Certainty.LIKELY,  # a disk of that node's own may be mounted there: devices' names differ between hosts
                    f"see what is mounted there, by whom, and whether it is the same disk (`findmnt {place}`, `lsblk -f` on both nodes); "
                    f"if it is, and nothing works in it, unmount it (`umount {place}`), and have the file system checked later",
                    (
                        f"/proc/mounts on {node.name}: {place}, {kind}",
                        f"the cluster manager: {tag} ({place}) is in service on {active}, and out of service on {node.name}",
                    ),
                )
            if out and leads and leads.active and alone:
                yield from _in_the_way(evidence, node.name, host, tag, place)
            if node.name == active and leads and leads.active:
                yield from _keeps_mounted(evidence, host, tag, place)
            kind = host.at_boot.get(place)
            if kind and kind not in NO_DISK and not FOR_SEVERAL.fullmatch(kind):
                yield Cause(
                    f"/etc/fstab of {node.name} mounts {place} at boot, which is the file system of {tag}: the cluster manager mounts it "
                    "where it is in service, and after a reboot both nodes could have it mounted, which destroys it",
                    node.name,
                    Certainty.LIKELY,
                    f"take the line out of /etc/fstab on {node.name}, or give it the option noauto",
                    (f"/etc/fstab on {node.name}: {place}, {kind}, without noauto", f"the cluster's configuration: {tag} is {place}"),
                )


def _in_the_way(evidence: Evidence, name: str, host: HostSeen, tag: str, place: str) -> Iterator[Cause]:
    """What is no disk of the cluster's, and is mounted where one of them has to be after a failover, or below that place. Pacemaker's agent
    takes the first for its own, and refuses to mount over the second."""
    active = evidence.hosts.get(evidence.active or "")
    kind, expected = host.mounts.get(place), active.mounts.get(place) if active else None
    below = sorted(mount for mount in host.mounts if mount.startswith(f"{place}/"))
    if kind and expected and kind != expected and not FOR_SEVERAL.fullmatch(kind):
        what, why = f"{place} ({kind})", place
        then = f"{tag} ({expected}) would be taken for mounted, or not be mounted, and what works there would start on a foreign folder"
    elif not kind and below and not set(below) & set(all_places(evidence).values()):
        what, why = f"{below[0]}, below {place} ({host.mounts[below[0]]})", below[0]
        then = f"{tag} could not be mounted over it, or would hide it"
    else:
        return
    yield Cause(
        f"something else is mounted on {what} of {name}, where the cluster manager has {tag} out of service: after a failover {then}",
        name,
        Certainty.LIKELY,
        f"see what that is and who mounted it (`findmnt {why}`), and unmount it while nothing works in it (`umount {why}`)",
        (
            f"/proc/mounts on {name}: {why}, {kind or host.mounts[below[0]]}",
            f"the cluster manager: {tag} ({place}) is in service on {evidence.active}, and out of service on {name}",
        ),
    )


def _keeps_mounted(evidence: Evidence, host: HostSeen, tag: str, place: str) -> Iterator[Cause]:
    """What somebody mounted below a file system of the cluster's: the kernel unmounts nothing from under that. Pacemaker's agent unmounts
    it, too."""
    below = sorted(m for m, kind in host.mounts.items() if m.startswith(f"{place}/") and not FOR_SEVERAL.fullmatch(kind))
    if evidence.cluster.manager.kind != "lifekeeper" or not below or set(below) & set(all_places(evidence).values()):
        return
    yield Cause(
        f"{below[0]} ({host.mounts[below[0]]}) is mounted below {place} of {host.name}, the file system of {tag}, and the cluster "
        "manager does "
        f"not know it: {tag} could not be unmounted, so that a switchover fails half way",
        host.name,
        Certainty.LIKELY,
        f"see what that is and who mounted it (`findmnt {below[0]}`); unmount it while nothing works in it (`umount {below[0]}`), or make "
        f"it a resource of the cluster manager's above {tag}",
        (f"/proc/mounts on {host.name}: {below[0]}, {host.mounts[below[0]]}", f"the cluster manager: {tag} ({place}) is in service there"),
    )


def _has_another_there(evidence: Evidence, node: str, tag: str, place: str) -> bool:
    """May another resource have something of its own mounted at that place on that node? Two of them take turns, or have a node each."""
    other_tags = [other for other, its in all_places(evidence).items() if its == place and other != tag]
    return any(evidence.resource(node, other) is not ResourceState.STANDBY for other in other_tags)


def _places(evidence: Evidence) -> dict[str, str]:
    """By tag, of the file systems that are the file's or tied to what it names."""
    return {tag: place for tag, place in all_places(evidence).items() if tag not in evidence.unrelated_resources}


def all_places(evidence: Evidence) -> dict[str, str]:
    """By tag, of every file system that the cluster manager has."""
    return {
        name.partition(" ")[2]: place
        for _, host in evidence.nodes
        for name, place in host.units.items()
        if name.startswith(("directory ", "place "))
    }


def is_below(folder: str, place: str) -> bool:
    """Is it that place, or something in it?"""
    return f"{folder}/".startswith(f"{place.rstrip('/')}/")
