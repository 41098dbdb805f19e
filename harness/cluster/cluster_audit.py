"""What must hold after every test: otherwise the tests after it would be judged on a cluster that is not what they think."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from harness.cluster import http_probe_request
from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.cluster.path_check import PathCheck, ask_identity, check_path
from harness.config.cluster_config import Cluster, Node
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, HarnessError, Unusable
from harness.core.verdict import Verdict, all_of, failed, passed
from harness.expectations.connectivity_matrix import Origin
from harness.expectations.http_probe_answer import turns_away
from harness.hosts.deadman.deadman_switch import remains
from harness.hosts.detached_jobs import unfinished_commands
from harness.hosts.host import HostUnreachable
from harness.hosts.linux.linux_parse import InterfaceAddress
from harness.hosts.windows import scheduled_undo, windows_jobs
from harness.remote.connections.attempt import Attempt, attempt

# How long nothing is heard until nobody answers a probe; where the active node has answered it, so many times longer than that took.
LONGEST_SILENCE_S, SHORTEST_SILENCE_S, SLOWER_THAN_ACTIVE = 1.0, 0.25, 50
SILENT_ATTEMPTS = (
    3  # who must not answer is asked so often at once: one packet that was lost is no silence, and is sent again only after 1 s
)

T = TypeVar("T")


def audit(subject: ClusterUnderTest, *, patience_s: float | None = None, undone: bool = True) -> Verdict:
    """One active node and a healthy cluster, the VIP in one place, one probe answering, the balancer agrees, and, where a disruption
    may have been `undone`, nothing of ours left: what only reads puts nothing anywhere.

    Waits for the cluster to be healthy as long as a node may take to boot, or `patience_s` seconds.
    """
    cluster = subject.cluster
    patience = cluster.manager.boot_s + cluster.manager.takeover_s if patience_s is None else patience_s
    # What does not depend on who is active is asked beside the state. Where that was not whole at once, or the answer is no pass, it is
    # asked again when the cluster is healthy, and only that counts.
    state, early_addresses, early_left = subject.together(
        subject.state,
        lambda: _try_read(lambda: _read_addresses(subject)),
        lambda: _try_read(lambda: nothing_left(subject)) if undone else None,
    )
    if not state.healthy:
        early_addresses = early_left = None
        try:
            state = subject.wait_until_healthy(Deadline(patience))
        except DeadlineExceeded as error:
            return failed(str(error) if patience else f"the cluster is not healthy: {subject.state()}")
    active = state.active
    assert active is not None  # a healthy cluster has one
    verdicts = subject.together(
        lambda: (early_addresses and judge_vip_place(cluster, active, early_addresses)) or vip_in_place(subject, active),
        lambda: probe_answered(subject, active),
        lambda: _check_balancer(subject, active),
        *([lambda: early_left or nothing_left(subject)] if undone else []),
    )
    return all_of([passed(f"{active} is active"), *verdicts])


def _try_read(read: Callable[[], T]) -> T | None:
    """None where it cannot be read yet: it is read again, and then the error counts."""
    try:
        return read()
    except HarnessError:
        return None


def vip_in_place(subject: ClusterUnderTest, active: str) -> Verdict:
    """The VIP is on the active node's Subnet#2 NIC, with the prefix of the cluster file, and nowhere else (facts DSN-06, FAB-14)."""
    return judge_vip_place(subject.cluster, active, _read_addresses(subject))


def _read_addresses(subject: ClusterUnderTest) -> dict[str, list[InterfaceAddress]]:
    nodes = [n.name for n in subject.cluster.nodes]
    addresses = subject.together(*(subject.facts[n].addresses for n in nodes))
    return dict(zip(nodes, addresses, strict=True))


def judge_vip_place(cluster: Cluster, active: str, addresses: Mapping[str, Sequence[InterfaceAddress]]) -> Verdict:
    """The same, of addresses that every node has told. Pure."""
    vip, second = str(cluster.vip), str(cluster.node(active).second_address)
    interfaces_by_node = {
        n: [f"{a.interface}/{a.prefix}" for a in interface_addresses if a.address == vip] for n, interface_addresses in addresses.items()
    }
    holders = {n: interfaces for n, interfaces in interfaces_by_node.items() if interfaces}
    nics = [a.interface for a in addresses[active] if a.address == second]
    interfaces = "; ".join(f"{n}: {', '.join(p)}" for n, p in holders.items()) or "nowhere"
    in_place = holders == {active: [f"{nic}/{cluster.ip_resource.prefix}" for nic in nics]}
    return (passed if in_place else failed)(f"{cluster.vip} is on {interfaces}")


def _check_balancer(subject: ClusterUnderTest, active: str) -> Verdict:
    """New connections from the client reach the active node (and no other: three of them, each with a hash of its own).

    Where a host lets nobody capture packets, the services themselves say which node they are on, as far as they can.
    """
    try:
        check = check_path(subject, Origin.CLIENT, subject.cluster.services[0], active)
    except HostUnreachable:
        raise
    except Unusable:
        return by_identity(subject, active)
    return judge_balancer(check)


