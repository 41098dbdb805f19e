"""Waiting for Azure's long-running operations, never longer than a limit (`poller.result(timeout)` does not raise on time-out)."""

from __future__ import annotations

from typing import Any

from harness.azure import trouble
from harness.deadline import Deadline
from harness.errors import DeadlineExceeded


def result_of(poller: Any, deadline: Deadline, doing: str) -> Any:
    """What the operation came to. Raises DeadlineExceeded while it still runs there, and else what `trouble.told` makes of a failure."""
    poller.wait(deadline.remaining())
    if not poller.done():
        raise DeadlineExceeded(
            f"{doing}: Azure's operation took longer than {deadline.seconds:g} s and may still go on; see operation_limit_s"
        )
    with trouble.told(doing):
        return poller.result()
