"""What must hold after every test: otherwise the tests after it would be judged on a cluster that is not what they think."""

from __future__ import annotations

from harness.deadline import Deadline
from harness.errors import DeadlineExceeded
from harness.measure.attempt import attempt
from harness.subject import Subject
from harness.verdict import Verdict, all_of, failed, passed


def audit(subject: Subject) -> Verdict:
    """One active node and a whole cluster, the VIP in one place, one probe answering. Waits as long as a node may take to boot."""
    cluster = subject.cluster
    try:
        state = subject.wait_until_whole(Deadline(cluster.manager.boot_s + cluster.manager.takeover_s))
    except DeadlineExceeded as error:
        return failed(str(error))
    active = state.active
    holders = subject.holders_of_vip()
    where = "; ".join(f"{n}: {', '.join(p)}" for n, p in holders.items()) or "nowhere"
    vip = (passed if list(holders) == [active] else failed)(f"{cluster.vip} is on {where}")
    client, port = cluster.client.name, cluster.load_balancer.probe.port
    tries = [attempt(subject.hosts[client], subject.python(client), str(n.address), port, count=1)[0] for n in cluster.nodes]
    answering = [n.name for n, a in zip(cluster.nodes, tries, strict=True) if a.answered]
    probe = (passed if answering == [active] else failed)(f"the probe port is answered by {' and '.join(answering) or 'nobody'}")
    return all_of([passed(f"{active} is active"), vip, probe])
