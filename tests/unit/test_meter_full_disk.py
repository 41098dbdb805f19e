"""Packets that cannot be written to a full disk are told, and nothing else of the measurement's end is left undone."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from harness.core.timeline import Timeline
from harness.measure.meter import Meter


class Packets:
    """What one node's packets were; `full` when they do not fit on the disk."""

    def __init__(self, *, full: bool) -> None:
        self.full, self.stopped = full, False

    def stop(self) -> None:
        self.stopped = True

    def write_pcap(self, path: Path) -> None:
        path.write_bytes(b"half")
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")


def test_packets_that_do_not_fit_are_told_and_the_others_are_kept(tmp_path: Path) -> None:
    timeline = Timeline()
    watched = {"lknode01": Packets(full=True), "lknode02": Packets(full=False)}
    subject = SimpleNamespace(timeline=timeline, together=lambda *each: [one() for one in each])
    meter: Any = SimpleNamespace(_lock=threading.Lock(), _watched=dict(watched), subject=subject)
    Meter._end_watching(meter, tmp_path)
    assert all(one.stopped for one in watched.values()) and meter._watched == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lknode02.pcapng"]
    (event,) = timeline.events
    assert event.kind == "evidence-fault" and "lknode01.pcapng" in event.text and "No space left" in event.text
