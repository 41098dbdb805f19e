"""The accounts that services run as: on the standby they must be there, with the same number, groups and limits, and with a shell and a
home where what starts them goes by `su`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.config.cluster_config import Service
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.diagnosis.host_config.account_rights import UNLIMITED, USUAL, limit_of
from harness.diagnosis.required_flows import join_names
from harness.diagnosis.rules.host.shared_disks import all_places, is_below

BY_SU = ("pgsql", "oracle", "oralsnr")  # agents of Pacemaker that become the account by `su`, which goes by its shell
NO_SHELL = ("nologin", "false")
# Groups that databases' and proxies' packages make for what only some may do.
GIVES_RIGHTS = re.compile(r"ssl-cert|dba|oinstall|oper|asm\w+|backupdba|dgdba|kmdba|racdba|mssql|redis|haproxy")
OWN_UNIT = re.compile(r"/(?:postgres|postgresql|pgsql|oracle|dbora|ora)[^/]*\.service")
DATABASES = ("postgres", "oracle", "mssql")  # kinds of services whose data move, or are copied


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    active, standby = evidence.hosts.get(evidence.active or ""), evidence.hosts.get(evidence.standby or "")
    if active is None or standby is None or evidence.moved:
        return
    for service in evidence.cluster.services:
        for uid in sorted(active.accounts.get(service.port, ())):
            if name := active.account_names.get(uid, ""):
                yield from _number(evidence, active, standby, service, uid, name)
                yield from _missing(active, standby, service, name)
                yield from _shell(active, standby, service, name)
                yield from _group_number(evidence, active, standby, service, name)
                yield from _groups(active, standby, service, name)
                if _goes_by_su(evidence, active, service):
                    yield from _home(evidence, active, standby, service, name)
                    yield from _expired(active, standby, service, name)
                    yield from _limits(active, standby, service, name)
        yield from _privileged_port(active, standby, service)


def _number(evidence: Evidence, active: HostSeen, standby: HostSeen, service: Service, uid: int, name: str) -> Iterator[Cause]:
    """A shared disk knows owners by their numbers: under another number the service cannot open what is its own."""
    there = {name: uid for uid, name in standby.account_names.items()}.get(name)
    if there is not None and there != uid and _moving_disks(evidence, active):
        lies_there = _lies_on_a_moving_disk(evidence, active, service)
        yield Cause(
            f"the account {name} has the uid {there} on {standby.name} and {uid} on {active.name}, where {service.name} is its: "
            f"what it owns on a disk that moves is another's on {standby.name}, and it would not start there",
            standby.name,
            Certainty.LIKELY if lies_there else Certainty.POSSIBLE,
            f"give {name} the same uid (and gid) on both nodes, with what it owns",
            tuple(f"`getent passwd {name}` on {host}: uid {number}" for host, number in ((active.name, uid), (standby.name, there))),
            "" if lies_there else "it may own nothing on that disk",
        )


def _moving_disks(evidence: Evidence, active: HostSeen) -> list[str]:
    """Resources that are file systems; a cluster that copies its data to the other node has none."""
    tags = [name.partition(" ")[2] for name in active.units if name.startswith(("directory ", "place "))]
    return [tag for tag in tags if tag not in evidence.unrelated_resources]


def _lies_on_a_moving_disk(evidence: Evidence, active: HostSeen, service: Service) -> bool:
    """A database does; another service by the manager's own word, or by the folder that its process works in."""
    pids = [s.pid for s in active.listening(service.port) if s.pid is not None]
    folders = [active.folders[pid] for pid in pids if pid in active.folders]
    below = any(is_below(folder, place) for folder in folders for place in all_places(evidence).values())
    return service.kind in DATABASES or f"disk of {service.tag}" in active.units or below


def _missing(active: HostSeen, standby: HostSeen, service: Service, name: str) -> Iterator[Cause]:
    """Of an account of a directory the same: the standby does not see it."""
    if active.logins.get(name) is not None and name in standby.logins and standby.logins[name] is None:
        yield Cause(
            f"the account {name} does not exist on {standby.name}, and {service.name} runs as it on {active.name}: after a failover "
            f"{service.name} could not start on {standby.name}",
            standby.name,
            Certainty.LIKELY,
            f"make {name} on {standby.name} with the uid and the groups that it has on {active.name} (`getent passwd {name}`, `id {name}`);"
            " where it is a directory's, see why that is not asked or does not answer there (sssd, /etc/nsswitch.conf)",
            (f"`getent passwd {name}` on {standby.name}: nothing", f"`ss -tlne` on {active.name}: {name} listens on port {service.port}"),
        )


