"""Calls that an interrupt must not land in.

Ctrl-C, and a test's time limit, raise an exception in the main thread wherever it happens to be. Inside paramiko that can leave
one of its locks held for ever, and then the undoing of a disruption would hang on it. Other threads are never interrupted.

A wait without a limit is not always woken by Ctrl-C: the signal may come in the moment before it begins, or arrive in another thread, and
Python then remembers it until the main thread runs again. So the main thread looks up from time to time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from harness.core.deadline import INTERRUPT_CHECK_INTERVAL_S

T = TypeVar("T")


def result_or_interrupt(future: Future[T]) -> T:
    """The result, waited for in such a way that an interrupt ends the wait wherever the signal arrives."""
    while not wait([future], timeout=INTERRUPT_CHECK_INTERVAL_S).done:
        pass
    return future.result()


def run_uninterrupted(work: Callable[[], T], *, abandon: Callable[[], None] = lambda: None) -> T:
    """The result of `work`, done in a thread of its own when this is the main thread.

    When the wait for it is interrupted, `abandon` is called, which should make `work` end soon; its result is dropped.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    outcome: Future[T] = Future()

    def do() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # every kind: it is raised again where the result is waited for
            outcome.set_exception(error)

    thread = threading.Thread(target=do, name="apart", daemon=True)
    try:
        thread.start()
        result = result_or_interrupt(outcome)
    except BaseException:
        if not outcome.done():
            abandon()
        raise
    return result
