"""Waiting for Azure, never longer than a limit (`poller.result(timeout)` does not raise on time-out)."""

from __future__ import annotations

from typing import Any

from harness.azure.client import error_mapping
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded


def result_of(poller: Any, deadline: Deadline, doing: str) -> Any:
    """What the operation came to. Raises DeadlineExceeded while it still runs there, else what `translate_errors` makes of a failure."""
    with error_mapping.translate_errors(doing):
        poller.wait(deadline.remaining())  # which raises what the operation failed with, if it did
        if poller.done():
            return poller.result()
    raise DeadlineExceeded(
        f"{doing}: Azure's operation took longer than {deadline.seconds:g} s and may still go on; see operation_limit_s in [azure]"
    )


def pause(seconds: float, deadline: Deadline) -> None:
    """For so long, or until the deadline if that is sooner."""
    over = Deadline(deadline.within(seconds))
    over.wait_for(lambda: over.expired, what="a pause", every=max(over.remaining(), 0.001))
