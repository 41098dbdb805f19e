"""Calls that an interrupt must not land in.

Ctrl-C, and a test's time limit, raise an exception in the main thread wherever it happens to be. Inside paramiko that can leave
one of its locks held for ever, and then the undoing of a disruption would hang on it. Other threads are never interrupted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


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
    thread.start()
    try:
        result = outcome.result()
    except BaseException:
        if not outcome.done():
            abandon()
        raise
    return result
