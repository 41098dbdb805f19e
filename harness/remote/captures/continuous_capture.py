"""A node's packets, watched as long as a recording lasts: a packet capture that ends is followed by another, and the time between is told.

Events on the node, times on the harness's monotonic clock, in seconds: `witness-lost`, at the last moment up to which everything that
was captured has come in (data: `from`, that moment; `dropped`, packets that the kernel dropped); `witness-back`, from when on everything
is seen again (data: `from`, `until`, `dropped`); `witness-end`, up to when everything has come in at its end. What is not between two of
the first is complete.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from harness.core.errors import DeadlineExceeded, HarnessError, Inconclusive, Unusable
from harness.hosts.host import WrongHostKey
from harness.remote.captures.capture_session import PacketCapture
from harness.remote.recording import pcapng_writer
from harness.remote.recording.recording import NodeEvent

MARK_INTERVAL_S = 1.0  # so often it is asked whether all came in; what is lost is known to this
MARK_TIMEOUT_S = 5.0
RETRY_INTERVAL_S = 0.5
END_TIMEOUT_S = 10.0  # a capture on a busy host may tell late what it saw; what it does not tell makes a measurement inconclusive


class Watched:
    """`start`, then `end` and `stop`; `make` gives a new capture, `tell` hears when it begins and ends."""

    def __init__(self, node: str, make: Callable[[], PacketCapture], tell: Callable[[NodeEvent], None]) -> None:
        self._node, self._make, self._tell = node, make, tell
        self._captures: list[PacketCapture] = []  # all there were; the last may be at work
        self._working = False
        self._lost_since: float | None = None
        self._complete_until = time.monotonic()  # up to here everything has come in
        self._dropped = 0
        self._over = threading.Event()
        self._end_told = False
        self._thread = threading.Thread(target=self._keep_watching, name=f"watched-{node}", daemon=True)

    def start(self) -> None:
        """On return every further packet will be seen, or it is told that none is."""
        self._begin()
        self._thread.start()

    def end(self) -> None:
        """Tell up to when everything has come in, or what is missing at the end; what is captured later counts for nothing."""
        if self._end_told:
            return
        self._end_told = True
        self._over.set()
        self._thread.join(MARK_TIMEOUT_S + END_TIMEOUT_S)
        if self._working:
            self._check_complete(END_TIMEOUT_S)
        if self._working:
            self._tell_event("witness-end", self._complete_until, "everything up to here has come in", since=self._complete_until)

    def stop(self) -> None:
        """End it, and what captures on the host."""
        self.end()
        for capture in self._captures:
            capture.stop()

    def write_pcap(self, path: Path) -> None:
        """The newest of what was seen; nothing where there never was a capture."""
        if self._captures:
            pcapng_writer.write(path, [packet.headers for capture in self._captures for packet in capture.packets()], host=self._node)

    def _keep_watching(self) -> None:
        while not self._over.wait(MARK_INTERVAL_S if self._working else RETRY_INTERVAL_S):
            if self._working:
                self._check_complete(MARK_TIMEOUT_S)
            elif not self._begin():
                return

    def _begin(self) -> bool:
        """Try a new capture; False when it makes no sense to try again."""
        capture = self._make()
        try:
            capture.start()
        except (Inconclusive, Unusable, DeadlineExceeded) as error:
            self._note_loss(str(error))
            return not isinstance(error, WrongHostKey)
        self._captures = [*self._captures[-2:], capture]
        self._working, self._dropped, self._complete_until = True, 0, time.monotonic()
        if self._lost_since is not None:
            since, self._lost_since = self._lost_since, None
            self._tell_event("witness-back", self._complete_until, "its packets are watched again", since=since, until=self._complete_until)
        return True

    def _check_complete(self, limit: float) -> None:
        """Has everything up to now come in? A capture that cannot say so is given up."""
        capture, asked_at = self._captures[-1], time.monotonic()
        try:
            capture.mark(limit)
        except HarnessError as error:
            self._working = False
            self._note_loss(str(error))
            capture.stop()
            return
        dropped, self._dropped = capture.dropped - self._dropped, capture.dropped
        if dropped or capture.unproven:
            text = capture.drop_reason or f"the kernel dropped {dropped} packets there before they could be read"
            self._tell_event(
                "witness-lost", self._complete_until, text if dropped else capture.unproven, since=self._complete_until, dropped=dropped
            )
            self._tell_event(
                "witness-back", asked_at, "nothing more is known to be missing", since=self._complete_until, until=asked_at, dropped=dropped
            )
        self._complete_until = asked_at

    def _note_loss(self, why: str) -> None:
        if self._lost_since is None:
            self._lost_since = self._complete_until
            self._tell_event("witness-lost", self._complete_until, why, since=self._complete_until)

    def _tell_event(self, kind: str, at: float, text: str, *, since: float, until: float | None = None, dropped: int = 0) -> None:
        data = {"from": since, "dropped": dropped, **({} if until is None else {"until": until})}
        self._tell(NodeEvent(at, self._node, kind, text, data))
