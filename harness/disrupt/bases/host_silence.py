"""Has a host fallen silent? One answer that is late is no silence: a node is busy while it is measured, and the way to it may be long."""

from __future__ import annotations

import time

from harness.hosts.host import Host

MIN_LOOK_S, MAX_LOOK_S = 0.3, 5.0
USUAL_ANSWERS = 10  # as many times its usual answer's time is waited for
LOOKS = 2  # in a row, none of them answered


def look_limit_s(host: Host) -> float:
    """How long one look may take, in seconds, by what an answer takes now, before anything is done."""
    began = time.monotonic()
    host.alive(limit=MAX_LOOK_S)
    return min(MAX_LOOK_S, max(MIN_LOOK_S, USUAL_ANSWERS * (time.monotonic() - began)))


def is_silent(host: Host, look_s: float = MIN_LOOK_S) -> bool:
    """Was no look in a row answered, each given `look_s` seconds? The first answer ends it."""
    return not any(host.alive(limit=look_s) for _ in range(LOOKS))
