"""Runs one piece of work per tag, each once those it waits for are done, side by side where the tree allows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable


def in_order(tags: Iterable[str], waits_for: Callable[[str], Iterable[str]], work: Callable[[str], bool], *, parallel: bool) -> set[str]:
    """`work(tag)` for every tag; returns those whose work was done well.

    After the first that is not, nothing new begins and what runs is waited for (LKL-31, LKL-42).
    """
    todo = dict.fromkeys(tags)
    scope = set(todo)
    succeeded: set[str] = set()
    running: set[str] = set()
    failed = False
    changed = threading.Condition()

    def one(tag: str) -> None:
        nonlocal failed
        good = False
        try:
            good = work(tag)
        finally:
            with changed:
                running.discard(tag)
                failed = failed or not good
                if good:
                    succeeded.add(tag)
                changed.notify()

    with changed:
        while True:
            if not failed:
                ready = [tag for tag in todo if scope.intersection(waits_for(tag)) <= succeeded]
                for tag in ready if parallel else ready[: 1 - len(running)]:
                    del todo[tag]
                    running.add(tag)
                    threading.Thread(target=one, args=(tag,), name=f"action {tag}", daemon=True).start()
            if not running:
                return succeeded
            changed.wait()
