"""A connection is left idle for longer than the balancer bears, and then used."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.core.deadline import Deadline
from harness.core.errors import Inconclusive
from harness.disrupt.bases import client_tcp_timeout
from harness.disrupt.disruption import NOTHING, Disruption, Effect, Step, both
from harness.expectations.outage_budget import Allowance
from harness.hosts.bounded_parse import json_of
from harness.services import service_registry

if TYPE_CHECKING:
    from harness.cluster.cluster_under_test import ClusterUnderTest
    from harness.hosts.host import Process

MAX_IDLE_S = 30.0  # nobody waits for longer; a service of its own might also close what says nothing
IDLE_MARGIN_S = 3.0  # beyond the timeout: balancers count in whole seconds, and look now and then
ANSWER_TIMEOUT_S = 2.0  # for an answer to what is sent after it

# One connection says nothing; the other one's keepalives are the control: it must live (facts IDLE-06). Then both send a line.
# TCP's own count of what nobody acknowledged tells silence from a service that has nothing to say.
HOLDER = r"""
import json, select, signal, socket, struct, sys, time
to, port, idle, patience = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
signal.alarm(int(idle + 2 * patience) + 10)
def opened(keep):
    s = socket.create_connection((to, port), 5)
    if keep:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
            s.setsockopt(socket.IPPROTO_TCP, option, 1)
    return s
def hear(s, seconds):
    end = time.monotonic() + seconds
    while True:
        ready = select.select([s, sys.stdin], [], [], max(0.0, end - time.monotonic()))[0]
        if sys.stdin in ready:
            sys.exit(0)
        if not ready:
            return "silent"
        try:
            if not s.recv(65536):
                return "closed"
        except OSError:
            return "reset"
def use(s):
    try:
        s.sendall(b"\r\n")
    except OSError:
        return "reset"
    said = hear(s, patience)
    unacknowledged = struct.unpack_from("I", s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 24)[0]
    return "lives" if said == "silent" and not unacknowledged else said
held, control = opened(False), opened(True)
print("connected", flush=True)
began = time.monotonic()
fate = hear(held, idle)
after = time.monotonic() - began
hear(control, 0.0)
answer = {"held": use(held) if fate == "silent" else fate, "after": after}
answer["control"] = use(control)
print(json.dumps(answer), flush=True)
"""


def bears_silence_s(kind: str) -> float:
    """For how long a service of that kind bears a client that says nothing, in seconds."""
    return service_registry.kind(kind).bears_silence_s


class IdleTimeout(Disruption):
    """The balancer forgets the flow: in silence, or with a reset to both ends where that is enabled (facts IDLE-02, IDLE-03). It is the
    held connection's affair alone; new ones are untouched. The host ends the holder by itself."""

    name = "idle beyond the balancer's timeout"
    sentence = "a connection from the client is held idle for longer than the balancer's idle timeout, and then used"
    on_windows = "the connection is held by a Python program, which no Windows client is asked for"
    needs = NOTHING
    moves = False
    expects = both(Effect.UNTOUCHED, Effect.UNTOUCHED, Effect.UNTOUCHED)

    def __init__(self, subject: ClusterUnderTest) -> None:
        super().__init__(subject)
        self._service = max(subject.cluster.services, key=lambda s: bears_silence_s(s.kind))
        self._holder: Process | None = None
        self.finding = ""  # what became of the held connection, in a sentence

    @property
    def _idle_s(self) -> float:
        return self._subject.cluster.load_balancer.idle_timeout_s + IDLE_MARGIN_S

    @property
    def longest_s(self) -> float:
        return math.ceil(self._idle_s + 2 * ANSWER_TIMEOUT_S) + 10.0

    def allowance(self) -> Allowance:
        seconds = self._idle_s + 2 * ANSWER_TIMEOUT_S
        return Allowance(seconds, f"idle timeout and margin {self._idle_s:g} + used 2 × {ANSWER_TIMEOUT_S:g} s")

    @property
    def undoing(self) -> str:
        return "by itself: the two connections are closed"

    def steps(self) -> list[Step]:
        words = [str(self._subject.cluster.vip), str(self._service.port), str(self._idle_s), str(ANSWER_TIMEOUT_S)]
        line = f"{self._subject.cluster.client.ssh.python} -u -c HOLDER {' '.join(words)}  # holds two connections to the service"
        return [Step(self.target(), "do", line)]

    def skip_reason(self) -> str | None:
        idle = self._subject.cluster.load_balancer.idle_timeout_s
        if idle <= MAX_IDLE_S:
            return None
        bearable_s, note = bears_silence_s(self._service.kind), ""
        if self._idle_s + ANSWER_TIMEOUT_S >= bearable_s:
            note = f" ({self._service.name} ends a silent connection itself after {bearable_s:g} s; a session that logged in would last)"
        return f"the balancer's idle timeout is {idle:g} s; lower it, and load_balancer.idle_timeout_s, to at most {MAX_IDLE_S:g} s{note}"

    def target(self) -> str:
        return self._subject.cluster.client.name

    def begin(self, deadline: Deadline) -> None:
        cluster = self._subject.cluster
        if not self._subject.capabilities(self.target()).full:
            raise Inconclusive(f"{self.target()}: no connection can be held there without a Python; set ssh.python to one")
        words = [str(cluster.vip), str(self._service.port), str(self._idle_s), str(ANSWER_TIMEOUT_S)]
        self._holder = self._subject.hosts[self.target()].start([cluster.client.ssh.python, "-u", "-c", HOLDER, *words])
        self._lines = self._holder.lines()
        if next(self._lines, "") != "connected":
            raise Inconclusive(f"{self.target()}: no connection to {cluster.vip}:{self._service.port} could be held")

    def took_effect(self, deadline: Deadline) -> None:
        """The held connection has met the fate that the balancer's settings give it, and the one with keepalives lives.

        Raises Inconclusive otherwise.
        """
        try:
            report = json_of(next(self._lines, ""))
        except ValueError:
            raise Inconclusive(f"{self.target()}: the held connection's fate was not told; was its host lost?") from None
        expected = "reset" if self._subject.cluster.load_balancer.tcp_reset else "silent"
        fate = f"the connection held idle was found {report['held']} after {report['after']:.1f} s"
        self.finding = f"{fate}; the one with keepalives {report['control']}"
        self._subject.timeline.note(self.target(), "idle", self.finding, **report)
        if report["held"] != expected or report["control"] != "lives":
            raise Inconclusive(f"{self.finding}; expected: {expected}, and the other one lives")

    def observations(self) -> list[str]:
        return [self.finding, client_tcp_timeout.describe(self._subject)] if self.finding else []

    def undo(self, deadline: Deadline) -> None:
        if self._holder is not None:
            self._holder.close()
            self._holder = None
