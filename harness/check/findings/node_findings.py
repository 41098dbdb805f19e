"""What a look at a host amounts to, against what the design demands: findings, each with its facts and what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from harness.check.findings import clock_findings, firewall_findings, windows_findings
from harness.check.node_facts import NodeFacts
from harness.config.cluster_config import Cluster, Node
from harness.core.finding import Finding, Weight
from harness.diagnosis.required_flows import FirewallVerdict
from harness.expectations.connectivity_matrix import listens_rightly
from harness.expectations.probe_status import turns_away
from harness.managers.health_check_resources import responders
from harness.managers.manager import ClusterState, ResourceState

ANY = {"0.0.0.0", "*", "::"}


def judge(cluster: Cluster, state: ClusterState, seen: Mapping[str, NodeFacts], evaluated: Mapping[str, FirewallVerdict]) -> list[Finding]:
    """Everything that is not as it should be; `seen` has the nodes that could be asked, `evaluated` their firewalls."""
    found: list[Finding] = [*_comm_paths(state)]
    active = state.leading
    if active is None:  # who should hold the VIP, answer and listen is not known, and advice that guesses could take the live node down
        do = "see which node serves before you change anything; what follows from being active or not was not judged"
        found.append(Finding(Weight.UNKNOWN, cluster.name, "roles", f"no single node is known to be active: {state}", do))
    for name, one in seen.items():
        found += [Finding(Weight.FAULT, name, "disk", says, "make room or fix it before anything is switched over") for says in one.disks]
        node = cluster.node(name) if any(n.name == name for n in cluster.nodes) else None
        found += [
            Finding(Weight.UNKNOWN, name, "not told", why, "fix what it says; what only root may read needs a log-in as root, or ssh.sudo")
            for why in one.untold
        ]
        if node is not None:
            found += [*_of_its_role(cluster, node, one, name == active, state)] if active is not None else []
            found += _sysctls(node, one)
            if one.windows is not None:
                found += windows_findings.findings(cluster, node, one.windows, one.addresses, one.listeners)
    for name, firewall in evaluated.items():
        found += firewall_findings.findings(name, firewall)
    return [*found, *clock_findings.findings(seen)]


def of_pages(found: Iterable[Finding], active: str | None, asked: Mapping[str, str]) -> list[Finding]:
    """The same without the open probe ports of nodes that answer an HTTP probe's own question (`asked`) with another status than 200: such
    a page runs on every node, answers by the role, and the balancer sends the standby nobody (facts PRB-13)."""
    return [f for f in found if f.what != "probe port" or f.host == active or not turns_away(asked.get(f.host, ""))]


def _of_its_role(cluster: Cluster, node: Node, seen: NodeFacts, leads: bool, state: ClusterState) -> Iterator[Finding]:
    yield from _vip(cluster, node, seen, leads, state)
    yield from _routes(cluster, node, seen, leads)
    yield from _listeners(cluster, node, seen, leads, state)


def _start(cluster: Cluster, state: ClusterState, node: str, tags: list[str]) -> str:
    """What a person does about a port that nobody listens on: by what the manager says of its resource there."""
    said = {tag: state.nodes[node].resources.get(tag) for tag in tags} if node in state.nodes else {}
    for tag, seen in said.items():
        if seen is ResourceState.FAILED:
            return f"{tag} failed there: fix what the cluster manager's log says of it"
        if seen is not None and seen.active:
            return f"the cluster manager says that {tag} is in service there: let it check {tag}, or restart it"
        if seen is ResourceState.STANDBY:
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


def _vip(cluster: Cluster, node: Node, seen: NodeFacts, leads: bool, state: ClusterState) -> Iterator[Finding]:
    if seen.addresses is None:
        return
    vip, right = str(cluster.vip), seen.nic_of(node.second_address)
    mine = [a for a in seen.addresses if a.address == vip]
    tag = cluster.ip_resource.tag
    if not leads and mine:
        where = ", ".join(f"{a.interface}/{a.prefix}" for a in mine)
        do = f"delete it there (`ip addr del {vip}/{mine[0].prefix} dev {mine[0].interface}`): only the active node may hold it"
        yield Finding(Weight.FAULT, seen.node, "VIP", f"it is on {where} of a node that is not active", do, ("HAIR-08",))
    if leads and not mine:
        yield Finding(
            Weight.FAULT, seen.node, "VIP", f"{vip} is on no NIC", _start(cluster, state, node.name, [tag]), ("DSN-06", "HAIR-08")
        )
    in_place = any(at.interface == right for at in mine)
    for at in mine if leads else ():
        if right is not None and not in_place:
            do = f"create {tag} on {right}, the NIC in Subnet#2 ({node.second_address})"
            yield Finding(Weight.FAULT, seen.node, "VIP", f"{vip} is on {at.interface}, not on {right}", do, ("DSN-06",))
        if at.prefix != cluster.ip_resource.prefix and (at.interface == right or not in_place):
            do = f"give {tag} the prefix /{cluster.ip_resource.prefix}; a wider one routes Subnet#1 out of the wrong NIC"
            yield Finding(Weight.FAULT, seen.node, "VIP", f"{vip} has the prefix /{at.prefix}", do, ("FAB-14",))


def _routes(cluster: Cluster, node: Node, seen: NodeFacts, leads: bool) -> Iterator[Finding]:
    first = seen.nic_of(node.address)
    # Where the VIP itself is in the wrong place, that is the finding, and its route only follows from it.
    route = seen.vip_route if (seen.nic_of(cluster.vip) is not None) is leads else None
    if route is not None and leads and route.kind != "local":  # and the address is on a NIC: its resource is in service
        look = "Find-NetRoute" if node.platform == "windows" else f"ip route show table local {cluster.vip}` and `ip rule"
        do = f"see `{look}` there: the inside path goes to the balancer, which does not loop back"
        yield Finding(Weight.FAULT, seen.node, "route to the VIP", f"{route.kind} dev {route.interface}, not local", do, ("HAIR-07",))
    if route is not None and not leads and first is not None and (route.kind != "unicast" or route.interface != first):
        do = f"let {cluster.vip} be routed by {first}; look at `ip route get {cluster.vip}` and `ip rule` there"
        says = f"{route.kind} dev {route.interface}, not by {first}"
        yield Finding(Weight.FAULT, seen.node, "route to the VIP", says, do, ("HAIR-08", "FAB-14"))
    back = seen.probe_route
    if back is not None and first is not None and back.interface != first:
        do = f"send what answers {cluster.load_balancer.probe.source} by {first}, where it came in (its default route, or a policy route)"
        yield Finding(
            Weight.FAULT, seen.node, "route to the probe", f"{back.kind} dev {back.interface}, not by {first}", do, ("PRB-03", "TRP-07")
        )


def _listeners(cluster: Cluster, node: Node, seen: NodeFacts, leads: bool, state: ClusterState) -> Iterator[Finding]:
    if seen.listeners is None:
        return
    port, private = cluster.load_balancer.probe.port, str(node.address)
    probe = [x for x in seen.listeners if x.port == port]
    shown = ", ".join(sorted({x.address for x in probe}))
    reached = [x for x in probe if x.address in ANY or x.address == private]
    if any(x.process == "sshd" for x in probe) or port == 22:
        do = "give the probe a port of its own, which answers on the active node only"
        yield Finding(Weight.FAULT, seen.node, "probe port", f"{port} is sshd's, which answers on every node", do, ("PRB-22", "TRP-06"))
    elif leads and not probe:
        do = _start(cluster, state, node.name, responders(cluster, state))
        yield Finding(Weight.FAULT, seen.node, "probe port", f"nobody listens on {port}", do, ("PRB-22", "TRP-07"))
    elif leads and not reached:
        do = f"bind the responder to any address, or to {private}: the probe never goes to the VIP"
        yield Finding(Weight.FAULT, seen.node, "probe port", f"{port} is listened to on {shown} only", do, ("DSN-12", "PRB-03"))
    elif not leads and reached:
        who = ", ".join(sorted({f"{x.process or 'a process'} ({x.pid or 'pid not known'})" for x in reached}))
        do = "stop it there: the balancer sends clients to every node that answers"
        yield Finding(
            Weight.FAULT, seen.node, "probe port", f"{who} listens on {port}, and the node is not active", do, ("PRB-22", "TRP-06")
        )
    for service in cluster.services:
        on = {x.address for x in seen.listeners if x.port == service.port}
        if leads:
            verdict = listens_rightly(cluster.design, on, private, str(cluster.vip))
            if not verdict:
                do = f"let it listen on {'any address' if cluster.design == 'nat' else 'the VIP or any address'}"
                do = do if on else _start(cluster, state, node.name, [service.tag])
                facts = ("DSN-04", "TRP-05") if cluster.design == "nat" else ("DSN-10", "TRP-05")
                yield Finding(Weight.FAULT, seen.node, f"listener of {service.name}", verdict.reason, do, facts)
        elif on:
            do = "see that only the cluster manager starts it; a second one that answers hides a failover that did not happen"
            says = f"port {service.port} is listened to, and the node is not active"
            yield Finding(Weight.FAULT, seen.node, f"listener of {service.name}", says, do, ("TRP-06",))


def _sysctls(node: Node, seen: NodeFacts) -> Iterator[Finding]:
    for nic in filter(None, (seen.nic_of(node.address), seen.nic_of(node.second_address))):
        values = [seen.sysctls.get(f"{nic}.rp_filter", ""), seen.sysctls.get("all.rp_filter", "")]
        if "1" in values and "2" not in values:  # the kernel takes the greater of the two
            # The default of some distributions, and harmless while routes are symmetric; where one is not, the diagnosis names both.
            do = f"set net.ipv4.conf.{nic}.rp_filter=2 (loose): strict drops what comes by a NIC that the answer does not leave by"
            yield Finding(Weight.NOTE, seen.node, "rp_filter", f"{nic} is strict (1), on a node with two NICs", do, ("DSN-16",))
        ignore = max((int(v) for v in (seen.sysctls.get(f"{k}.arp_ignore", "") for k in (nic, "all")) if v.isdigit()), default=0)
        if ignore >= 3:
            do = f"set net.ipv4.conf.{nic}.arp_ignore to 2 or less, unless somebody knows why it is so"
            yield Finding(Weight.NOTE, seen.node, "arp_ignore", f"{nic} answers hardly any ARP query ({ignore})", do, ("FAB-06",))
    if seen.sysctls.get("tcp_timestamps") == "1":
        do = "if probes time out, try net.ipv4.tcp_timestamps=0; otherwise leave it"
        yield Finding(Weight.NOTE, seen.node, "tcp_timestamps", "it is on, which Azure says may cause probe timeouts", do, ("PRB-24",))
