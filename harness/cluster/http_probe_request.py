"""An HTTP probe's own question, asked of every node as the balancer asks it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.core.errors import HarnessError
from harness.expectations.http_probe_answer import in_words, turns_away, waits_s
from harness.remote.connections.tcp_tunnel import relay

CONNECT_TIMEOUT_S = 1.0
MIN_WAIT_S = 3.0
DOUBT_WAIT_S = 1.0  # a page answers at once; what is none may keep silent


def ask(subject: ClusterUnderTest, origins: Sequence[str]) -> dict[str, str]:
    """What each node answers, asked from the first of these hosts that is there, for a second longer than the balancer waits; nothing
    where the probe is no HTTP one."""
    probe = subject.cluster.load_balancer.probe
    origin = next((o for o in origins if o not in subject.absent), None)
    if probe.protocol != "http" or origin is None:
        return {}
    limit = max(MIN_WAIT_S, waits_s(probe) + 1)
    statuses = subject.together(*(lambda a=str(n.address): _ask_node(subject, origin, a, limit) for n in subject.cluster.nodes))
    return dict(zip((n.name for n in subject.cluster.nodes), statuses, strict=True))


def ask_in_doubt(subject: ClusterUnderTest, origins: Sequence[str], node: str) -> dict[str, str]:
    """What one node answers to GET /, where the cluster file says that the probe is none of HTTP and the load balancer sends nobody there:
    nothing where that is no status. A port that a service has as well is not asked."""
    cluster = subject.cluster
    origin = next((o for o in origins if o not in subject.absent), None)
    if (
        cluster.load_balancer.probe.protocol != "tcp"
        or origin is None
        or cluster.load_balancer.probe.port in {s.port for s in cluster.services}
    ):
        return {}
    status_text = _ask_node(subject, origin, str(cluster.node(node).address), DOUBT_WAIT_S)
    return {node: status_text} if turns_away(status_text) else {}


def _ask_node(subject: ClusterUnderTest, origin: str, address: str, limit: float) -> str:
    import http.client  # takes long to import, and few clusters need it

    probe = subject.cluster.load_balancer.probe
    try:
        with relay(subject.connection_workers[origin], address, probe.port, limit=CONNECT_TIMEOUT_S) as link:
            if link.port is None:
                return ""
            connection = http.client.HTTPConnection(link.host, link.port, timeout=limit)
            try:
                started_at = time.monotonic()
                connection.request("GET", probe.path, headers={"Host": f"{address}:{probe.port}", "Connection": "close"})
                response = connection.getresponse()
                return in_words(response.status, response.reason, time.monotonic() - started_at, probe)
            finally:
                connection.close()
    except TimeoutError:
        return f"with nothing within {limit:g} s"
    except (OSError, http.client.HTTPException) as error:
        return f"with no HTTP ({type(error).__name__})"
    except HarnessError:
        return ""
