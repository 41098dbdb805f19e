"""A host's monotonic clock against the harness's own, by pings over the connection that carries the samples."""

from __future__ import annotations

import time
from dataclasses import dataclass

from harness.measure.recording import Clock

DRIFT = 1e-4  # how far two clocks may part, in seconds per second; NTP slews by half a thousandth at the very most, seldom that


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
        self._left = 0
        self._echoes: list[_Echo] = []

    def begin(self, pings: int) -> bytes:
        """Begin a burst (an unfinished one is forgotten); what to send first."""
        self._left, self._echoes = pings, []
        self._sent.clear()
        return self._next()

    def answered(self, number: int, host_mono: float, host_wall: float, *, now: float) -> tuple[bytes, Clock | None]:
        """An echo came at `now`. What to send next, if anything, and the clock when a burst is over and made a better one."""
        sent = self._sent.pop(number, None)
        if sent is None:
            return b"", None
        self._echoes.append(_Echo(now - sent, (now + sent) / 2, host_mono, host_wall))
        if self._left > 0:
            return self._next(), None
        return b"", self._judge()

    def time(self, host_mono: float) -> float:
        assert self.best is not None
        return host_mono + self.best.offset_s

    def _next(self) -> bytes:
        self._left -= 1
        self._number += 1
        self._sent[self._number] = time.monotonic()
        return b"ping %d\n" % self._number

    def _judge(self) -> Clock | None:
        echo = min(self._echoes, key=lambda e: e.rtt)
        clock = Clock(self.host, echo.at, echo.at - echo.host_mono, echo.rtt / 2, echo.at - echo.host_wall)
        if self.best is None or clock.error_s <= self.best.error_s + DRIFT * (clock.at - self.best.at):
            self.best = clock
            return clock
        return None
