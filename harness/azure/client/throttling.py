"""How long the harness keeps silent when Azure asks for it (429, 503). Pure.

As long as Retry-After says, and a little longer by chance: whoever was refused at the same moment (the cluster's own fencing, the harness's
other requests) would else ask again at the same moment. "Throttling Resource Manager requests": a request that is sent sooner is refused
again, and counts.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_JITTER = 0.25  # of what was asked for, on top of it
RETRY_AFTER = ("Retry-After", "retry-after-ms", "x-ms-retry-after-ms")  # in the order in which they count


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """What Retry-After asks for in seconds, written as a number or as a date (or by its kin, in milliseconds); None where it asks for
    nothing that can be read."""
    retry_after, *milliseconds = (str(headers.get(name) or "").strip() for name in RETRY_AFTER)
    try:
        seconds = float(retry_after) if retry_after or not any(milliseconds) else float(milliseconds[0] or milliseconds[1]) / 1000
        return max(seconds, 0.0) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max((until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp(), 0.0)


def pause_s(retry_after_s: float, draw: Callable[[], float] = random.random) -> float:
    """So long to keep silent, in seconds: never shorter than what was asked for."""
    return retry_after_s * (1.0 + MAX_JITTER * draw())
