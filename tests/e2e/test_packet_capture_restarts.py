"""A packet capture's run is in the recording: when it ended, when another took its place, what the kernel dropped."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from harness.core.deadline import Deadline
from harness.core.errors import Inconclusive
from harness.hosts.host import HostUnreachable
from harness.hosts.local_host import LocalHost
from harness.remote.captures import capture_session, continuous_capture
from harness.remote.captures.capture_session import SYN, PacketCapture
from harness.remote.captures.continuous_capture import Watched
from harness.remote.recording.recording import NodeEvent

LIMIT = 30.0
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it captures packets")


@pytest.fixture(autouse=True)
def often(monkeypatch) -> None:
    monkeypatch.setattr(continuous_capture, "MARK_INTERVAL_S", 0.05)
    monkeypatch.setattr(continuous_capture, "RETRY_INTERVAL_S", 0.05)


def wait(events: list[NodeEvent], *kinds: str) -> None:
    Deadline(LIMIT).wait_for(lambda: [e.kind for e in events][: len(kinds)] == list(kinds), what=f"{kinds} in {events}", every=0.02)


def connect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door, socket.create_connection(door.getsockname()):
        pass


@needs_root
def test_a_witness_that_ends_is_told_and_followed_by_another(tmp_path: Path) -> None:
    host, events, seen = LocalHost("lknode01"), [], []
    one = Watched("lknode01", lambda: PacketCapture(host, sys.executable, flags=SYN, tell=seen.append, newest=True), events.append)
    one.start()
    connect()
    host.close()  # as a connection that breaks
    wait(events, "witness-lost", "witness-back")
    count = len(seen)
    connect()
    Deadline(LIMIT).wait_for(lambda: len(seen) > count, what="packets after it", every=0.02)
    one.stop()
    one.write_pcap(tmp_path / "n.pcapng")
    lost, back, end = events
    assert end.kind == "witness-end" and end.at >= back.at
    assert lost.data == {"from": lost.at, "dropped": 0} and back.data == {"from": lost.at, "until": back.at, "dropped": 0}
    assert lost.at < back.at and "the packet capture has ended" in lost.text and (tmp_path / "n.pcapng").stat().st_size > 0


@needs_root
def test_a_witness_of_the_newest_does_not_end_when_much_was_seen(monkeypatch) -> None:
    monkeypatch.setattr(capture_session, "MAX_NEWEST_PACKETS", 20)
    seen = []
    with PacketCapture(LocalHost("lknode01"), sys.executable, flags=SYN, tell=seen.append, newest=True) as one:
        for _ in range(50):
            connect()
        one.mark(LIMIT)
        assert len(seen) >= 100 and 10 <= len(one.packets()) <= 20 and one.left_out + len(one.packets()) == len(seen)


class Scripted:
    """A witness that starts, or not, and whose marks say what they are told to."""

    def __init__(self, *marks: int | Exception, fails: Exception | None = None) -> None:
        self.dropped, self.drop_reason, self.unproven = 0, "", ""
        self._marks, self._fails = list(marks), fails

    def start(self) -> None:
        if self._fails is not None:
            raise self._fails

    def mark(self, limit: float) -> int:
        said = self._marks.pop(0) if self._marks else self.dropped
        if isinstance(said, Exception):
            raise said
        self.dropped = said
        return 0

    def packets(self) -> list:
        return []

    def stop(self) -> None:
        """Nothing runs."""


def test_what_the_kernel_dropped_lies_between_two_marks() -> None:
    events: list[NodeEvent] = []
    one = Watched("lknode01", lambda: Scripted(0, 0, 7, 7), events.append)  # type: ignore[arg-type,return-value]
    one.start()
    wait(events, "witness-lost", "witness-back")
    one.stop()
    lost, back, end = events
    assert end.kind == "witness-end" and end.at == end.data["from"] >= back.data["until"]
    assert lost.data["dropped"] == back.data["dropped"] == 7 and lost.at == lost.data["from"] == back.data["from"] < back.data["until"]


def test_one_that_cannot_begin_is_tried_until_it_can() -> None:
    events: list[NodeEvent] = []
    rows = [
        Scripted(fails=HostUnreachable("lknode01: it boots")),
        Scripted(fails=Inconclusive("not yet")),
        Scripted(0, Inconclusive("gone")),
    ]
    one = Watched("lknode01", lambda: rows.pop(0) if rows else Scripted(fails=HostUnreachable("off")), events.append)  # type: ignore[arg-type,return-value]
    one.start()
    assert [(e.kind, e.text) for e in events] == [("witness-lost", "lknode01: it boots")]
    wait(events, "witness-lost", "witness-back", "witness-lost")
    one.stop()
    assert len(events) == 3 and events[2].text == "gone" and events[2].at >= events[1].at


def test_one_that_sees_no_packet_come_in_has_not_watched() -> None:
    events: list[NodeEvent] = []
    blind = Scripted(0)
    blind.unproven = "it has seen 9 packets leave and 0 come in"
    one = Watched("lknode01", lambda: blind, events.append)  # type: ignore[arg-type,return-value]
    one.start()
    wait(events, "witness-lost", "witness-back")
    one.stop()
    assert events[0].text == blind.unproven and events[0].data["from"] < events[1].data["until"]
