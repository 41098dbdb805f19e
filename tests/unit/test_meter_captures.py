"""Where the meter captures the packets of nodes: on them, or at the network where they cannot; and by whose clock it then places them."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cluster.capture_sources import CaptureSources
from harness.config import cluster_config
from harness.core.errors import Unusable
from harness.hosts.host import HostUnreachable
from harness.lab.lifecycle import default_cluster
from harness.measure import meter as module
from harness.measure.meter import Meter
from harness.remote.captures.capture_session import PacketCapture
from harness.remote.host_capabilities import FULL, SHELL, Capabilities
from harness.remote.recording.packets import Packet
from harness.remote.recording.recording import Clock

A, B = "lknode01", "lknode02"
REFUSAL = Unusable("the packets there cannot be watched: it needs root")


def a_meter(
    monkeypatch: pytest.MonkeyPatch,
    *,
    capabilities: Capabilities = FULL,
    refusal: Unusable | None = None,
    network: bool = True,
    hosts: list[str] | None = None,
) -> Meter:
    """A meter that has started, on nodes whose own captures are refused where there is a `refusal`."""
    table = {"network_capture": {"command": ["capture"], "hosts": hosts or []}} if network else {}
    cluster = cluster_config.parse(default_cluster.cluster_data("fast", table), Path("x"))
    subject: Any = SimpleNamespace(
        cluster=cluster,
        capabilities=lambda name: capabilities,
        together=lambda *calls: [call() for call in calls],
        hosts={m.name: SimpleNamespace(name=m.name) for m in cluster.machines},
        python=lambda name: "python3",
        manager=SimpleNamespace(log=None),
        evidence=dict,
    )
    subject.captures = CaptureSources(cluster, subject.hosts, subject.capabilities)

    def start(capture: PacketCapture, limit: float = 0.0) -> None:
        if refusal is not None and "capture" not in capture._program.runs_in:
            raise refusal

    monkeypatch.setattr(PacketCapture, "start", start)
    monkeypatch.setattr(module, "agent_of", lambda *about: SimpleNamespace(start=lambda: None))
    meter = Meter(subject)
    meter.start()
    return meter


def test_a_node_that_refuses_is_captured_at_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = a_meter(monkeypatch, refusal=REFUSAL)
    assert meter.blind == {} and meter.live.without_loopback == {A, B} == meter._at_network
    assert meter.subject.captures.refused == {A: str(REFUSAL), B: str(REFUSAL)}


def test_without_a_network_to_ask_it_is_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = a_meter(monkeypatch, refusal=REFUSAL, network=False)
    assert meter.blind == {A: str(REFUSAL), B: str(REFUSAL)} and not meter.live.without_loopback


def test_a_node_that_is_not_reached_has_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = a_meter(monkeypatch, refusal=HostUnreachable("gone"))
    assert set(meter.blind) == {A, B} and not meter.subject.captures.refused


@pytest.mark.parametrize("network", [True, False])
def test_a_node_without_python(monkeypatch: pytest.MonkeyPatch, network: bool) -> None:
    meter = a_meter(monkeypatch, capabilities=SHELL, network=network)
    assert set(meter.blind) == (set() if network else {A, B}) and meter.live.without_loopback == ({A, B} if network else set())
    assert ("its own packets" in meter.coarse[A]) is not network and "its own packets" in meter.coarse["lkclient"]


def test_packets_of_the_network_have_this_machine_s_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the node's own loopback interface, and of a node that is captured on itself, have the node's."""
    meter = a_meter(monkeypatch, hosts=[A])
    ahead_s = 1000.0
    for node in (A, B):
        meter._clocks[node] = Clock(node, 0.0, 0.0, 0.001, wall_s=-ahead_s - time.time() + time.monotonic())
    for node, interface, ahead in ((A, "eth0", 0.0), (A, "lo", ahead_s), (B, "eth0", ahead_s)):
        meter._take_packet(node, Packet(time.time() + ahead, interface, "host", "tcp", "10.20.1.20", 5000, "10.20.1.11", 1521, "S", 1, 0))
    now = time.monotonic()
    assert [abs(s.at - now) < 100 for s in meter._sightings] == [True] * 3
