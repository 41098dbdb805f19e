"""What must hold after every test: otherwise the tests after it would be judged on a cluster that is not what they think."""

from __future__ import annotations

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.cluster.path_check import ask_identity, check_path
from harness.config.cluster_config import Node
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, Unusable
from harness.core.verdict import Verdict, all_of, failed, passed
from harness.expectations.connectivity_matrix import Origin
from harness.hosts.deadman.deadman_switch import remains
from harness.hosts.host import HostUnreachable
from harness.hosts.jobs import unfinished
from harness.remote.connections.attempt import attempt


def audit(subject: ClusterUnderTest, *, patience_s: float | None = None) -> Verdict:
    """One active node and a whole cluster, the VIP in one place, one probe answering, the balancer agrees, nothing of ours left.

    Waits for the cluster to be whole as long as a node may take to boot, or `patience_s` seconds.
    """
    cluster = subject.cluster
    patience = cluster.manager.boot_s + cluster.manager.takeover_s if patience_s is None else patience_s
    try:
        state = subject.wait_until_whole(Deadline(patience))
    except DeadlineExceeded as error:
        return failed(str(error) if patience else f"the cluster is not healthy: {subject.manager.state()}")
    active = state.active
    assert active is not None  # a whole cluster has one
    found = subject.together(
        lambda: vip_in_place(subject, active),
        lambda: _probe(subject, active),
        lambda: _balancer(subject, active),
        lambda: nothing_left(subject),
    )
    return all_of([passed(f"{active} is active"), *found])


def vip_in_place(subject: ClusterUnderTest, active: str) -> Verdict:
    """The VIP is on the active node's Subnet#2 NIC, with the prefix of the cluster file, and nowhere else (facts DSN-06, FAB-14)."""
    cluster = subject.cluster
    holders = subject.holders_of_vip()
    second = str(cluster.node(active).second_address)
    nics = [a.interface for a in subject.facts[active].addresses() if a.address == second]
    where = "; ".join(f"{n}: {', '.join(p)}" for n, p in holders.items()) or "nowhere"
    in_place = holders == {active: [f"{nic}/{cluster.ip_resource.prefix}" for nic in nics]}
    return (passed if in_place else failed)(f"{cluster.vip} is on {where}")


def _balancer(subject: ClusterUnderTest, active: str) -> Verdict:
    """New connections from the client reach the active node (and no other: three of them, each with a hash of its own).

    Where a host lets nobody capture packets, the services themselves say which node they are on, as far as they can.
    """
    try:
        check = check_path(subject, Origin.CLIENT, subject.cluster.services[0], active)
    except HostUnreachable:
        raise
    except Unusable:
        client = subject.cluster.client.name
        return all_of([ask_identity(subject, client, service, active)[0] for service in subject.cluster.services])
    return check.verdict if not check.verdict else passed(f"the balancer sends clients to {active}")


def nothing_left(subject: ClusterUnderTest) -> Verdict:
    """Nothing that a disruption put on a host is still there, and no command that changes the cluster still runs there."""
    names = [name for name in subject.hosts if subject.runs_commands(name)]  # nothing of ours gets to a host that runs nothing for us
    found = dict(zip(names, subject.together(*(lambda n=n: remains(subject.hosts[n]) for n in names)), strict=True))
    left = [f"{host}: {what}" for host, those in found.items() for what in those]
    nodes = [node.name for node in subject.cluster.nodes if node.platform == "linux"]
    running = dict(zip(nodes, subject.together(*(lambda n=n: unfinished(subject.hosts[n]) for n in nodes)), strict=True))
    left += [f"{node}: `{command}` still runs" for node, those in running.items() for command in those]
    return failed(f"left behind: {'; '.join(left)}") if left else passed("nothing of ours is left on any host")


def _probe(subject: ClusterUnderTest, active: str | None) -> Verdict:
    cluster = subject.cluster
    client, port = cluster.client.name, cluster.load_balancer.probe.port

    def answers(node: Node) -> bool:
        return attempt(subject.residents[client], str(node.address), port, count=1)[0].answered

    tried = subject.together(*(lambda n=n: answers(n) for n in cluster.nodes))
    answering = [n.name for n, answered in zip(cluster.nodes, tried, strict=True) if answered]
    return (passed if answering == [active] else failed)(f"the probe port is answered by {' and '.join(answering) or 'nobody'}")