def _shell(active: HostSeen, standby: HostSeen, service: Service, name: str) -> Iterator[Cause]:
    agent = active.units.get(f"agent {service.tag}", "")
    here, there = active.logins.get(name), standby.logins.get(name)
    if agent in BY_SU and here and there and _is_none(there) and not _is_none(here):
        yield Cause(
            f"the account {name} has the shell {there} on {standby.name}, and {here} on {active.name}: the resource agent {agent} of "
            f"{service.tag} goes by `su {name}`, so after a failover it could not start {service.name} on {standby.name}",
            standby.name,
            Certainty.LIKELY,
            f"give {name} its shell again on {standby.name}: `usermod -s {here} {name}`",
            tuple(f"`getent passwd {name}` on {host}: shell {shell}" for host, shell in ((standby.name, there), (active.name, here))),
        )


def _goes_by_su(evidence: Evidence, active: HostSeen, service: Service) -> bool:
    """Does what starts the service become the account by `su`, and so by PAM? What systemd starts itself does not."""
    by_own_scripts = evidence.cluster.manager.kind == "lifekeeper"
    if by_own_scripts:
        groups = [active.control_groups.get(s.pid or 0, "") for s in active.listening(service.port)]
        return service.kind in ("postgres", "oracle") and not any(OWN_UNIT.search(group) for group in groups)
    return active.units.get(f"agent {service.tag}", "") in BY_SU


def _group_number(evidence: Evidence, active: HostSeen, standby: HostSeen, service: Service, name: str) -> Iterator[Cause]:
    here, there = active.account_rights.get(name), standby.account_rights.get(name)
    if here and there and here.gid != there.gid and _moving_disks(evidence, active):
        yield Cause(
            f"the account {name} has the group {there.gid} on {standby.name} and {here.gid} on {active.name}, where {service.name} is its: "
            f"what its group owns on a disk that moves is another group's on {standby.name}",
            standby.name,
            Certainty.POSSIBLE,  # most servers go by the owner alone
            f"give {name} the same gid on both nodes, with what it owns",
            tuple(f"`getent passwd {name}` on {host.name}: gid {its.gid}" for host, its in ((standby, there), (active, here))),
        )


def _groups(active: HostSeen, standby: HostSeen, service: Service, name: str) -> Iterator[Cause]:
    """Groups that give a right to a service; others are another matter of each host."""
    here, there = active.account_rights.get(name), standby.account_rights.get(name)
    if here is None or there is None or here.groups is None or there.groups is None:
        return
    lacking = sorted(here.groups - there.groups)
    rights = [group for group in lacking if GIVES_RIGHTS.fullmatch(group)]
    if lacking:
        shown = rights or lacking
        yield Cause(
            f"{name}, which {service.name} runs as, is in {join_names(shown)} on {active.name} and not on {standby.name}: after a failover "
            "it may not read or do there what only that group may",
            standby.name,
            Certainty.LIKELY if rights else Certainty.POSSIBLE,
            f"see what it needs the group for, and put it in there on {standby.name}, too: `usermod -aG {','.join(shown)} {name}`",
            tuple(
                f"`id -Gn {name}` on {host.name}: {' '.join(sorted(its))}" for host, its in ((active, here.groups), (standby, there.groups))
            ),
        )


def _home(evidence: Evidence, active: HostSeen, standby: HostSeen, service: Service, name: str) -> Iterator[Cause]:
    here, there = active.account_rights.get(name), standby.account_rights.get(name)
    if here is None or there is None or here.home_is != "directory" or there.home_is != "absent" or there.home in ("", "/nonexistent"):
        return
    places = [place for key, place in active.units.items() if key.startswith(("directory ", "place "))]
    if any(f"{there.home}/".startswith(f"{place.rstrip('/')}/") for place in places):  # it comes with the disk
        return
    yield Cause(
        f"the home of {name}, {there.home}, is not there on {standby.name}: what starts {service.name} goes by `su - {name}`, which has no "
        "profile of it then, and so perhaps none of its paths",
        standby.name,
        Certainty.LIKELY if service.kind == "oracle" else Certainty.POSSIBLE,
        f"make {there.home} on {standby.name} with the owner, the mode and the profile that it has on {active.name}",
        (f"`stat {there.home}` on {standby.name}: not there", f"`stat {here.home}` on {active.name}: a directory"),
    )


