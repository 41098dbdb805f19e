"""What hosts' own firewalls do to the packets that this cluster lives by, as findings. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from harness.check.node_facts import NodeFacts
from harness.config.cluster_config import Cluster
from harness.core.finding import Finding, Weight
from harness.diagnosis.firewall import parse, windows
from harness.diagnosis.required_flows import FirewallVerdict, judge_firewall, listed
from harness.hosts.linux.linux_parse import Listener
from harness.hosts.windows.windows_parse import WindowsListener
from harness.managers.manager import ClusterState


def evaluate_firewalls(cluster: Cluster, seen: Mapping[str, NodeFacts], state: ClusterState) -> dict[str, FirewallVerdict]:
    """Every host's own firewall that was told, evaluated: once for each look."""
    found: dict[str, FirewallVerdict] = {}
    paths = state.path_addresses
    for name, one in seen.items():
        if one.firewall is not None:
            back = one.probe_route.interface if one.probe_route else None
            placed = partial(one.seen.placed, cluster.vip) if one.seen else None
            found[name] = judge_firewall(cluster, name, parse(one.firewall), one.nic_of, back, placed=placed, paths=paths)
        if one.windows is not None and one.windows.firewall is not None:
            rows = one.windows.firewall
            firewall = windows.read(rows.profiles, rows.rules, rows.nics)
            programs = programs_of(one.listeners or ())
            found[name] = judge_firewall(cluster, name, firewall, one.nic_of, programs=programs, paths=paths)
    return found


def programs_of(listeners: Iterable[Listener]) -> dict[int, str]:
    """Whose path listens on a port, where it is one program's alone."""
    told: dict[int, set[str | None]] = {}
    for one in listeners:
        if isinstance(one, WindowsListener):
            told.setdefault(one.port, set()).add(one.program)
    return {port: path for port, paths in told.items() if len(paths) == 1 for path in paths if path}


def findings(host: str, firewall: FirewallVerdict) -> Iterator[Finding]:
    """One for each rule that decides, with all that it stops; and one for what cannot be told."""
    for (rule, does), fates in firewall.stopped.items():
        says = f"the firewall of the host itself {does} {listed(f.lost for f in fates)}: {rule}"
        do = "let these pass by a rule before it, or take it away; where the firewall is configured, so that it lasts"
        yield Finding(Weight.FAULT, host, "firewall", says, do, ("TRP-07",))
    if firewall.not_told:
        yield Finding(Weight.UNKNOWN, host, "firewall", f"cannot tell: {firewall.not_told}", "look yourself what it does to these ports")
        return
    for why, fates in firewall.unsure.items():
        says = f"cannot tell what becomes of {listed(f.lost for f in fates)}: {why}"
        yield Finding(Weight.NOTE, host, "firewall", says, "see that this rule lets them pass")
