"""Several requests to Azure at once, within one deadline: what fails or does not end has its error for a result."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, HarnessError

K = TypeVar("K")
T = TypeVar("T")
MAX_CONCURRENT_REQUESTS = 8
INTERRUPT_CHECK_INTERVAL_S = 0.5  # a Ctrl-C that comes right before a wait begins is heard at its end only


def together(deadline: Deadline, work: Mapping[K, Callable[[], T]]) -> dict[K, T | HarnessError]:
    """Do several things at once; what fails has its error for a result, and what does not end in time a DeadlineExceeded.

    A failure that is no HarnessError is raised when all have ended. Threads that hang are left behind: they hold no process up.
    """
    results: dict[K, T | HarnessError] = {}
    unexpected_errors: list[BaseException] = []
    slots = threading.BoundedSemaphore(MAX_CONCURRENT_REQUESTS)

    def run_one(key: K, do: Callable[[], T]) -> None:
        with slots:
            if deadline.expired:
                return
            try:
                results[key] = do()
            except HarnessError as error:
                results[key] = error
            except BaseException as error:
                unexpected_errors.append(error)

    threads = [threading.Thread(target=run_one, args=item, daemon=True, name=f"azure-{item[0]}") for item in work.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive() and not deadline.expired:
            thread.join(min(deadline.remaining(), INTERRUPT_CHECK_INTERVAL_S))
    if unexpected_errors:
        raise unexpected_errors[0]
    deadline_error = DeadlineExceeded(f"Azure did not answer within {deadline.seconds:g} s; see the way out of this machine")
    return {key: results.get(key, deadline_error) for key in work}
