"""The time between two recordings: agents measure on, nothing is written down, and only this knows whether every path was in service."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from harness.measure.evaluation.timing_quality import MAX_SAMPLE_DELAY_S, bearable_s
from harness.remote.recording.recording import NEW, Sample, Series

ANSWERED, SKIPPED = "answered", "skipped"


@dataclass
class _Attempts:
    """What was seen of a series: its newest attempt, and for how many seconds there was none where one was due."""

    newest: float
    bearable_s: float
    unseen_s: float = 0.0
    failed: bool = False

    def go_on_to(self, at: float) -> None:
        """There was no attempt between the newest one and this moment."""
        if at - self.newest > self.bearable_s:
            self.unseen_s += at - self.newest
        self.newest = max(self.newest, at)


class UnrecordedTime:
    """Thread-safe. `begin` when a recording ends, `end` when the next one begins; what agents tell later of the time between counts. Of
    established connections nothing is asked: availability is of new ones."""

    def __init__(self, series: Iterable[Series]) -> None:
        self._series = {one.id: one for one in series if one.kind == NEW}
        self._attempts: dict[str, _Attempts] = {}
        self._began: float | None = None
        self._ended: float | None = None
        self._lock = threading.Lock()

    def begin(self, at: float) -> None:
        """Nothing is recorded from then on, in seconds of the harness's monotonic clock."""
        with self._lock:
            self._began, self._ended = at, None
            self._attempts = {name: _Attempts(at, bearable_s(series.period_s) + series.period_s) for name, series in self._series.items()}

    def end(self, at: float) -> None:
        """The next recording has what begins from then on."""
        with self._lock:
            self._ended = at

    def samples(self, series: str, rows: Iterable[Sample]) -> None:
        """Takes attempts of one series. What comes in after a recording ended is in no recording, whenever it began."""
        with self._lock:
            attempts = self._attempts.get(series)
            if attempts is None or self._began is None:
                return
            for row in rows:
                if row.outcome == SKIPPED or (self._ended is not None and row.at >= self._ended):
                    continue
                attempts.failed = attempts.failed or row.outcome != ANSWERED
                attempts.go_on_to(row.at)

    def in_doubt_s(self, since: float) -> float:
        """For how many seconds from then on a path may have been out. Where an attempt failed, or nobody looked: all of it, and the last
        second before it, of which agents may have told too late. Else for as long as the series that was seen least was not, where a
        recording would miss its attempts too. Ask when the second recording is over: what was under way when it began is told by then."""
        with self._lock:
            whole_s = max(0.0, (self._ended or since) - since)
            if self._began is None or self._ended is None or self._began > since or any(a.failed for a in self._attempts.values()):
                return whole_s + MAX_SAMPLE_DELAY_S
            for attempts in self._attempts.values():
                attempts.go_on_to(self._ended)
            return max((attempts.unseen_s for attempts in self._attempts.values()), default=whole_s)
