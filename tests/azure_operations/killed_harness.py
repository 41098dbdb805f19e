"""A harness that dies at one of its requests, in this process: from that request on it says nothing more to anybody, whatever it tries."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from harness.azure.faults import undo_tag

SERVES = ("process_request_thread", "serve_forever")


class Killed(BaseException):
    """No handler of the product's may go on after it."""


class Life:
    """`sent` requests so far; the one with number `last` is the last (0: none is), and arrives or does not."""

    def __init__(self, last: int, arrives: bool) -> None:
        self.last, self.arrives = last, arrives
        self.sent = 0
        self._lock = threading.Lock()

    @property
    def dead(self) -> bool:
        return 0 < self.last <= self.sent

    def sending(self) -> int:
        with self._lock:
            self.sent += 1
            return self.sent


@contextmanager
def living(last: int = 0, *, arrives: bool = False) -> Iterator[Life]:
    """A process of its own as far as Azure can tell: its threads end with it, and what it remembered is gone."""
    from azure.core.pipeline.transport import RequestsTransport

    life, send, before = Life(last, arrives), RequestsTransport.send, set(threading.enumerate())

    def mortal(self: Any, request: Any, **options: Any) -> Any:
        number = life.sending()
        if not life.last or number < life.last:
            return send(self, request, **options)
        if number == life.last and life.arrives:
            send(self, request, **options)
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RequestsTransport, "send", mortal)
        patch.setattr(threading, "excepthook", lambda about: None)
        try:
            yield life
        finally:
            life.last = life.last or 1  # whatever a thread still wants to send
            for thread in set(threading.enumerate()) - before:
                if not any(words in thread.name for words in SERVES):
                    thread.join(60.0)
            undo_tag.PENDING_UNDOS.clear()
