"""Something answers the probe on the standby node as well: the balancer believes both nodes."""

from __future__ import annotations

from harness.core.deadline import Deadline
from harness.disrupt.bases.host_fault_base import OnHost
from harness.disrupt.disruption import NOTHING, Effect, both
from harness.expectations import outage_budget
from harness.hosts.deadman.deadman_switch import MARK, Script, quoted
from harness.remote.connections.attempt import attempt

LISTENER = r"""
import signal, socket, sys
address, port, seconds, reply = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4].encode()
signal.alarm(seconds)
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind((address, port))
listener.listen(512)
print("listening")
sys.stdout.flush()
while True:
    connection = listener.accept()[0]
    connection.settimeout(1.0)
    try:
        if reply:
            connection.recv(65536)
            connection.sendall(reply)
    except OSError:
        pass  # a probe that is gone again has still been answered
    connection.close()
"""
HTTP_OK = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"  # facts PRB-13
OURS = f'grep -lsz "^{MARK}={{id}}$" /proc/[0-9]*/environ'


class ResponderOnBoth(OnHost):
    """Connections are shared out by the hash, and half of them reach a node without the service or the VIP (facts N6, F6, TRP-06).
    The inside path never leaves the node that holds the VIP."""

    on_windows = "nothing is there that would listen in the responder's place without a program of its own"
    name = "responder up on both nodes"
    sentence = "a listener of ours answers the probe on the standby node too, and the balancer sends it every other connection"
    needs = NOTHING
    moves = False
    shares = True
    expects = both(Effect.OUT, Effect.UNTOUCHED, Effect.OUT)

    def target(self) -> str:
        return self._subject.standby_of(self._node)

    @property
    def lasts_s(self) -> float:
        probe = self._subject.cluster.load_balancer.probe
        return 2.0 + (probe.threshold + 1) * probe.interval_s

    def allowance(self) -> outage_budget.Allowance:
        return outage_budget.balancer_alone(self._subject.cluster)

    def skip_reason(self) -> str | None:
        kind = self._subject.cluster.load_balancer.distribution
        return None if kind == "Default" else f"the balancer's distribution is {kind}: a client's connections are not shared out (FLOW-04)"

    def script(self, id: str) -> Script:
        cluster = self._subject.cluster
        probe, node = cluster.load_balancer.probe, cluster.node(self.target())
        reply = HTTP_OK if probe.protocol == "http" else ""
        words = [node.ssh.python, "-c", LISTENER, str(node.address), str(probe.port), str(int(self.longest_s)), reply]
        wait = 'for n in $(seq 50); do grep -q listening "$d/listener" && exit 0; sleep 0.1; done; tail -n 1 "$d/listener" >&2; exit 1'
        ours = OURS.format(id=id)
        return Script(
            f'{MARK}={id} setsid {quoted(*words)} </dev/null >"$d/listener" 2>&1 &\n{wait}',
            f"for e in $({ours}); do p=${{e%/environ}}; kill -KILL ${{p#/proc/}}; done; exit 0",
            f'for n in 1 2 3 4 5; do [ -z "$({ours})" ] && exit 0; sleep 0.1; done; echo "the listener does not end"; exit 1',
        )

    def took_effect(self, deadline: Deadline) -> None:
        subject, client = self._subject, self._subject.cluster.client.name
        where = str(subject.cluster.node(self.target()).address), subject.cluster.load_balancer.probe.port

        def answers() -> bool:
            return attempt(subject.connection_workers[client], *where, count=1)[0].answered

        deadline.wait_for(answers, what=f"the probe port of {self.target()} answering")
