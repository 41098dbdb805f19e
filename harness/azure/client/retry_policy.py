"""When a request to Azure is sent again: how often, how long a Retry-After (429, 503) is waited out; never beyond the caller's deadline."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from harness.azure.client import credentials, throttling
from harness.core.deadline import Deadline

MAX_RETRIES = 3  # of what only reads
MAX_PAUSE_S = 30.0  # the longest Retry-After that is waited out inside a call
LAST_REQUEST_TIMEOUT_S = 3.0  # what a request may take that is sent when its deadline is over: a last look


@dataclass(frozen=True)
class _Bounds:
    """What bounds the requests that this thread sends now."""

    deadline: Deadline
    retries: int

    def left(self) -> float:
        return max(self.deadline.remaining(), LAST_REQUEST_TIMEOUT_S)


_bounds: ContextVar[_Bounds | None] = ContextVar("bounds", default=None)


@contextmanager
def within(deadline: Deadline, *, retries: int = MAX_RETRIES) -> Iterator[None]:
    """No request that is sent inside outlives the deadline (but LAST_REQUEST_TIMEOUT_S), its retries included.

    A poller's own thread is not bound.
    """
    token = _bounds.set(_Bounds(deadline, retries))
    try:
        yield
    finally:
        _bounds.reset(token)


def bounded_retry() -> Any:
    """The packages' own retries, but never a Retry-After of minutes inside one call: that is an answer, and becomes an error.

    The packages wait for exactly Retry-After, and where an answer names none, not at all before the first repetition; here both are spread
    by chance, and neither lasts longer than MAX_PAUSE_S and what is left.
    Inside of `within`, a peer that accepts and says nothing is given up when the deadline is over, too.
    """
    from azure.core.pipeline.policies import RetryPolicy

    class BoundedRetry(RetryPolicy):
        def configure_retries(self, options: dict[str, Any]) -> dict[str, Any]:
            if bounds := _bounds.get():
                options["read_timeout"] = min(credentials.READ_S, bounds.left())
                options.setdefault("connection_timeout", min(credentials.CONNECT_S, bounds.left()))
                options.setdefault("timeout", bounds.left())
                options.setdefault("retry_total", bounds.retries)
            return super().configure_retries(options)

        def get_retry_after(self, response: Any) -> float | None:
            headers = response.http_response.headers
            return throttling.retry_after_s(headers) if headers.get("Retry-After") else super().get_retry_after(response)

        def is_retry(self, settings: Any, response: Any) -> bool:
            after = self.get_retry_after(response)
            return (after is None or after <= _longest_pause()) and super().is_retry(settings, response)

        def sleep(self, settings: Any, transport: Any, response: Any = None) -> None:
            if response is None:
                super().sleep(settings, transport)
                return
            refusals = len(settings["history"])
            asked_s = self.get_retry_after(response) or min(settings["max_backoff"], settings["backoff"] * 2 ** (refusals - 1))
            transport.sleep(min(throttling.pause_s(asked_s), _longest_pause()))

    return BoundedRetry(retry_total=MAX_RETRIES, retry_backoff_factor=0.4, retry_backoff_max=5)


def _longest_pause() -> float:
    """Seconds."""
    current = _bounds.get()
    return MAX_PAUSE_S if current is None else min(MAX_PAUSE_S, current.deadline.remaining())


def silence_s(error: BaseException, default_s: float) -> float:
    """How long to ask nothing after this refusal: what its Retry-After asks for, or `default_s`, and a little more by chance."""
    response = getattr(error.__cause__, "response", None)
    retry_after_s = throttling.retry_after_s(response.headers) if response is not None else None
    return throttling.pause_s(default_s if retry_after_s is None else max(retry_after_s, default_s))
