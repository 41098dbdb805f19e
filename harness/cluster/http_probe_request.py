"""An HTTP probe's own question, asked of every node as the balancer asks it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.core.errors import HarnessError
from harness.expectations.http_probe_answer import in_words, waits_s
from harness.remote.connections.tcp_tunnel import relay

CONNECT_TIMEOUT_S = 1.0
MIN_WAIT_S = 3.0


def ask(subject: ClusterUnderTest, origins: Sequence[str]) -> dict[str, str]:
    """What each node answers, asked from the first of these hosts that is there, for a second longer than the balancer waits; nothing
    where the probe is no HTTP one."""
    probe = subject.cluster.load_balancer.probe
    origin = next((o for o in origins if o not in subject.absent), None)
    if probe.protocol != "http" or origin is None:
        return {}
    import http.client  # takes long to import, and few clusters need it

    limit = max(MIN_WAIT_S, waits_s(probe) + 1)

    def ask_node(address: str) -> str:
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

    statuses = subject.together(*(lambda a=str(n.address): ask_node(a) for n in subject.cluster.nodes))
    return dict(zip((n.name for n in subject.cluster.nodes), statuses, strict=True))
