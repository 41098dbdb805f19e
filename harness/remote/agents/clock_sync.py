"""A host's monotonic clock against the harness's own, by pings over the connection that carries the samples."""

from __future__ import annotations

import time
from dataclasses import dataclass

from harness.remote.recording.recording import Clock

MAX_CLOCK_DRIFT = 1e-4  # how far two clocks may part, in seconds per second; NTP slews by half a thousandth at the very most, seldom that


MAX_WALL_CLOCK_DRIFT = 5e-4  # a wall clock that NTP slews


@dataclass(frozen=True)
class Step:
    """A clock that jumped, or stood still (a paused guest), at some moment between the two, in seconds by each of its two clocks."""

    since: float
    until: float
    mono_s: float
    wall_s: float

    def __str__(self) -> str:
        between = f"within the {self.until - self.since:.2f} s before"
        return f"its clocks jumped {between}: the monotonic one by {-self.mono_s:+.3f} s, the wall clock by {-self.wall_s:+.3f} s"


@dataclass(frozen=True)
class _Echo:
    rtt: float
    at: float
    host_mono: float
    host_wall: float


class HostClock:
    """Offsets by the smallest round trip of a burst: the error is half of it, whatever the way there and back took each."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.best: Clock | None = None
        self._sent: dict[int, float] = {}
        self._number = 0
        self._pings_left = 0
        self._echoes: list[_Echo] = []
        self._agreed_at = 0.0  # when a burst last agreed with the best one
        self._step: Step | None = None

    def step(self) -> Step | None:
        """The jump that the last burst showed, told once."""
        step, self._step = self._step, None
        return step

    def begin(self, pings: int) -> bytes:
        """Begin a burst (an unfinished one is forgotten); what to send first."""
        self._pings_left, self._echoes = pings, []
        self._sent.clear()
        return self._next_ping()

    def take_echo(self, number: int, host_mono: float, host_wall: float, *, now: float) -> tuple[bytes, Clock | None]:
        """An echo came at `now`. What to send next, if anything, and the clock when a burst is over and made a better one."""
        sent_at = self._sent.pop(number, None)
        if sent_at is None:
            return b"", None
        self._echoes.append(_Echo(now - sent_at, (now + sent_at) / 2, host_mono, host_wall))
        if self._pings_left > 0:
            return self._next_ping(), None
        return b"", self._judge()

    def time(self, host_mono: float) -> float:
        """A moment of the host's monotonic clock on the harness's, in seconds."""
        assert self.best is not None
        return host_mono + self.best.offset_s

    def _next_ping(self) -> bytes:
        self._pings_left -= 1
        self._number += 1
        self._sent[self._number] = time.monotonic()
        return b"ping %d\n" % self._number

    def _judge(self) -> Clock | None:
        echo = min(self._echoes, key=lambda e: e.rtt)
        clock = Clock(self.host, echo.at, echo.at - echo.host_mono, echo.rtt / 2, echo.at - echo.host_wall)
        if self.best is not None and (step := self._find_jump(self.best, clock)):
            # two bursts that disagree by more than both errors cannot both be right of one clock: the newer one tells how it is now
            self.best, self._step = clock, step
            self._agreed_at = clock.at
            return clock
        self._agreed_at = clock.at
        if self.best is None or clock.error_s <= self.best.error_s + MAX_CLOCK_DRIFT * (clock.at - self.best.at):
            self.best = clock
            return clock
        return None

    def _find_jump(self, best: Clock, clock: Clock) -> Step | None:
        passed_s, errors = clock.at - best.at, clock.error_s + best.error_s
        mono, wall = clock.offset_s - best.offset_s, clock.wall_s - best.wall_s
        if abs(mono) <= errors + MAX_CLOCK_DRIFT * passed_s and abs(wall) <= errors + MAX_WALL_CLOCK_DRIFT * passed_s:
            return None
        return Step(self._agreed_at, clock.at, mono, wall)