def judge_balancer(check: PathCheck) -> Verdict:
    """The same, by what a check of the client's path to the first service found."""
    return check.verdict if not check.verdict else passed(f"the balancer sends clients to {check.active}")


def by_identity(subject: ClusterUnderTest, active: str) -> Verdict:
    """The same, by what every service says of itself."""
    client = subject.cluster.client.name
    return all_of([ask_identity(subject, client, service, active).verdict for service in subject.cluster.services])


def nothing_left(subject: ClusterUnderTest) -> Verdict:
    """Nothing that a disruption put on a host is still there, and no command that changes the cluster still runs there."""
    names = [name for name in subject.hosts if subject.runs_commands(name)]  # nothing of ours gets to a host that runs nothing for us
    return _judge_leftovers(subject, [*_remains(subject, names), *_unfinished(subject)])


def nothing_of_ours(subject: ClusterUnderTest, hosts: Sequence[str]) -> Verdict:
    """Nothing that a disruption put on one of these hosts is still there. Raises what the hosts raise."""
    return _judge_leftovers(subject, _remains(subject, hosts))


def no_command_runs(subject: ClusterUnderTest) -> Verdict:
    """No command of ours that changes the cluster still runs on a node. Raises what the nodes raise."""
    return _judge_leftovers(subject, _unfinished(subject))


def _judge_leftovers(subject: ClusterUnderTest, looks: Sequence[Callable[[], list[str]]]) -> Verdict:
    leftovers = [leftover for host_leftovers in subject.together(*looks) for leftover in host_leftovers]
    return failed(f"left behind: {'; '.join(leftovers)}") if leftovers else passed("nothing of ours is left on any host")


def _remains(subject: ClusterUnderTest, names: Sequence[str]) -> list[Callable[[], list[str]]]:
    """For each host a look that tells what of ours is left there."""
    return [partial(_remains_on, subject, name) for name in names]


def _remains_on(subject: ClusterUnderTest, name: str) -> list[str]:
    is_windows = any(m.name == name and m.platform == "windows" for m in subject.cluster.machines)
    return [f"{name}: {leftover}" for leftover in (scheduled_undo.remains if is_windows else remains)(subject.hosts[name])]


def _unfinished(subject: ClusterUnderTest) -> list[Callable[[], list[str]]]:
    """For each node a look that tells which commands that change the cluster still run there."""
    return [partial(_unfinished_on, subject, node) for node in subject.cluster.nodes]


def _unfinished_on(subject: ClusterUnderTest, node: Node) -> list[str]:
    read = windows_jobs.unfinished_commands if node.platform == "windows" else unfinished_commands
    return [f"{node.name}: `{command}` still runs" for command in read(subject.hosts[node.name])]


def probe_answered(subject: ClusterUnderTest, active: str | None) -> Verdict:
    """Whether the active node alone answers on the probe's port; another status than 200 is no answer to an HTTP probe.

    The active node's firewall may let in the balancer's probe and nobody else: then it is asked on the node itself. Whether the balancer
    gets its answers, is seen by whom it sends clients to. It is asked first, because the time of its answer tells how long the silence of
    the others is worth waiting for.
    """
    cluster = subject.cluster
    client, port = cluster.client.name, cluster.load_balancer.probe.port

    def ask(origin: str, node: Node, limit: float) -> Attempt:
        return attempt(subject.connection_workers[origin], str(node.address), port, count=1, limit=limit)[0]

    def answers_once(node: Node) -> bool:
        attempts = attempt(subject.connection_workers[client], str(node.address), port, count=SILENT_ATTEMPTS, limit=limit)
        return any(made.answered for made in attempts)

    answering, limit = [], LONGEST_SILENCE_S
    for node in (n for n in cluster.nodes if n.name == active):
        asked = ask(client, node, limit)
        if asked.answered:
            limit = min(limit, max(SHORTEST_SILENCE_S, SLOWER_THAN_ACTIVE * asked.seconds))
        if asked.answered or ask(node.name, node, limit).answered:
            answering.append(node.name)
    others = [n for n in cluster.nodes if n.name != active]
    were_answered = subject.together(*(lambda n=n: answers_once(n) for n in others))
    answering += [n.name for n, answered in zip(others, were_answered, strict=True) if answered]
    answering = [n.name for n in cluster.nodes if n.name in answering]
    if set(answering) - {active}:  # a page may run on every node, and answer by the role
        status_by_node = http_probe_request.ask(subject, (client,))
        answering = [name for name in answering if name == active or not turns_away(status_by_node.get(name, ""))]
    return (passed if answering == [active] else failed)(f"the probe port is answered by {' and '.join(answering) or 'nobody'}")
