"""The one deadline primitive: every wait in the harness goes through it.

A deadline is anchored at the moment that started the clock (the disruption, the request), not at the moment of the
check, so time spent on something else counts too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from harness.core.errors import DeadlineExceeded

T = TypeVar("T")

INTERRUPT_CHECK_INTERVAL_S = 0.2


class Deadline:
    """A moment on the monotonic clock that nothing may outlive.

    `seconds` is the whole budget, `anchor` the monotonic time it counts from (now, when not given).
    """

    def __init__(self, seconds: float, *, anchor: float | None = None) -> None:
        self.seconds = seconds
        self.anchor = time.monotonic() if anchor is None else anchor

    def __repr__(self) -> str:
        return f"Deadline({self.seconds:g} s, {self.remaining():.3f} s left)"

    @property
    def at(self) -> float:
        """The monotonic time at which it ends."""
        return self.anchor + self.seconds

    def elapsed(self) -> float:
        """Seconds since the anchor."""
        return time.monotonic() - self.anchor

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether its moment has come."""
        return time.monotonic() >= self.at

    def within(self, seconds: float) -> float:
        """The shorter of `seconds` and what is left: the limit for one step under this deadline."""
        return min(seconds, self.remaining())

    def require(self, what: str) -> None:
        """Raise DeadlineExceeded, naming `what`, when nothing is left."""
        if self.expired:
            raise DeadlineExceeded(f"{what} took longer than {self.seconds:g} s")

    def wait_for(
        self,
        read: Callable[[], T],
        *,
        what: str,
        every: float = 0.1,
        until: Callable[[T], bool] = bool,
        waited_s: Callable[[], float] = lambda: 0.0,
    ) -> T:
        """Read again and again until `until` holds, and return what was read.

        `read` is asked at least once, and once more at the very end, so that a slow reader is not cheated of its last
        look. A question that takes longer than `every` to answer is asked half of the time at most: on a busy host the asking would
        delay what is waited for. `waited_s` tells for how much of that the last one only waited itself, which delays nothing.
        Raises DeadlineExceeded with `what` and the last value seen.
        """
        while True:
            last_look = self.expired
            began = time.monotonic()
            value = read()
            took = time.monotonic() - began
            if until(value):
                return value
            if last_look:
                raise DeadlineExceeded(f"{what} did not happen within {self.seconds:g} s; last seen: {value}")
            _pause(self.within(max(every, took - waited_s())))


def _pause(seconds: float) -> None:
    """The only timed wait of the harness; a fresh event lets Ctrl-C through on every platform, and one that arrives in another thread, or
    right before a wait, is seen at the end of a piece of it."""
    end = time.monotonic() + seconds
    while (rest := end - time.monotonic()) > 0:
        threading.Event().wait(min(rest, INTERRUPT_CHECK_INTERVAL_S))
