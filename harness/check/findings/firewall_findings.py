"""What hosts' own firewalls do to the packets that this cluster lives by, as findings. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from harness.check.node_facts import NodeFacts
from harness.config.cluster_config import Cluster
from harness.core.finding import Finding, Weight
from harness.diagnosis.firewall import parse, windows
from harness.diagnosis.required_flows import FirewallVerdict, join_names, judge_firewall
from harness.hosts.linux.linux_parse import Listener
from harness.hosts.windows.windows_parse import WindowsListener
from harness.managers.manager import ClusterState


def evaluate_firewalls(cluster: Cluster, facts_by_host: Mapping[str, NodeFacts], state: ClusterState) -> dict[str, FirewallVerdict]:
    """Every host's own firewall that was told, evaluated: once for each look."""
    verdicts: dict[str, FirewallVerdict] = {}
    paths = state.path_addresses
    for name, facts in facts_by_host.items():
        if facts.firewall is not None:
            back = facts.probe_route.interface if facts.probe_route else None
            place_packet = partial(facts.seen.place_packet, cluster.vip) if facts.seen else None
            verdicts[name] = judge_firewall(
                cluster,
                name,
                parse(facts.firewall),
                facts.nic_of,
                back,
                place_packet=place_packet,
                paths=paths,
                port_between=partial(facts.seen.port_between, cluster) if facts.seen else None,
            )
        if facts.windows is not None and facts.windows.firewall is not None:
            rows = facts.windows.firewall
            firewall = windows.read(rows.profiles, rows.rules, rows.nics)
            programs = programs_of(facts.listeners or ())
            verdicts[name] = judge_firewall(cluster, name, firewall, facts.nic_of, programs=programs, paths=paths)
    return verdicts


def programs_of(listeners: Iterable[Listener]) -> dict[int, str]:
    """Whose path listens on a port, where it is one program's alone."""
    programs_by_port: dict[int, set[str | None]] = {}
    for listener in listeners:
        if isinstance(listener, WindowsListener):
            programs_by_port.setdefault(listener.port, set()).add(listener.program)
    return {port: path for port, paths in programs_by_port.items() if len(paths) == 1 for path in paths if path}


def findings(host: str, firewall: FirewallVerdict, standby: bool = False) -> Iterator[Finding]:
    """One for each rule that decides, with all that it stops; and one for what cannot be told. Of a standby it is a note that the other
    node alone is kept from its services."""
    for (rule, does), fates in firewall.stopped_by_rule.items():
        weight = Weight.NOTE if standby and all(f.is_peers for f in fates) else Weight.FAULT
        says = f"the firewall of the host itself {does} {join_names(f.lost for f in fates)}: {rule}"
        do = "let these pass by a rule before it, or take it away; where the firewall is configured, so that it lasts"
        yield Finding(weight, host, "firewall", says, do, ("TRP-07",))
    if firewall.not_told:
        yield Finding(Weight.UNKNOWN, host, "firewall", f"cannot tell: {firewall.not_told}", "look yourself what it does to these ports")
        return
    for why, fates in firewall.unsure.items():
        says = f"cannot tell what becomes of {join_names(f.lost for f in fates)}: {why}"
        yield Finding(Weight.NOTE, host, "firewall", says, "see that this rule lets them pass")
