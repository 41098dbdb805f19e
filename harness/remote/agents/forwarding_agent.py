"""The measuring agent for hosts that run nothing for us: it runs here, and the host's sshd makes the connections (direct-tcpip).

Open loop as every agent: each tick asks for a connection of its own. An attempt began when half of SSH's round trip had passed after it
was asked for; so the host's clock is the harness's, known to that half.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, HarnessError
from harness.hosts.ssh.forwarding import ChannelOpening, Forwarding
from harness.remote.agents.agent_launch import AgentPlan, AgentSeries
from harness.remote.agents.agent_session import LOST_TIMEOUT_S, PING_EVERY_S, RETRY_INTERVAL_S, START_TIMEOUT_S, Sink
from harness.remote.agents.direct_tcpip_attempt import speak
from harness.remote.host_capabilities import forwarding_of
from harness.remote.recording.recording import Clock, NodeEvent, Noise, Sample

REPORT_INTERVAL_S = 1.0
PINGS = 5


class ForwardingAgent:
    """Implements what the meter asks of an agent. Events of its own: host-lost, host-back."""

    def __init__(self, host, plan: AgentPlan, sink: Sink) -> None:
        self.name = host.name
        self._host, self._plan, self._sink = host, plan, sink
        self._over = threading.Event()
        self._forwarding: Forwarding | None = None
        self._half_trip_s = 0.0  # of a round trip
        self._threads: list[threading.Thread] = []
        self._is_lost = False
        self._heard_at = time.monotonic()
        self._look_now = False

    def start(self, limit: float = START_TIMEOUT_S) -> None:
        """Begin; on return it measures. Raises HostUnreachable, or Unusable when sshd forwards nothing."""
        deadline = Deadline(limit)
        self._forwarding = forwarding_of(self._host, checked=True)
        try:
            self._look_at_the_clock(self._forwarding, deadline)
        except BaseException:
            self.stop()
            raise
        for work in (self._tick, self._watch):
            thread = threading.Thread(target=work, name=f"forwarding-{self.name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self, limit: float = 15.0) -> list[str]:
        """End it; nothing of it was ever on the host."""
        self._over.set()
        deadline = Deadline(limit)
        for thread in self._threads:
            thread.join(max(1.0, deadline.remaining()))
        if self._forwarding is not None:
            self._forwarding.close()
        return []

    @property
    def remaining_s(self) -> float:
        """It has no lifetime of its own: it runs here."""
        return math.inf if self.running else 0.0

    def renew(self) -> None:
        """It keeps no connection."""

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return bool(self._threads) and not self._over.is_set()

    # --- attempts

    def _tick(self) -> None:
        """Every period, until the end: an attempt of each series. Ticks that were missed are not made up for."""
        all_series = self._plan.series
        period = max(series.period_s for series in all_series)
        due = reported_at = time.monotonic()
        ticks, late, worst_s = 0, 0, 0.0
        while not self._over.wait(max(0.0, due - time.monotonic())):
            now = time.monotonic()
            late_s = now - due
            missed = int(late_s / period)
            ticks, late, worst_s = ticks + 1 + missed, late + missed + (late_s % period > period / 2), max(worst_s, late_s)
            self._try_all(all_series)
            due += period * (1 + missed)
            if now - reported_at >= REPORT_INTERVAL_S:
                self._sink.noise(Noise(now, self.name, ticks, late, worst_s, -1.0, -1.0))
                reported_at, ticks, late, worst_s = now, 0, 0, 0.0

    def _try_all(self, all_series: Sequence[AgentSeries]) -> None:
        forwarding = self._forwarding
        if forwarding is None or self._is_lost:
            return  # as when an agent's host is lost: nothing is measured, and that is told
        for series in all_series:
            try:
                opening = forwarding.begin(series.destination, series.port)
            except HarnessError:
                return  # the thread that watches tells
            threading.Thread(target=self._follow, args=(series, forwarding, opening), daemon=True).start()

    def _follow(self, series: AgentSeries, forwarding: Forwarding, opening: ChannelOpening) -> None:
        began, half_trip_s = opening.asked_at + self._half_trip_s, self._half_trip_s
        trips = 2 if series.say else 1  # to have the connection, and to have what is said on it answered
        deadline = Deadline(series.limit_s + 2 * trips * half_trip_s, anchor=opening.asked_at)
        result = speak(forwarding, opening, series.say, series.expect, deadline, again=series.again)
        if result.outcome == "silent" and not self._sshd_answers(forwarding, series.limit_s):
            return
        if forwarding.usable and not self._is_lost:  # else it ended with the way to the host, and says nothing of the path
            seconds = max(0.0, result.ended - opening.asked_at - 2 * trips * half_trip_s)
            self._sink.samples(series.id, [Sample(began, seconds, result.outcome, 0, result.detail)])

    def _sshd_answers(self, forwarding: Forwarding, limit: float) -> bool:
        """Was it the path that was silent, and not sshd or the way to it?"""
        return forwarding.round_trip(limit) is not None

    # --- the way to the host

    def _watch(self) -> None:
        """Ask sshd for an answer now and then, and take another connection where this one is lost or worn."""
        while not self._over.wait(0.25):
            forwarding = self._forwarding
            if forwarding is None or not forwarding.usable:
                self._renew("its SSH connection was lost")
            elif forwarding.worn:
                self._renew("")
            elif self._look_now or time.monotonic() - self._heard_at > PING_EVERY_S:
                try:
                    self._look_at_the_clock(forwarding, Deadline(LOST_TIMEOUT_S))
                except DeadlineExceeded:
                    self._renew(f"nothing was heard of it for {LOST_TIMEOUT_S:g} s")

    def _look_at_the_clock(self, forwarding: Forwarding, deadline: Deadline) -> None:
        trips = [forwarding.round_trip(max(0.01, deadline.remaining())) for _ in range(PINGS)]
        answered_trips = [trip for trip in trips if trip is not None]
        if not answered_trips:
            raise DeadlineExceeded(f"{self.name}: its sshd did not answer within {deadline.seconds:g} s")
        now = time.monotonic()
        self._heard_at, self._half_trip_s, self._look_now = now, min(answered_trips) / 2, False
        self._tell(is_lost=False, reason="it answers again")
        self._sink.clock(Clock(self.name, now, 0.0, max(answered_trips) / 2, now - time.time()))

    def _renew(self, why: str) -> None:
        if why:
            self._tell(is_lost=True, reason=why)
        try:
            fresh = forwarding_of(self._host)
        except HarnessError as error:
            self._tell(is_lost=True, reason=str(error))
            self._over.wait(RETRY_INTERVAL_S)
            return
        old, self._forwarding = self._forwarding, fresh
        self._look_now = True
        if old is not None:
            threading.Thread(target=self._end, args=(old,), daemon=True).start()
        self._tell(is_lost=False, reason="it answers again")

    def _end(self, old: Forwarding) -> None:
        """When the attempts that were made through it have ended."""
        self._over.wait(max(series.limit_s for series in self._plan.series) + 1.0)
        old.close()

    def _tell(self, *, is_lost: bool, reason: str) -> None:
        if is_lost != self._is_lost:
            self._is_lost = is_lost
            self._sink.event(
                NodeEvent(self._heard_at if is_lost else time.monotonic(), self.name, "host-lost" if is_lost else "host-back", reason)
            )
