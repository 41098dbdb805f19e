"""A bounded number of child processes at once; Ctrl-C ends them in order: each undoes what it did, and is waited for.

Everything that happens comes through one queue. A signal only puts a word into it (`SimpleQueue.put` may be called in a signal handler),
so that nothing is ever cut short between a child's start and its entry in the list.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from harness.commands.fleet.child_process import Child, Start, start_interpreter
from harness.core.signals import leave_terminal

LOOK_INTERVAL_S = 1.0  # Windows delivers no signal to who waits on a lock
_INTERRUPTED = -1


@dataclass(frozen=True)
class Job:
    """A child: its words, and the file that its output goes to. A pipe would break it when the fleet itself is killed."""

    name: str
    words: tuple[str, ...]
    log: Path


@dataclass(frozen=True)
class ProcessEnd:
    """How a child ended. `returned` is None where it never began, for the reason in `fault`."""

    returned: int | None
    seconds: float = 0.0
    fault: str = ""


def in_order(waiting: Sequence[int], running: Collection[int]) -> int:
    """The first one of those that wait."""
    return waiting[0]


class Pool:
    """Runs jobs. `on_begin` and `on_end` hear of each; `on_interrupt` hears at every Ctrl-C which ones are still waited for.

    `admits` is asked, where there is room for another, which of those that wait begins (those that run are told it, too); where it says
    None, it is asked again a second later, and when one has ended. `start` begins a job's process.
    """

    def __init__(
        self,
        at_once: int,
        *,
        on_begin: Callable[[int], None],
        on_end: Callable[[int, ProcessEnd], None],
        on_interrupt: Callable[[list[int]], None],
        admits: Callable[[Sequence[int], Collection[int]], int | None] = in_order,
        start: Start = start_interpreter,
    ) -> None:
        self._admits, self._start_process = admits, start
        self._at_once, self._on_begin, self._on_end, self._on_interrupt = at_once, on_begin, on_end, on_interrupt
        self._events: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._running: dict[int, tuple[Child, float]] = {}

    def run(self, jobs: Sequence[Job]) -> list[ProcessEnd]:
        """How each ended, in their order. Returns only when no child runs any more."""
        ends: dict[int, ProcessEnd] = {}
        waiting, stopping = list(range(len(jobs))), False

        def over(index: int, end: ProcessEnd) -> None:
            ends[index] = end
            self._on_end(index, end)

        with _signals_into(self._events):
            try:
                while waiting or self._running:
                    held = False
                    while waiting and not stopping and not held and len(self._running) < self._at_once:
                        index = self._admits(waiting, self._running)
                        if index is None:
                            held = True
                            continue
                        waiting.remove(index)
                        fault = self._start(index, jobs[index])
                        if fault:
                            over(index, ProcessEnd(None, fault=fault))
                        else:
                            self._on_begin(index)
                    if not self._running and not held:
                        if stopping:
                            break
                        continue
                    event = self._next(or_none=held)
                    if event is None:
                        continue
                    if event == _INTERRUPTED:
                        if not stopping:  # a second one would cut the undoing short
                            self._interrupt()
                        stopping = True
                        self._on_interrupt(sorted(self._running))
                    else:
                        process, since = self._running.pop(event)
                        over(event, ProcessEnd(process.wait(), time.monotonic() - since))
            finally:
                self._interrupt()
                for process, _ in self._running.values():
                    process.wait()
        for index in waiting:
            over(index, ProcessEnd(None, fault="it was not begun, because the fleet was interrupted"))
        return [ends[index] for index in range(len(jobs))]

    def _start(self, index: int, job: Job) -> str:
        """Why it did not start, or nothing."""
        try:
            with job.log.open("wb") as log:
                process = self._start_process(job.words, log)
        except OSError as error:
            return f"it could not be started ({error.strerror or error})"
        self._running[index] = process, time.monotonic()
        threading.Thread(target=self._await, args=(index, process), daemon=True).start()
        return ""

    def _await(self, index: int, process: Child) -> None:
        process.wait()
        self._events.put(index)

    def _next(self, *, or_none: bool) -> int | None:
        """The next event; None where that is wanted and there was none for `LOOK_INTERVAL_S`."""
        while True:
            with contextlib.suppress(queue.Empty):
                return self._events.get(timeout=LOOK_INTERVAL_S)
            if or_none:
                return None

    def _interrupt(self) -> None:
        """As Ctrl-C does. On Windows the console has told the children itself."""
        if os.name != "nt":
            for process, _ in self._running.values():
                process.send_signal(signal.SIGINT)  # none to one that has ended


@contextlib.contextmanager
def _signals_into(events: queue.SimpleQueue[int]) -> Iterator[None]:
    """Within it what would end this process is put into the queue. SIGHUP stays ignored where it was (nohup)."""

    def heard(number: int, frame: FrameType | None) -> None:
        if number != signal.SIGINT and number != signal.SIGTERM:
            leave_terminal()
        events.put(_INTERRUPTED)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before: dict[signal.Signals, Any] = {number: signal.signal(number, heard) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
