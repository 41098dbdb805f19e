"""Waiting for Azure, never longer than a limit (`poller.result(timeout)` does not raise on time-out)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from harness.azure.client import error_mapping
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, HarnessError

K = TypeVar("K")
T = TypeVar("T")
MAX_CONCURRENT_POLLS = 8
INTERRUPT_CHECK_INTERVAL_S = 0.5  # a Ctrl-C that comes right before a wait begins is heard at its end only


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


def together(deadline: Deadline, work: Mapping[K, Callable[[], T]]) -> dict[K, T | HarnessError]:
    """Do several things at once; what fails has its error for a result, and what does not end in time a DeadlineExceeded.

    A failure that is no HarnessError is raised when all have ended. Threads that hang are left behind: they hold no process up.
    """
    results: dict[K, T | HarnessError] = {}
    broken: list[BaseException] = []
    places = threading.BoundedSemaphore(MAX_CONCURRENT_POLLS)

    def one(key: K, do: Callable[[], T]) -> None:
        with places:
            if deadline.expired:
                return
            try:
                results[key] = do()
            except HarnessError as error:
                results[key] = error
            except BaseException as error:
                broken.append(error)

    threads = [threading.Thread(target=one, args=item, daemon=True, name=f"azure-{item[0]}") for item in work.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive() and not deadline.expired:
            thread.join(min(deadline.remaining(), INTERRUPT_CHECK_INTERVAL_S))
    if broken:
        raise broken[0]
    late = DeadlineExceeded(f"Azure did not answer within {deadline.seconds:g} s; see the way out of this machine")
    return {key: results.get(key, late) for key in work}
