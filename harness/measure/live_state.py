"""What the meter knows at this moment: who answered each series last, for how long it has been out. For the live view, and to tell
when the paths have recovered. The report does not use it: that is judged from the whole recording."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.remote.recording.recording import NEW, CapturedPacket, NodeEvent, Sample, Series

RETENTION_S = 3.0
TOLD_LATER_S = 0.1  # clocks of hosts are compared to within that
UNKNOWN = "?"


@dataclass(frozen=True)
class SeriesState:
    """One series now: `outcome` of its newest attempt, `node` that answered it, `out_s` since when it has not been answered (0: it is)."""

    series: Series
    outcome: str
    node: str | None
    recovered_after_s: float


class Live:
    """Thread-safe. An attempt is attributed by the origin's address and port. `without_loopback`: hosts whose captures do not see what
    stays inside them, so that it is what none of their NICs has seen."""

    def __init__(
        self,
        series: Iterable[Series],
        addresses: Mapping[str, Iterable[str]],
        probe: tuple[str, int],
        *,
        without_loopback: Iterable[str] = (),
    ) -> None:
        self._series = {t.id: t for t in series}
        self._owner = {address: host for host, host_addresses in addresses.items() for address in host_addresses}
        self._probe = probe  # source and port
        self._probed: dict[str, float] = {}
        self._samples: dict[str, deque[Sample]] = {t: deque() for t in self._series}
        self._last_good: dict[str, float] = {}
        self._received: dict[tuple[str, int], tuple[float, str]] = {}
        self.without_loopback = frozenset(without_loopback)
        self._left_at: dict[tuple[str, int], float] = {}  # when a connection was seen to leave one of these
        self._captured: dict[str, float] = {}  # up to when one of these has told packets
        self.news = ""  # what happened last at a host, in a sentence
        self._pruned = time.monotonic()
        self._lock = threading.Lock()

    def samples(self, series: str, rows: Iterable[Sample]) -> None:
        """Takes attempts of one series."""
        with self._lock:
            recent = self._samples[series]
            for row in rows:
                recent.append(row)
                if row.outcome == "answered":
                    self._last_good[series] = row.at
            horizon = recent[-1].at - RETENTION_S if recent else 0.0
            while recent and recent[0].at < horizon:
                recent.popleft()

    def sightings(self, rows: Iterable[CapturedPacket]) -> None:
        """Takes packets of a capture: probes are what is shown of them."""
        with self._lock:
            for row in rows:
                if row.host in self.without_loopback and row.what != "socket":
                    self._captured[row.host] = row.at
                    if row.what == "syn" and row.outgoing:
                        self._left_at[row.host, row.sport] = row.at
                if row.what == "syn" and (row.src, row.dport) == self._probe and not row.outgoing:
                    self._probed[row.host] = row.at
                elif row.what in ("syn", "socket") and (row.interface == "lo" or not row.outgoing):
                    # On lo the source may be the VIP itself; what counts is that it never left this host.
                    origin = row.host if row.interface == "lo" else self._owner.get(row.src)
                    if origin is not None:
                        self._received[origin, row.sport] = (row.at, row.host)
            self._prune()

    def _prune(self) -> None:
        now = time.monotonic()
        if now - self._pruned > RETENTION_S:
            self._pruned = now
            self._received = {key: reception for key, reception in self._received.items() if reception[0] > now - 2 * RETENTION_S}
            self._left_at = {key: at for key, at in self._left_at.items() if at > now - 2 * RETENTION_S}

    def event(self, event: NodeEvent) -> None:
        """Takes an event; the last one is shown."""
        if event.kind != "log" or event.data.get("means"):
            self.news = f"{event.host}: {event.kind} {event.text}".strip()

    def last_probe(self, node: str) -> float | None:
        """When the balancer's probe last came to a node; None when none was seen."""
        with self._lock:
            return self._probed.get(node)

    def is_right(self, series: str, node: str | None, *, since: float, watched: bool = True) -> bool:
        """Has every attempt that began after `since` been answered by `node` (any one, when None), and were there some?"""
        with self._lock:
            rows = [s for s in self._samples[series] if s.at >= since and s.outcome != "skipped"]
            if len(rows) < 3 or any(s.outcome != "answered" for s in rows):
                return False
            if not watched or self._series[series].kind != "new":
                return True
            nodes = {self._node_of(series, s) for s in rows}
            nodes.discard(None)  # its packet may still be on the way here; the next look will know
            return len(nodes) == 1 and (node is None or nodes == {node})

    def states(self) -> list[SeriesState]:
        """The state of every series now."""
        with self._lock:
            return [self._state_of(t) for t in self._series.values()]

    def _state_of(self, series: Series) -> SeriesState:
        rows = self._samples[series.id]
        if not rows:
            return SeriesState(series, UNKNOWN, None, 0.0)
        newest = rows[-1]
        good = newest.outcome == "answered"
        node = next((n for s in reversed(rows) if (n := self._node_of(series.id, s)) is not None), None) if good else None
        out_s = 0.0 if good else newest.at - self._last_good.get(series.id, rows[0].at)
        return SeriesState(series, newest.outcome, node, max(0.0, out_s))

    def _node_of(self, series: str, sample: Sample) -> str | None:
        origin = self._series[series].origin
        reception = self._received.get((origin, sample.port))
        # A port is used again: what then stays inside such a host overwrites nothing.
        tolerance_s = TOLD_LATER_S + self._series[series].limit_s if origin in self.without_loopback else RETENTION_S
        if reception is not None and abs(reception[0] - sample.at) < tolerance_s:
            return reception[1]
        return origin if self._series[series].kind == NEW and self._stayed_inside(origin, sample) else None

    def _stayed_inside(self, origin: str, sample: Sample) -> bool:
        """Has a capture that has told what came later not seen it leave?"""
        captured_later = self._captured.get(origin, 0.0) > sample.at + sample.seconds + TOLD_LATER_S
        left_at = self._left_at.get((origin, sample.port))
        return captured_later and (left_at is None or abs(left_at - sample.at) > TOLD_LATER_S + sample.seconds)
