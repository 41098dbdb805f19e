"""What a look at a host amounts to, against what the design demands: findings, each with its facts and what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from harness.check.findings import clock_findings, firewall_findings, windows_findings
from harness.check.node_facts import NodeFacts
from harness.config.cluster_config import Cluster, Node
from harness.config.load_balancer_config import VIP_PREFIX
from harness.core.finding import Finding, Weight
from harness.diagnosis.cluster_nics import is_vip_on_first_nics
from harness.diagnosis.evidence import PathSeen, is_served
from harness.diagnosis.required_flows import FirewallVerdict
from harness.expectations.connectivity_matrix import listens_rightly
from harness.expectations.http_probe_answer import turns_away
from harness.managers.manager import ClusterState, ResourceState
from harness.managers.probe_responder_resources import responders

ANY = {"0.0.0.0", "*", "::"}


def judge(
    cluster: Cluster, state: ClusterState, facts_by_node: Mapping[str, NodeFacts], evaluated: Mapping[str, FirewallVerdict]
) -> list[Finding]:
    """Everything that is not as it should be; `facts_by_node` has the nodes that could be asked, `evaluated` their firewalls."""
    findings: list[Finding] = [*_comm_paths(state)]
    active = state.leading
    if active is None:  # who should hold the VIP, answer and listen is not known, and advice that guesses could take the live node down
        do = "see which node serves before you change anything; what follows from being active or not was not judged"
        findings.append(Finding(Weight.UNKNOWN, cluster.name, "roles", f"no single node is known to be active: {state}", do))
    on_first_nics = is_vip_on_first_nics(cluster, active, {name: facts.seen for name, facts in facts_by_node.items()})
    for name, facts in facts_by_node.items():
        findings += [
            Finding(Weight.FAULT, name, "disk", says, "make room or fix it before anything is switched over") for says in facts.disks
        ]
        node = cluster.node(name) if any(n.name == name for n in cluster.nodes) else None
        findings += [
            Finding(Weight.UNKNOWN, name, "not told", why, "fix what it says; what only root may read needs a log-in as root, or ssh.sudo")
            for why in facts.not_told
        ]
        if node is not None:
            firewall = evaluated.get(name)
            if active is not None:
                findings += _of_its_role(cluster, node, facts, name == active, state, firewall, on_first_nics)
            findings += _sysctls(node, facts)
            if facts.windows is not None:
                findings += windows_findings.findings(cluster, node, facts.windows, facts.addresses, facts.listeners)
    for name, firewall in evaluated.items():
        is_standby = active is not None and name != active and any(n.name == name for n in cluster.nodes)
        findings += firewall_findings.findings(name, firewall, is_standby)
    return [*findings, *clock_findings.findings(facts_by_node)]


def of_pages(findings: Iterable[Finding], active: str | None, answers_by_node: Mapping[str, str]) -> list[Finding]:
    """The same without the open probe ports of nodes that answer an HTTP probe's own question (`answers_by_node`) with another status than
    200: such a page runs on every node, answers by the role, and the balancer sends the standby nobody (facts PRB-13)."""
    return [f for f in findings if f.what != "probe port" or f.host == active or not turns_away(answers_by_node.get(f.host, ""))]


def of_containers(
    findings: Iterable[Finding], cluster: Cluster, active: str | None, paths: Sequence[PathSeen], evaluated: Mapping[str, FirewallVerdict]
) -> list[Finding]:
    """The same with a note in place of a port that nobody listens on at the active node itself, where its firewall hands the port on to
    another address, as Docker does without its proxy, and every path from outside is served so."""
    firewall = evaluated.get(active or "")
    handed_on = {
        f"listener of {s.name}": rule
        for s in cluster.services
        if active is not None and firewall is not None and (rule := firewall.sent_elsewhere(s.port)) and is_served(paths, active, s.port)
    }
    do = "nothing, if the service runs in a container; the cluster manager's checks have to reach it there"
    return [
        replace(f, weight=Weight.NOTE, says=f"nobody listens there itself, and it is served: {handed_on[f.what]} hands the port on", do=do)
        if f.host == active and f.what in handed_on
        else f
        for f in findings
    ]


def _of_its_role(
    cluster: Cluster,
    node: Node,
    facts: NodeFacts,
    leads: bool,
    state: ClusterState,
    firewall: FirewallVerdict | None,
    on_first_nics: bool,
) -> Iterator[Finding]:
    yield from _vip(cluster, node, facts, leads, state, on_first_nics)
    yield from _routes(cluster, node, facts, leads)
    yield from _listeners(cluster, node, facts, leads, state, firewall)


def _start(cluster: Cluster, state: ClusterState, node: str, tags: list[str]) -> str:
    """What a person does about a port that nobody listens on: by what the manager says of its resource there."""
    states = {tag: state.nodes[node].resources.get(tag) for tag in tags} if node in state.nodes else {}
    for tag, resource_state in states.items():
        if resource_state is ResourceState.FAILED:
            return f"{tag} failed there: fix what the cluster manager's log says of it"
        if resource_state is not None and resource_state.active:
            return f"the cluster manager says that {tag} is in service there: let it check {tag}, or restart it"
        if resource_state is ResourceState.STANDBY:
            return f"put {tag} in service there"
    return "see which resource should answer it, and why it does not run there"


def _comm_paths(state: ClusterState) -> Iterator[Finding]:
    for node in state.nodes.values():
        for path in node.comm_paths:
            if not path.alive:
                do = (
                    "see whether the manager answers on both nodes, then whether the network lets its packets pass; with the last one "
                    "gone both start everything"
                )
                yield Finding(Weight.FAULT, node.node, "communication path", f"{path.addresses} is dead", do, ("LKL-36",))


def _vip(cluster: Cluster, node: Node, facts: NodeFacts, leads: bool, state: ClusterState, on_first_nics: bool) -> Iterator[Finding]:
    if facts.addresses is None:
        return
    vip, right = str(cluster.vip), facts.nic_of(node.second_address)
    vip_addresses = [a for a in facts.addresses if a.address == vip]
    tag = cluster.ip_resource.tag
    if not leads and vip_addresses:
        where = ", ".join(f"{a.interface}/{a.prefix}" for a in vip_addresses)
        first = vip_addresses[0]
        do = f"delete it there (`ip addr del {vip}/{first.prefix} dev {first.interface}`): only the active node may hold it"
        yield Finding(Weight.FAULT, facts.node, "VIP", f"it is on {where} of a node that is not active", do, ("HAIR-08",))
    if leads and not vip_addresses:
        yield Finding(
            Weight.FAULT, facts.node, "VIP", f"{vip} is on no NIC", _start(cluster, state, node.name, [tag]), ("DSN-06", "HAIR-08")
        )
    in_place = any(at.interface == right for at in vip_addresses)
    for at in vip_addresses if leads else ():
        if right is not None and not in_place:
            do = f"create {tag} on {right}, the NIC in Subnet#2 ({node.second_address})"
            if on_first_nics:
                do += f", on both nodes, whose configuration has it on their first NIC now: the cluster file's place for it is {right}"
            yield Finding(Weight.FAULT, facts.node, "VIP", f"{vip} is on {at.interface}, not on {right}", do, ("DSN-06",))
        # On the NIC of Subnet#1 itself a wider one leads nothing to a wrong NIC, and its place is a finding already.
        if at.prefix != VIP_PREFIX and (at.interface == right or not in_place) and at.interface != facts.nic_of(node.address):
            do = f"give {tag} the prefix /{VIP_PREFIX}; a wider one routes Subnet#1 out of the wrong NIC"
            yield Finding(Weight.FAULT, facts.node, "VIP", f"{vip} has the prefix /{at.prefix}", do, ("FAB-14",))


def _routes(cluster: Cluster, node: Node, facts: NodeFacts, leads: bool) -> Iterator[Finding]:
    first = facts.nic_of(node.address)
    # Where the VIP itself is in the wrong place, that is the finding, and its route only follows from it.
    route = facts.vip_route if (facts.nic_of(cluster.vip) is not None) is leads else None
    if route is not None and leads and route.kind != "local":  # and the address is on a NIC: its resource is in service
        look = "Find-NetRoute" if node.platform == "windows" else f"ip route show table local {cluster.vip}` and `ip rule"
        do = f"see `{look}` there: the inside path goes to the balancer, which does not loop back"
        yield Finding(Weight.FAULT, facts.node, "route to the VIP", f"{route.kind} dev {route.interface}, not local", do, ("HAIR-07",))
    if route is not None and not leads and first is not None and (route.kind != "unicast" or route.interface != first):
        do = f"let {cluster.vip} be routed by {first}; look at `ip route get {cluster.vip}` and `ip rule` there"
        says = f"{route.kind} dev {route.interface}, not by {first}"
        yield Finding(Weight.FAULT, facts.node, "route to the VIP", says, do, ("HAIR-08", "FAB-14"))
    back = facts.probe_route
    if back is not None and first is not None and back.interface != first:
        do = f"send what answers {cluster.load_balancer.probe.source} by {first}, where it came in (its default route, or a policy route)"
        yield Finding(
            Weight.FAULT, facts.node, "route to the probe", f"{back.kind} dev {back.interface}, not by {first}", do, ("PRB-03", "TRP-07")
        )


def _listeners(
    cluster: Cluster, node: Node, facts: NodeFacts, leads: bool, state: ClusterState, firewall: FirewallVerdict | None
) -> Iterator[Finding]:
    if facts.listeners is None:
        return
    port, private = cluster.load_balancer.probe.port, str(node.address)
    probe = [x for x in facts.listeners if x.port == port]
    addresses = ", ".join(sorted({x.address for x in probe}))
    reached = [x for x in probe if x.address in ANY or x.address == private]
    if any(x.process == "sshd" for x in probe) or port == 22:
        do = "give the probe a port of its own, which answers on the active node only"
        yield Finding(Weight.FAULT, facts.node, "probe port", f"{port} is sshd's, which answers on every node", do, ("PRB-22", "TRP-06"))
    elif leads and not probe:
        do = _start(cluster, state, node.name, responders(cluster, state))
        yield Finding(Weight.FAULT, facts.node, "probe port", f"nobody listens on {port}", do, ("PRB-22", "TRP-07"))
    elif leads and not reached:
        do = f"bind the responder to any address, or to {private}: the probe never goes to the VIP"
        yield Finding(Weight.FAULT, facts.node, "probe port", f"{port} is listened to on {addresses} only", do, ("DSN-12", "PRB-03"))
    elif not leads and reached:
        who = ", ".join(sorted({f"{x.process or 'a process'} ({x.pid or 'pid not known'})" for x in reached}))
        do = "stop it there: the balancer sends clients to every node that answers"
        yield Finding(
            Weight.FAULT, facts.node, "probe port", f"{who} listens on {port}, and the node is not active", do, ("PRB-22", "TRP-06")
        )
    for service in cluster.services:
        ports = {service.port, *(firewall.redirected(service.port) if leads and firewall else ())}
        on = {x.address for x in facts.listeners if x.port in ports}
        if leads:
            verdict = listens_rightly(cluster.design, on, private, str(cluster.vip))
            if not verdict:
                do = f"let it listen on {'any address' if cluster.design == 'nat' else 'the VIP or any address'}"
                do = do if on else _start(cluster, state, node.name, [service.tag])
                fact_ids = ("DSN-04", "TRP-05") if cluster.design == "nat" else ("DSN-10", "TRP-05")
                yield Finding(Weight.FAULT, facts.node, f"listener of {service.name}", verdict.reason, do, fact_ids)
        elif on and service.runs_on == "active" and not _runs_on_all(facts, service.tag):
            do = "see that only the cluster manager starts it; a second one that answers hides a failover that did not happen"
            do += '; where every host runs it by design, let the cluster file say runs_on = "both" of the service'
            says = f"port {service.port} is listened to, and the node is not active"
            yield Finding(Weight.FAULT, facts.node, f"listener of {service.name}", says, do, ("TRP-06",))


def _runs_on_all(facts: NodeFacts, tag: str) -> bool:
    """Has the cluster manager instances of it on several nodes at once, by its configuration? Then it is the VIP and the probe that choose
    one of them."""
    return facts.seen is not None and f"instances of {tag}" in facts.seen.units


def _sysctls(node: Node, facts: NodeFacts) -> Iterator[Finding]:
    for nic in filter(None, (facts.nic_of(node.address), facts.nic_of(node.second_address))):
        values = [facts.sysctls.get(f"{nic}.rp_filter", ""), facts.sysctls.get("all.rp_filter", "")]
        if "1" in values and "2" not in values:  # the kernel takes the greater of the two
            # The default of some distributions, and harmless while routes are symmetric; where one is not, the diagnosis names both.
            do = f"set net.ipv4.conf.{nic}.rp_filter=2 (loose): strict drops what comes by a NIC that the answer does not leave by"
            yield Finding(Weight.NOTE, facts.node, "rp_filter", f"{nic} is strict (1), on a node with two NICs", do, ("DSN-16",))
        ignore = max((int(v) for v in (facts.sysctls.get(f"{k}.arp_ignore", "") for k in (nic, "all")) if v.isdigit()), default=0)
        if ignore >= 3:
            do = f"set net.ipv4.conf.{nic}.arp_ignore to 2 or less, unless somebody knows why it is so"
            yield Finding(Weight.NOTE, facts.node, "arp_ignore", f"{nic} answers hardly any ARP query ({ignore})", do, ("FAB-06",))
    if facts.sysctls.get("tcp_timestamps") == "1":
        do = "if probes time out, try net.ipv4.tcp_timestamps=0; otherwise leave it"
        yield Finding(Weight.NOTE, facts.node, "tcp_timestamps", "it is on, which Azure says may cause probe timeouts", do, ("PRB-24",))
