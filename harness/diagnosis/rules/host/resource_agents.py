"""Is each agent of the cluster manager's on the standby, too, and in the same version? Of resources, and of fence devices."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.diagnosis.required_flows import join_names

# Where packages bring them; what is mounted elsewhere may well be a disk that moves with the services.
OF_THE_SYSTEM = ("/", "/usr", "/usr/lib", "/usr/lib/ocf", "/usr/sbin")
GONE = "is not there"
LIFEKEEPER = "/opt/LifeKeeper/bin"


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    for _, host in evidence.nodes:
        yield from _not_to_be_run(evidence, host)
    active, standby = evidence.hosts.get(evidence.active or ""), evidence.hosts.get(evidence.standby or "")
    if active is None or standby is None or evidence.moved:
        return
    yield from _other_versions(evidence, active, standby)
    for file in sorted(standby.programs):
        here, there = active.programs.get(file), standby.programs[file]
        if here is None or here[0] or not there[0] or here[1] not in OF_THE_SYSTEM:
            continue
        tags = [
            tag for tag in _tags(active, "script", file) if _may_run_on(active, tag, standby) and tag not in evidence.unrelated_resources
        ]
        devices = [tag for tag in _tags(active, "fence agent", file) if _may_fence(active, tag, standby)]
        if not tags and not devices:
            continue
        agent = file.rpartition("/")[2]
        follows = (
            f"{standby.name} could not fence {active.name} with it, and without another device nothing would be recovered"
            if devices
            else f"after a failover {join_names(tags)} could not start there"
        )
        yield Cause(
            f"{file}, the {'fence' if devices else 'resource'} agent of {join_names(devices or tags)}, {there[0]} on {standby.name}, while "
            f"{active.name} has it: {follows}",
            standby.name,
            Certainty.LIKELY,
            f"install on {standby.name} the package that brings {agent}, in the version of {active.name} (see with `rpm -qf {file}` or "
            f"`dpkg -S {file}` there)",
            (f"`stat -L {file}` on {standby.name}: it {there[0]}", f"`stat -L {file}` on {active.name}: a program"),
        )


def _not_to_be_run(evidence: Evidence, host: HostSeen) -> Iterator[Cause]:
    """A hardening's mount option where the cluster manager's own programs lie."""
    files = [LIFEKEEPER] if evidence.cluster.manager.kind == "lifekeeper" else []
    for name, file in ChainMap(*(dict(other.units) for _, other in evidence.nodes)).items():
        if name.startswith("fence agent ") or (name.startswith("script ") and name[7:] not in evidence.unrelated_resources):
            files.append(file)
    for mount in sorted(host.not_to_be_run):
        there = sorted({file for file in files if _mount_of(host, file) == mount})
        if there:
            yield Cause(
                f"{mount} of {host.name} is mounted with noexec, where {join_names(there[:3])} lie{'s' if len(there) == 1 else ''}: no "
                "program is started there, so that the cluster manager can neither start, watch nor stop what needs it on that node",
                host.name,
                Certainty.CERTAIN,
                f"`mount -o remount,exec {mount}` (of a bind mount `remount,bind,exec`), and take noexec out of /etc/fstab, or its unit",
                (f"/proc/mounts on {host.name}: {mount} has the option noexec",),
            )


def _mount_of(host: HostSeen, file: str) -> str:
    """By the names; stat knows where links lead, and takes a folder that is bound for a part of the file system around it."""
    told = host.programs.get(file, ("", ""))[1]
    by_name = max((m for m in host.mounts if _is_below(file, m)), key=len, default="")
    return by_name if not told or _is_below(file, told) else told


def _is_below(file: str, mount: str) -> bool:
    return f"{file}/".startswith(f"{mount.rstrip('/')}/")


def _other_versions(evidence: Evidence, active: HostSeen, standby: HostSeen) -> Iterator[Cause]:
    """By their sizes: agents are scripts, of which two versions hardly ever have the same."""
    apart = []
    for file, size in sorted(active.program_sizes.items()):
        there = standby.program_sizes.get(file)
        tags = [t for t in _tags(active, "script", file) if t not in evidence.unrelated_resources and _may_run_on(active, t, standby)]
        if tags and there is not None and size and there and there != size and active.programs.get(file, ("", ""))[1] in OF_THE_SYSTEM:
            apart.append((file, size, there, tags))
    if not apart:
        return
    sizes = "; ".join(
        f"{file.rpartition('/')[2]} has {size} bytes on {active.name} and {there} on {standby.name}" for file, size, there, _ in apart
    )
    started = join_names(sorted({tag for *_, tags in apart for tag in tags}))
    yield Cause(
        f"resource agents of other versions on the two nodes: {sizes}: after a failover {started} may be started otherwise on "
        f"{standby.name} than on {active.name}",
        standby.name,
        Certainty.POSSIBLE,
        "install the same version of the package on both nodes (`rpm -qf` or `dpkg -S` names it; `rpm -V` or `debsums` what was edited)",
        tuple(f"`stat -L {file}`: {size} bytes on {active.name}, {there} on {standby.name}" for file, size, there, _ in apart),
    )


def _tags(host: HostSeen, kind: str, file: str) -> list[str]:
    return [name.removeprefix(f"{kind} ") for name, value in host.units.items() if name.startswith(f"{kind} ") and value == file]


def _may_run_on(host: HostSeen, tag: str, there: HostSeen) -> bool:
    return there.name not in host.units.get(f"kept off {tag}", "").split()


def _may_fence(active: HostSeen, device: str, standby: HostSeen) -> bool:
    """Is it for the standby to use, and against the active node? A device may be told no nodes, and then knows them by itself."""
    against = re.split(r"[\s,;:=]+", active.units.get(f"fences {device}", ""))
    return _may_run_on(active, device, standby) and (against == [""] or active.name in against)
