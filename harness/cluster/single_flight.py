"""A question that several threads ask at the same time, asked once for all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedQuestion(Generic[T]):
    """Calls `ask`, one call at a time. Each caller has the answer, or the error, of a call that began after its own: never an old one."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._asking = threading.Lock()
        self._joining = threading.Lock()
        self._next: Future[T] | None = None  # of the call that has not begun yet
        self.waiting = 0  # for that one

    def __call__(self) -> T:
        with self._joining:
            is_first = self._next is None
            future = self._next = self._next or Future()
            self.waiting += 1
        if is_first:
            with self._asking:  # the call before this one has ended
                with self._joining:
                    self._next, self.waiting = None, 0
                try:
                    future.set_result(self._ask())
                except BaseException as error:
                    future.set_exception(error)
        return future.result()
