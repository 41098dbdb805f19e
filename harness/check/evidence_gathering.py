"""The evidence of one look, beside the survey of hosts: attempts past the balancer, and probes."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence

from harness.check import captured_evidence
from harness.cluster.cluster_under_test import CaptureWindow, ClusterUnderTest
from harness.cluster.path_check import PathCheck
from harness.config.cluster_config import Cluster
from harness.config.load_balancer_config import Probe
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, HarnessError
from harness.diagnosis.evidence import Direct, ProbesSeen
from harness.remote.connections.attempt import attempt
from harness.remote.connections.attempt_outcome import AttemptOutcome

DIRECT_ATTEMPT_TIMEOUT_S = 1.0
REFUSED_TRIES = 8  # within that time
MAX_PROBE_LATENESS_S = 0.3  # by how much a probe may be late
MAX_WATCH_S = 20.0
MIN_DUE = 3  # probes that would have come by the cluster file: of fewer it is chance how many are seen


def refused_ports(checks: Sequence[PathCheck]) -> frozenset[int]:
    """The ports of the services of which every connection by every path was refused, so that nobody listened in all that time."""
    ports = {check.service.port for check in checks}
    return frozenset(
        port
        for port in ports
        if (tried := [a for c in checks if c.service.port == port for a in c.attempts])
        and all(a.outcome is AttemptOutcome.REFUSED for a in tried)
    )


def direct(
    subject: ClusterUnderTest, active: str, *, only_standby: bool, aside: Container[str] = (), refused: Container[int] = ()
) -> list[Direct]:
    """From the client and from each other node to the nodes' own addresses: the probe's port and every service's. `only_standby`: to the
    standby's services, from the client and from the active node, which would be their client after a failover. Nobody tries those until
    then: the standby's kernel refuses, unless something before it is silent. The services `aside`, by their names, are not connected to.
    The active node's ports that are `refused` are tried for a second, for a program that ends and is started again and again."""
    cluster = subject.cluster
    ports = [cluster.load_balancer.probe.port, *(s.port for s in cluster.services if s.name not in aside)]
    origins = [m.name for m in cluster.machines if m.name not in subject.absent]
    wanted = [(o, n, p) for o in origins for n in cluster.nodes for p in ports if n.name != o]
    if only_standby:
        probe = cluster.load_balancer.probe.port
        wanted = [(o, n, p) for o, n, p in wanted if n.name != active and p != probe]

    def try_once(origin: str, node: str, address: str, port: int) -> Direct | None:
        try:
            again = node == active and origin == cluster.client.name and port in refused
            more = {"count": REFUSED_TRIES, "spacing": DIRECT_ATTEMPT_TIMEOUT_S / REFUSED_TRIES} if again else {"count": 1}
            attempts = attempt(subject.connection_workers[origin], address, port, limit=DIRECT_ATTEMPT_TIMEOUT_S, **more)
            tried = next((one for one in attempts if one.answered), attempts[0])
        except HarnessError:
            return None  # the paths that begin there say it
        return Direct(origin, node, port, str(tried.outcome), tried.detail, tried.local_port)

    results = subject.together(*(lambda o=o, n=n, p=p: try_once(o, n.name, str(n.address), p) for o, n, p in wanted))
    return [result for result in results if result is not None]


def probes(sight: CaptureWindow, cluster: Cluster, watched: Sequence[str], since: Deadline, *, sent: bool = False) -> dict[str, ProbesSeen]:
    """Wait until every watched node has seen a probe, or as long as one more would have had to come.

    `sent`: the load balancer was seen sending clients on, so somebody is probed. Where probes are fewer then than the cluster file's
    interval would have it, it is waited on, until two show how often they come: that a node is not probed is known only then."""
    nodes = [n for n in cluster.nodes if n.name in watched]
    probe = cluster.load_balancer.probe
    limit = min(MAX_WATCH_S, 1.2 * probe.interval_s + MAX_PROBE_LATENESS_S)

    def probes_so_far() -> dict[str, ProbesSeen]:
        packets = sight.packets()
        return {n.name: captured_evidence.probes(n, packets.get(n.name, ()), cluster, since.elapsed()) for n in nodes}

    def wait(until: Callable[[dict[str, ProbesSeen]], bool], limit: float) -> dict[str, ProbesSeen]:
        waiting = Deadline(max(0.0, limit - since.elapsed()))
        try:
            return waiting.wait_for(probes_so_far, until=until, what="a probe", every=0.05)
        except DeadlineExceeded:
            return probes_so_far()

    seen = wait(lambda s: all(p.syns.get(probe.port) for p in s.values()), limit)
    if sent and not _tells_interval(seen, probe):
        seen = wait(lambda s: _tells_interval(s, probe), MAX_WATCH_S)
    return seen


def _tells_interval(seen: Mapping[str, ProbesSeen], probe: Probe) -> bool:
    """Is it known how often probes come, or are there as many as there would be? One that asks another port is told as that."""
    if any(p.every_s is not None for p in seen.values()) or any(p.syns and not p.syns.get(probe.port) for p in seen.values()):
        return True
    few = any(
        p.seconds / probe.interval_s >= MIN_DUE and p.syns.get(probe.port, 0) < p.seconds / probe.interval_s / 3 for p in seen.values()
    )
    return not few and all(p.syns.get(probe.port) for p in seen.values())


def paths(checks: Sequence[PathCheck], packets: Mapping[str, list], cluster: Cluster) -> list:
    """The paths' checks as evidence."""
    return [captured_evidence.path(c, packets, cluster) for c in checks]
