"""Azure's own view of the members: on the timeline with its reason codes, as chart rows of a report, and never in the way of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import azure_payloads
import pytest
from arm_server import ArmServer

from harness.azure import backend_health
from harness.azure.backend_health import KIND, HealthWatch
from harness.azure.client import sdk_clients
from harness.azure.inventory import resource_reader
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded
from harness.core.timeline import Timeline
from harness.report.html.azure_health_rows import chart_rows


@pytest.fixture
def watched(server: ArmServer) -> Any:
    cluster = azure_payloads.cluster(azure=server.table(health_period_s=0.1))
    assert cluster.azure is not None
    timeline = Timeline()
    watch = HealthWatch(cluster, sdk_clients.make_clients(cluster.azure), timeline)
    watch.start()
    yield timeline
    watch.close()


def texts(timeline: Timeline) -> list[str]:
    return [f"{e.source}: {e.text}" for e in timeline.events if e.kind == KIND]


def wait_for(timeline: Timeline, *words: str) -> None:
    Deadline(120).wait_for(lambda: texts(timeline), until=lambda said: all(any(w in t for t in said) for w in words), what=str(words))


def test_each_change_is_noted_once_with_its_reason(server: ArmServer, watched: Timeline) -> None:
    wait_for(watched, "lknode01: Azure's own view: Up (Up_Probe_Success)", "lknode02: Azure's own view: Down (Down_Probe_TcpProbeTimeout)")
    server.health = {"loadBalancerBackendAddresses": [{"ipAddress": "10.20.1.12", "state": "Up", "reason": "Up_Probe_Success"}]}
    wait_for(watched, "lknode01: Azure's own view: not listed, was Up", "lknode02: Azure's own view: Up (Up_Probe_Success), was Down")
    asked = sum("/health" in r for r in server.requests)
    Deadline(120).wait_for(lambda: sum("/health" in r for r in server.requests), until=lambda n: n > asked + 2, what="more asking")
    assert len(texts(watched)) == 4  # and nothing new, though it was asked again
    [first, *_] = [e for e in watched.events if e.kind == KIND]
    assert first.data["reason"] == "Up_Probe_Success" and first.data["rule"] == "rule-1521"


def test_what_cannot_be_asked_is_noted_once_and_asked_again(server: ArmServer, watched: Timeline) -> None:
    server.spoiled["/health"] = (403, {}, {"error": {"code": "AuthorizationFailed", "message": "to perform action 'a/health/action' over"}})
    wait_for(watched, "could not be read")
    said = [t for t in texts(watched) if "could not be read" in t]
    assert len(said) == 1 and "a/health/action" in said[0]
    server.spoiled.clear()
    wait_for(watched, "lknode02: Azure's own view: Down")


def test_it_ends_at_once_though_azure_does_not_answer(server: ArmServer) -> None:
    server.never_ends = True
    cluster = azure_payloads.cluster(azure=server.table())
    assert cluster.azure is not None
    watch = HealthWatch(cluster, sdk_clients.make_clients(cluster.azure), Timeline())
    watch.start()
    Deadline(120).wait_for(lambda: any("/health" in r for r in server.requests), what="the first asking")
    before = Deadline(10)
    watch.close()
    before.require("closing the watch")


def test_an_operation_without_end_is_bounded(server: ArmServer) -> None:
    server.never_ends = True
    cluster = azure_payloads.cluster(azure=server.table())
    assert cluster.azure is not None
    there = sdk_clients.make_clients(cluster.azure)
    balancer = resource_reader.balancer(there, cluster.vip)
    with pytest.raises(DeadlineExceeded, match="longer than 1 s"):
        backend_health.read_member_health(there, balancer, balancer.rules[0], Deadline(1.0))


def test_one_rule_is_asked_for_each_pool_and_probe() -> None:
    wire = azure_payloads.Wire()
    wire.rules[2]["properties"].pop("probe")
    found = backend_health.rules_to_ask(wire.seen().balancer, azure_payloads.cluster().vip)  # type: ignore[arg-type]
    assert [r.name for r in found] == ["rule-1521"]


def event(at: float, node: str, reason: str, **over: Any) -> dict[str, Any]:
    return {"at": at, "source": node, "kind": KIND, "text": "", "data": {"state": "Up", "reason": reason}, **over}


def test_chart_rows_show_what_was_known_when(tmp_path: Path) -> None:
    events = [
        event(5.0, "lknode01", "Up_Probe_Success"),
        event(12.0, "lknode01", "Down_Probe_TcpProbeTimeout"),
        event(15.0, "lknode02", "Up_Probe_Success"),
        event(99.0, "lknode03", "Up_Probe_Success"),
        {"at": 11.0, "source": "azure", "kind": KIND, "text": "could not be read"},
        {"at": 11.0, "source": "lknode01", "kind": "else", "data": {"state": "x"}},
    ]
    first, second = chart_rows(events, 10.0, 20.0)
    assert (first.name, first.spans) == (
        "Azure on lknode01", [(10.0, 12.0, "Up_Probe_Success"), (12.0, 20.0, "Down_Probe_TcpProbeTimeout")]
    )  # fmt: skip
    assert second.spans == [(10.0, 15.0, "unknown"), (15.0, 20.0, "Up_Probe_Success")]
    assert chart_rows([], 0.0, 1.0) == []
