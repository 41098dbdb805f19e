"""What starts by itself at a node's next boot: a service that the cluster manager has, or not the cluster manager itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.config.cluster_config import Cluster, Service
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.required_flows import join_names
from harness.managers.manager import ResourceState
from harness.managers.manager_registry import manager_class

# Of a program that listens: what is said of it in one word, and the units that start it.
UNITS = (
    (
        re.compile(r"postgres|postmaster"),
        "postgres",
        re.compile(r"postgresql\d*(?:-\d+(?:\.\d+)?)?(?:@.+)?|rh-postgresql\d+-postgresql|edb-as-\d+"),
    ),
    (re.compile(r"mysqld|mariadbd?"), "mysqld", re.compile(r"(?:mysql|mysqld|mariadb)(?:@.+)?")),
    (re.compile(r"sqlservr"), "sqlservr", re.compile(r"mssql-server")),
    (re.compile(r"httpd(?:-\w+)?|apache2"), "httpd", re.compile(r"(?:httpd|apache2)(?:@.+)?")),
    (re.compile(r"nginx"), "nginx", re.compile(r"nginx")),
    (
        re.compile(r"tnslsnr"),
        "tnslsnr",
        re.compile(r"(?!.*(?:exporter|preinstall|agent|firstboot))(?:dbora|oracle|oracle-(?:xe|free|db|rdbms)[\w-]*|oracledb[\w-]*)"),
    ),
)


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    for service, program, units in protected_programs(evidence):
        yield from _beside_the_manager(evidence, service, program, units)
    yield from _manager(evidence)
    yield from _starts_as_standby(evidence)


def protected_programs(evidence: Evidence) -> Iterator[tuple[Service, str, re.Pattern[str]]]:
    """The services that the cluster manager has in service on the active node alone, whose program has no other port there, and none on the
    standby: each with the word for it, and the names of units that start it."""
    active, standby = evidence.hosts.get(evidence.active or ""), evidence.hosts.get(evidence.standby or "")
    if active is None or standby is None or active.listeners is None or standby.listeners is None or evidence.moved:
        return
    ports = {s.port for s in evidence.cluster.services}
    for service in evidence.cluster.services:
        here, there = (evidence.resource(host.name, service.tag) for host in (active, standby))
        if here is None or not here.active or there is not ResourceState.STANDBY or f"instances of {service.tag}" in active.units:
            continue
        for programs, word, units in UNITS:
            own = [s for s in active.listeners if programs.fullmatch(s.process or "")]
            pids = {s.pid for s in own if s.port in ports}
            alone = {s.pid for s in own} == pids and not any(programs.fullmatch(s.process or "") for s in standby.listeners)
            if alone and any(s.port == service.port for s in own):
                yield service, word, units


def _beside_the_manager(evidence: Evidence, service: Service, program: str, units: re.Pattern[str]) -> Iterator[Cause]:
    """It is the cluster manager's alone to start it: where a boot does as well, it runs on both nodes, or on the wrong one."""
    enabled = {
        node.name: [unit for unit in sorted(host.next_boot.units) if units.fullmatch(unit.removesuffix(".service"))]
        for node, host in evidence.nodes
    }
    nodes = [name for name in (evidence.standby, evidence.active) if name and enabled.get(name)]
    if not nodes:
        return
    names = list(dict.fromkeys(unit for node in nodes for unit in enabled[node]))
    yield Cause(
        f"{join_names(names)} {'are' if len(names) > 1 else 'is'} enabled on {join_names(nodes)}: {'each' if len(nodes) > 1 else 'it'} "
        f"starts {program} by itself at its next boot, beside the cluster manager, which has {service.tag} in service on {evidence.active}",
        nodes[0],
        Certainty.LIKELY,
        f"`systemctl disable {' '.join(names)}` on {join_names(nodes)}, without `--now`: what runs is to go on; where Debian's generator "
        "starts a PostgreSQL, write `manual` into its start.conf",
        (
            *(f"links below /etc/systemd/system on {node}: {join_names(enabled[node])}" for node in nodes),
            f"the cluster manager: {service.tag} is in service on {evidence.active}, and out of service on {evidence.standby}",
        ),
        f"{service.tag} may be none that starts {program}, and only watch it",
    )


def _manager(evidence: Evidence) -> Iterator[Cause]:
    """The cluster manager's own unit, where the cluster file does not say how that is meant. A node without any link told nothing."""
    cluster = evidence.cluster
    unit = manager_class(cluster).boot_unit
    told = {node.name: host.next_boot for node, host in evidence.nodes if host.next_boot.units}
    if not unit or cluster.manager.starts_at_boot is not None or len(told) < 2:
        return
    starts = [name for name, boot in told.items() if boot.starts_unit(unit)]
    stays = [name for name in told if name not in starts]
    if starts and stays:
        yield Cause(
            f"{unit}.service starts at boot on {starts[0]} and not on {stays[0]}: once {stays[0]} is rebooted or fenced it stays out, and "
            f"{starts[0]} has nobody to fail over to",
            stays[0],
            Certainty.LIKELY,
            f"`systemctl enable {unit}` on {stays[0]}, or say in the cluster file that it is meant (manager.starts_at_boot)",
            tuple(
                f"links below /etc/systemd/system on {name}: {unit}.service {'' if name in starts else 'not '}among them" for name in told
            ),
        )
    elif stays and _is_pacemaker(cluster):
        yield Cause(
            f"{unit}.service starts at boot on neither node: one that is rebooted or fenced stays out until somebody starts it there",
            cluster.name,
            Certainty.POSSIBLE,
            f"where that is not meant, `systemctl enable {unit}` on both nodes; where it is, say so in the cluster file "
            "(manager.starts_at_boot = false)",
            (f"links below /etc/systemd/system on both nodes: {unit}.service not among them",),
        )
    for name, boot in told.items():
        modes = [file for file, key, value in boot.settings if key == "SBD_STARTMODE" and value == "clean"]
        if modes and boot.starts_unit("sbd"):
            yield Cause(
                f"SBD_STARTMODE is clean on {name}: after it was fenced it does not rejoin when it boots, until somebody clears its slot",
                name,
                Certainty.POSSIBLE,
                f"where that is not meant, set SBD_STARTMODE=always in {modes[0]} on both nodes",
                (f"{modes[0]} on {name}: SBD_STARTMODE=clean",),
            )


def _starts_as_standby(evidence: Evidence) -> Iterator[Cause]:
    """Pacemaker's own file may have a node begin each time as one that takes nothing."""
    for node, host in evidence.nodes:
        files = [file for file, key, value in host.next_boot.settings if key == "PCMK_node_start_state" and value == "standby"]
        if files and _is_pacemaker(evidence.cluster):
            yield Cause(
                f"PCMK_node_start_state is standby in {files[0]} of {node.name}: whenever Pacemaker starts there, after a boot or after it "
                "was fenced, the node takes nothing over until somebody lets it",
                node.name,
                Certainty.LIKELY,
                f"take that line out of {files[0]} on {node.name}; it counts from Pacemaker's next start on",
                (f"{files[0]} on {node.name}: PCMK_node_start_state=standby",),
            )


def _is_pacemaker(cluster: Cluster) -> bool:
    return cluster.manager.kind == "pacemaker"
