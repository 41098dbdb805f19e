"""The meter's agents between recordings: those that are worn are replaced, and kept connections are made anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from recordings import a_header

from harness.cluster.capture_sources import CaptureSources, Source
from harness.config import cluster_config
from harness.core.errors import Inconclusive, Unusable
from harness.core.redaction.output_redaction import Cleaner
from harness.lab.lifecycle import default_cluster
from harness.measure import meter as module
from harness.measure.meter import Meter
from harness.remote.host_capabilities import FORWARDED, FULL
from harness.remote.recording.recording import NodeEvent


class Agent:
    """One whose lifetime a test sets."""

    def __init__(self, name: str, log: list[str], fails: bool = False) -> None:
        self.name, self.log, self.fails, self.remaining_s = name, log, fails, 100.0

    def start(self, limit: float = 1.0) -> None:
        if self.fails:
            raise Inconclusive("no")
        self.log.append(f"start {self.name}")

    def renew(self) -> None:
        self.log.append(f"renew {self.name}")

    def stop(self, limit: float = 1.0) -> list[str]:
        self.log.append(f"stop {self.name}")
        return []


@pytest.fixture
def cluster() -> cluster_config.Cluster:
    return cluster_config.parse(default_cluster.cluster_data("fast"), Path("x"))


@pytest.fixture
def meter(cluster, monkeypatch) -> tuple[Meter, list[str]]:
    log: list[str] = []

    def together(*calls: Callable[[], object]) -> list[object]:
        return [call() for call in calls]

    subject = SimpleNamespace(
        cluster=cluster,
        capabilities=lambda name: FORWARDED,
        evidence=dict,
        together=together,
        hosts={m.name: None for m in cluster.machines},
        python=lambda name: "python3",
        cleaner=Cleaner(()),
        manager=SimpleNamespace(log=None),
        timeline=SimpleNamespace(note=lambda *words: log.append(" ".join(words))),
    )
    monkeypatch.setattr(module, "agent_of", lambda host, capabilities, python, plan, ear: Agent(ear._host, log))
    subject.captures = CaptureSources(cluster, subject.hosts, subject.capabilities)  # type: ignore[arg-type]
    made = Meter(subject, lifetime_s=100.0)  # type: ignore[arg-type]
    made.start()
    log.clear()
    return made, log


def record(meter: Meter, folder: Path) -> None:
    with meter.recording(folder / "recording.jsonl", a_header()):
        pass


def test_an_agent_that_has_ended_is_replaced_before_the_next_recording(meter, tmp_path) -> None:
    it, log = meter
    first, second, third = it._agents.values()
    second.remaining_s, third.remaining_s = 0.0, 49.0
    record(it, tmp_path)
    assert log[:4] == [f"start {second.name}", f"stop {second.name}", f"start {third.name}", f"stop {third.name}"]
    assert log[4:] == [f"renew {name}" for name in it._agents]
    assert it._agents[first.name] is first and it._agents[second.name] is not second and it._agents[third.name] is not third


def test_one_that_cannot_be_replaced_goes_on_and_that_is_said(meter, tmp_path, monkeypatch) -> None:
    it, log = meter
    old = next(iter(it._agents.values()))
    old.remaining_s = 10.0
    monkeypatch.setattr(module, "agent_of", lambda host, capabilities, python, plan, ear: Agent(ear._host, log, fails=True))
    record(it, tmp_path)
    assert it._agents[old.name] is old and log[0] == f"{old.name} agent it could not be renewed: no"


def test_what_a_hosts_program_said_when_it_ended_is_shown_without_secrets(meter) -> None:
    """The live view prints it, without a terminal too, where it stays in a pipeline's log."""
    it, _ = meter
    it.subject.manager = SimpleNamespace(notices=lambda text: False)
    it.subject.cleaner.knows(["Kn0wn-canary"])
    for kind in ("agent-lost", "witness-lost", "host-lost"):
        it.event(NodeEvent(1.0, "lknode01", kind, "bash: login Kn0wn-canary --password canary-2 refused"))
        assert it.live.news == f"lknode01: {kind} bash: login [removed] --password [removed] refused"


def test_whether_packets_may_be_watched_is_not_tried_again_where_they_were(cluster) -> None:
    tried: list[str] = []

    def refused(node: str, **_: object) -> object:
        tried.append(node)
        raise Unusable("it may not")

    first, second = (node.name for node in cluster.nodes)
    captures = SimpleNamespace(source=lambda name: Source.HOST, make=refused, fall_back=lambda name, why: False)
    meter = Meter.__new__(Meter)
    meter.subject = SimpleNamespace(cluster=cluster, captures=captures, evidence=lambda: {first: None})  # type: ignore[assignment]
    meter.blind, meter._capabilities = {}, {first: FULL, second: FULL}
    for node in (first, second):
        meter._check_capture(node)
    assert tried == [second] and meter.blind == {second: "it may not"}
