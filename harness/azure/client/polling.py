"""Waiting for Azure, never longer than a limit (`poller.result(timeout)` does not raise on time-out)."""

from __future__ import annotations

import math
from typing import Any

from harness.azure.client import error_mapping, throttling
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded

MIN_RETRY_AFTER_S = 1.0  # Azure writes whole seconds


def poll_delay_s(retry_after_s: float | None, poll_s: float) -> int | None:
    """How long until an operation is asked about again, where Retry-After asked for `retry_after_s`; None for as long as our own `poll_s`.

    0 asks for nothing, and a fraction is no reason to ask without a pause. Only a stand-in is asked more often than every second, and it is
    waited for no longer than that.
    """
    return None if not retry_after_s or poll_s < MIN_RETRY_AFTER_S else math.ceil(retry_after_s)


def poll_delay_policy(poll_s: float) -> Any:
    """A policy of the packages' pipelines: what an operation's answer says of the next question is what `poll_delay_s` makes of it.

    The packages take whole seconds only: a date or a fraction there ends an operation that goes on.
    """
    from azure.core.pipeline.policies import SansIOHTTPPolicy

    class PollDelayPolicy(SansIOHTTPPolicy):
        def on_response(self, request: Any, response: Any) -> None:
            answer = response.http_response
            if answer.status_code < 300:
                delay = poll_delay_s(throttling.retry_after_s(answer.headers), poll_s)
                for name in throttling.RETRY_AFTER:
                    answer.headers.pop(name, None)
                if delay is not None:
                    answer.headers["Retry-After"] = str(delay)

    return PollDelayPolicy()


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
    end = Deadline(deadline.within(seconds))
    end.wait_for(lambda: end.expired, what="a pause", every=max(end.remaining(), 0.001))
