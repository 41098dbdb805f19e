"""The program that serves on the active node, as a package brings it: is it on the standby, too, and in the same version?"""

from __future__ import annotations

from collections.abc import Iterator

from harness.config.cluster_config import Service
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.diagnosis.required_flows import join_names
from harness.managers.manager import ResourceState

# Where programs of the system lie, which a package brings; what is mounted elsewhere may well be a disk that moves with the services.
OF_THE_SYSTEM = ("/", "/usr", "/usr/bin", "/usr/sbin", "/usr/lib", "/opt")
MARIADB = ("mysqld", "mariadbd")  # its name of before, and of MySQL, and its own


def causes(evidence: Evidence) -> Iterator[Cause]:
    """Of a service that is the cluster manager's; a program that its configuration names is compared elsewhere."""
    active, standby = evidence.hosts.get(evidence.active or ""), evidence.hosts.get(evidence.standby or "")
    if active is None or standby is None or standby.files is None or evidence.moved:
        return
    for service in evidence.cluster.services:
        there = evidence.resource(standby.name, service.tag)
        for file in sorted({active.executables.get(s.pid or 0, "") for s in active.listening(service.port)}):
            ours = (active.files or {}).get(file)  # a container's program is none of the host's files
            if ours is None or ours.mount not in OF_THE_SYSTEM or file in standby.files or there is not ResourceState.STANDBY:
                continue
            if active.units.get(f"program {service.tag}") or _moves(active, file) or _has_one(standby, file):
                continue
            yield _cause(active, standby, service, file)


def _has_one(standby: HostSeen, file: str) -> bool:
    """Has it one of the same server under its other name?"""
    name = file.rpartition("/")[2]
    return name in MARIADB and any(other.rpartition("/")[2] in MARIADB for other in standby.files or {})


def _moves(active: HostSeen, file: str) -> bool:
    places = [place for key, place in active.units.items() if key.startswith(("directory ", "place "))]
    return any(file.startswith(f"{place.rstrip('/')}/") for place in places)


def _cause(active: HostSeen, standby: HostSeen, service: Service, file: str) -> Cause:
    name = file.rpartition("/")[2]
    others = sorted(other for other in standby.files or {} if other.rpartition("/")[2] == name)
    instead = f", which has {join_names(others)} instead" if others else ""
    return Cause(
        f"{file}, which serves {service.name} on {active.name}, is not there on {standby.name}{instead}: after a failover {service.tag} "
        "could not start there",
        standby.name,
        Certainty.LIKELY,
        f"install on {standby.name} the package that brings {file}, in the version of {active.name} (see with `rpm -qf` or `dpkg -S`)",
        (
            f"/proc on {active.name}: who listens on port {service.port} runs {file}",
            f"`stat -L {file}` on {standby.name}: not there",
        ),
    )
