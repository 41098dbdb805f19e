"""Secrets that are read while a run goes on. A file may have another one later, by whatever renews it: whoever takes secrets out of what is
written is told of each as soon as it is read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

Listener = Callable[[list[str]], None]

_listeners: list[Listener] = []


@contextlib.contextmanager
def told_to(listener: Listener) -> Iterator[None]:
    """Within it `listener` is told of every secret that this process reads, in a list of one."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def tell(secret: str) -> str:
    """Called by whoever has read one, which it returns."""
    for listener in tuple(_listeners):
        listener([secret])
    return secret
