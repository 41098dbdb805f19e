"""The time between two recordings: agents measure on, nothing is written down, and only this knows whether every path was in service."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from harness.measure.evaluation.timing_quality import bearable_s
from harness.remote.recording.recording import NEW, Sample, Series

ANSWERED, SKIPPED = "answered", "skipped"


@dataclass
class _Seen:
    """What was seen of a series: its newest attempt, and the longest time without one, in seconds."""

    newest: float
    longest_s: float = 0.0
    failed: bool = False


class UnrecordedTime:
    """Thread-safe. `begin` when a recording ends, `end` when the next one begins; what agents tell later of the time between counts. Of
    established connections nothing is asked: availability is of new ones."""

    def __init__(self, series: Iterable[Series]) -> None:
        self._series = {one.id: one for one in series if one.kind == NEW}
        self._seen: dict[str, _Seen] = {}
        self._began: float | None = None
        self._ended: float | None = None
        self._lock = threading.Lock()

    def begin(self, at: float) -> None:
        """Nothing is recorded from then on, in seconds of the harness's monotonic clock."""
        with self._lock:
            self._began, self._ended = at, None
            self._seen = {series: _Seen(at) for series in self._series}

    def end(self, at: float) -> None:
        """The next recording has what begins from then on."""
        with self._lock:
            self._ended = at

    def samples(self, series: str, rows: Iterable[Sample]) -> None:
        """Takes attempts of one series. What comes in after a recording ended is in no recording, whenever it began."""
        with self._lock:
            seen = self._seen.get(series)
            if seen is None or self._began is None:
                return
            for row in rows:
                if row.outcome == SKIPPED or (self._ended is not None and row.at >= self._ended):
                    continue
                seen.failed = seen.failed or row.outcome != ANSWERED
                seen.longest_s = max(seen.longest_s, row.at - seen.newest)
                seen.newest = max(seen.newest, row.at)

    def in_service(self, since: float) -> bool:
        """Was every attempt since then answered, and was there always one as soon as a recording demands it? Ask when the second recording
        is over: what was under way when it began has been told then. False where it began to look later than that."""
        with self._lock:
            if self._began is None or self._ended is None or self._began > since:
                return False
            return all(
                not seen.failed and max(seen.longest_s, self._ended - seen.newest) <= bearable_s(period_s) + period_s
                for seen, period_s in ((seen, self._series[series].period_s) for series, seen in self._seen.items())
            )
