"""Every event of a run on one clock.

The harness's monotonic clock orders the events; the wall clock is kept beside it for people and for foreign logs.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Event:
    """Something that happened: `at` is monotonic seconds, `wall` seconds since the epoch, both of the harness's host."""

    at: float
    wall: float
    source: str
    kind: str
    text: str
    data: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> str:
        """The event as a line of timeline.jsonl."""
        record = {"at": round(self.at, 6), "wall": round(self.wall, 6), "source": self.source, "kind": self.kind, "text": self.text}
        if self.data:
            record["data"] = self.data
        return json.dumps(record, ensure_ascii=False, default=str)


class Timeline:
    """Collects events and, given a file, appends each as one JSON line at once, so that a killed run stays readable."""

    def __init__(self, path: Path | None = None, clean: Callable[[Any], Any] = lambda data: data) -> None:
        """`clean` takes secrets out of every text before it is kept."""
        self.events: list[Event] = []
        self.fault = ""  # why events are not in the file
        self._lock = threading.Lock()
        self._clean = clean
        self._file = path.open("a", encoding="utf-8", errors="backslashreplace") if path else None

    def note(self, source: str, kind: str, text: str, *, at: float | None = None, **data: Any) -> Event:
        """Record an event of `source` (a host, "harness", "manager" …); `at` back-dates it on the monotonic clock.

        Raises nothing when it cannot be written, as on a full disk: whoever notes what it does must go on with it. `fault` says so.
        """
        now, wall = time.monotonic(), time.time()
        moment = now if at is None else at
        event = Event(moment, wall - (now - moment), source, kind, self._clean(text), self._clean(data))
        with self._lock:
            self.events.append(event)
            if self._file and not self._file.closed:
                try:
                    self._file.write(event.as_json() + "\n")
                    self._file.flush()
                except OSError as error:
                    self.fault = self.fault or str(error.strerror or error)
        return event

    def close(self) -> None:
        """Closes the file; later events are kept in memory only."""
        with self._lock:
            if self._file:
                try:
                    self._file.close()
                except OSError as error:
                    self.fault = self.fault or str(error.strerror or error)
