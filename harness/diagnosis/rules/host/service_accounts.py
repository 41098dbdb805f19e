"""The accounts that services run as: on the standby they must be there, with the same number and with a shell where an agent wants one."""

from __future__ import annotations

from collections.abc import Iterator

from harness.config.cluster_config import Service
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen

BY_SU = ("pgsql", "oracle", "oralsnr")  # agents of Pacemaker that become the account by `su`, which goes by its shell
NO_SHELL = ("nologin", "false")


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
        yield from _privileged_port(active, standby, service)


def _number(evidence: Evidence, active: HostSeen, standby: HostSeen, service: Service, uid: int, name: str) -> Iterator[Cause]:
    """A shared disk knows owners by their numbers: under another number the service cannot open what is its own."""
    there = {name: uid for uid, name in standby.account_names.items()}.get(name)
    if there is not None and there != uid and _moving_disks(evidence, active):
        yield Cause(
            f"the account {name} has the uid {there} on {standby.name} and {uid} on {active.name}, where {service.name} is its: "
            f"what it owns on a disk that moves is another's on {standby.name}, and it would not start there",
            standby.name,
            Certainty.LIKELY,
            f"give {name} the same uid (and gid) on both nodes, with what it owns",
            tuple(f"`getent passwd {name}` on {host}: uid {number}" for host, number in ((active.name, uid), (standby.name, there))),
        )


def _moving_disks(evidence: Evidence, active: HostSeen) -> list[str]:
    """Resources that are file systems; a cluster that copies its data to the other node has none."""
    tags = [name.partition(" ")[2] for name in active.units if name.startswith(("directory ", "place "))]
    return [tag for tag in tags if tag not in evidence.unrelated_resources]


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
