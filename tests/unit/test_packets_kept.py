"""What is captured does not pile up: not between the looks at a run's own captures, and not after a measurement."""

from __future__ import annotations

import contextlib
import gc
import json
import queue
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from recordings import a_header

from harness.cluster.capture_sources import CaptureSources
from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.config import cluster_config
from harness.core.redaction.output_redaction import Cleaner
from harness.core.timeline import Timeline
from harness.lab.lifecycle import default_cluster
from harness.measure import meter as module
from harness.measure.meter import Meter
from harness.remote import script_transport
from harness.remote.captures import capture_session
from harness.remote.captures.capture_session import PacketCapture
from harness.remote.host_capabilities import FULL
from harness.remote.recording.packets import Packet

RAW = (
    b"\x45\0\0\x28\0\0\0\0\x40\x06\0\0"
    + socket.inet_aton("192.0.2.1")
    + socket.inet_aton("192.0.2.2")
    + struct.pack("!HHIIBBHHH", 40000, 80, 1, 0, 0x50, 0x02, 0, 0, 0)
)
EACH = 30  # packets that come before each mark


class Script:
    """A host's side of a capture: before every mark it saw EACH packets."""

    def __init__(self) -> None:
        self.said: queue.Queue[str | None] = queue.Queue()
        self.said.put(json.dumps({"ready": True}))

    def lines(self) -> Iterator[str]:
        return iter(self.said.get, None)

    def send(self, data: bytes) -> None:
        for _ in range(EACH):
            self.said.put(json.dumps({"t": 1.0, "if": "eth0", "k": "host", "raw": RAW.hex()}))
        self.said.put(json.dumps({"mark": int(data.split()[1]), "dropped": 0}))

    def close(self) -> None:
        self.said.put(None)


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script_transport, "start", lambda *about: Script())
    monkeypatch.setattr(script_transport, "complaint", lambda process: "")
    monkeypatch.setattr(capture_session, "MAX_NEWEST_PACKETS", 50)


def test_a_run_s_own_captures_keep_no_more_than_the_newest() -> None:
    """They watch until the run ends: with 300 connections a second they were some hundred megabytes after ten minutes."""
    subject: Any = ClusterUnderTest.__new__(ClusterUnderTest)
    subject.cluster = SimpleNamespace(network_capture=None, machines=[SimpleNamespace(name="a", ssh=SimpleNamespace(python="python3"))])
    subject.hosts, subject.absent, subject.timeline, subject._capture_by_host = {"a": SimpleNamespace(name="a")}, set(), Timeline(), {}
    subject._failed_captures = {}
    subject._capabilities, subject._capability_locks, subject._capture_locks = {"a": FULL}, {"a": threading.Lock()}, {"a": threading.Lock()}
    subject.captures = CaptureSources(subject.cluster, subject.hosts, subject.capabilities)
    with subject.watched():
        pass
    witness = subject._capture_by_host["a"]
    for _ in range(10):
        witness.mark()
    assert len(witness.packets()) <= 50 and witness.left_out + len(witness.packets()) == 11 * EACH
    with subject.watched() as sight:
        for _ in range(4):
            witness.mark()
        assert len(sight.packets()["a"]) == 5 * EACH, "what came while somebody watched is whole"
    witness.mark()
    assert len(witness.packets()) <= 50
    witness.stop()


def test_positions_count_what_is_no_longer_kept() -> None:
    with PacketCapture(SimpleNamespace(name="a"), newest=True) as one:  # type: ignore[arg-type]
        for _ in range(5):
            since = one.mark()
        with one.holding():
            until = one.mark()
            assert (since, until) == (5 * EACH, 6 * EACH) and len(one.packets(since, until)) == EACH


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def test_nothing_holds_the_packets_of_a_measurement_that_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even a cycle that the collector would find late."""
    cluster = cluster_config.parse(default_cluster.cluster_data("fast"), Path("x"))
    agent = SimpleNamespace(remaining_s=9999.0, start=lambda: None, renew=lambda: None, stop=list)
    monkeypatch.setattr(module, "agent_of", lambda *about: agent)
    subject: Any = SimpleNamespace(
        cluster=cluster,
        capabilities=lambda name: FULL,
        evidence=dict,
        hosts={m.name: SimpleNamespace(name=m.name) for m in cluster.machines},
        python=lambda name: "python3",
        cleaner=Cleaner(()),
        manager=SimpleNamespace(log=None),
        timeline=Timeline(),
    )
    subject.together = lambda *work: ClusterUnderTest.together(subject, *work)
    subject.captures = CaptureSources(cluster, subject.hosts, subject.capabilities)
    meter = Meter(subject)
    meter.start()
    with without_collector():
        before = {id(one) for one in gc.get_objects() if isinstance(one, Packet)}
        with meter.recording(tmp_path / "recording.jsonl", a_header()):
            pass
        left = [one for one in gc.get_objects() if isinstance(one, Packet) and id(one) not in before]
    assert not left
    assert all((tmp_path / f"{node.name}.pcapng").stat().st_size > EACH * len(RAW) for node in cluster.nodes)