def _expired(active: HostSeen, standby: HostSeen, service: Service, name: str) -> Iterator[Cause]:
    here, there = active.account_rights.get(name), standby.account_rights.get(name)
    if here is None or there is None or _is_over(active, here.expires) or not _is_over(standby, there.expires):
        return
    yield Cause(
        f"the account {name} has expired on {standby.name}, and not on {active.name}: `su {name}`, by which {service.name} is started, may "
        "be refused there after a failover",
        standby.name,
        Certainty.LIKELY,
        f"`chage -E -1 {name}` on {standby.name}, if the account is to go on",
        (f"/etc/shadow on {standby.name}: {name} ends on day {there.expires} since 1970",),
    )


def _is_over(host: HostSeen, day: int | None) -> bool:
    return day is not None and host.clock is not None and day <= host.clock / 86400


def _limits(active: HostSeen, standby: HostSeen, service: Service, name: str) -> Iterator[Cause]:
    """What pam_limits raises on the active node and not on the other; where that has no line, only beyond what is usual everywhere."""
    here, there = active.account_rights.get(name), standby.account_rights.get(name)
    if active.account_limits is None or standby.account_limits is None or here is None or there is None:
        return
    lower = []
    for item in ("memlock", "nofile", "nproc", "stack"):
        for kind in ("soft", "hard"):
            ours = limit_of(active.account_limits, name, here.groups or (), kind, item)
            theirs = limit_of(standby.account_limits, name, there.groups or (), kind, item)
            least = theirs if theirs is not None else USUAL.get((kind, item))
            if ours is not None and least is not None and ours > least:
                lower.append((item, f"{kind} {item} {_number_of(ours)}, and {'no line' if theirs is None else _number_of(theirs)}"))
    if lower:
        yield Cause(
            f"the limits of {name}, which {service.name} runs as, are raised on {active.name} and not on {standby.name} ("
            f"{'; '.join(says for _, says in lower)}): after a failover {service.name} may not start there, or fail under load",
            standby.name,
            Certainty.LIKELY if any(item in ("memlock", "nofile") for item, _ in lower) else Certainty.POSSIBLE,
            f"put the lines for {name} below /etc/security/limits.d on {standby.name} as on {active.name}: they count from the next start",
            tuple(f"/etc/security/limits.conf and limits.d on {active.name}, then on {standby.name}: {says}" for _, says in lower),
        )


def _number_of(value: float) -> str:
    return "unlimited" if value == UNLIMITED else f"{value:.0f}"


def _privileged_port(active: HostSeen, standby: HostSeen, service: Service) -> Iterator[Cause]:
    """A port that ordinary accounts may take on the active node and not on the other."""
    here, there = (host.limits.get("net.ipv4.ip_unprivileged_port_start", "") for host in (active, standby))
    uids = active.accounts.get(service.port, frozenset())
    if here.isdigit() and there.isdigit() and uids and 0 not in uids and int(here) <= service.port < int(there):
        uid = min(uids)
        who = active.account_names.get(uid, f"uid {uid}")
        yield Cause(
            f"on {standby.name} an ordinary account may take no port below {there} (net.ipv4.ip_unprivileged_port_start; {here} on "
            f"{active.name}), and {service.name} listens on port {service.port} as {who}: after a failover it could not "
            f"start on {standby.name}",
            standby.name,
            Certainty.LIKELY,
            f"set net.ipv4.ip_unprivileged_port_start on {standby.name} to {here}, below /etc/sysctl.d, or give the program the capability "
            "CAP_NET_BIND_SERVICE on both nodes",
            (
                *(
                    f"`sysctl net.ipv4.ip_unprivileged_port_start` on {host.name}: {value}"
                    for host, value in ((standby, there), (active, here))
                ),
                f"`ss -tlne` on {active.name}: {who} listens on port {service.port}",
            ),
        )


def _is_none(shell: str) -> bool:
    return shell.rpartition("/")[2] in NO_SHELL
