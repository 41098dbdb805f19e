"""An audit asks beside the cluster's state what does not depend on it; only a pass of a cluster that was whole then counts that early."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.cluster import cluster_audit
from harness.core.errors import DeadlineExceeded
from harness.core.verdict import Outcome, Verdict, failed, passed
from harness.hosts.host import HostUnreachable
from harness.hosts.linux.linux_parse import InterfaceAddress

PLACED = [InterfaceAddress("eth1", "10.20.2.11", 24, "UP"), InterfaceAddress("eth1", "10.20.1.200", 32, "UP")]
AWAY: list[InterfaceAddress] = []


def audited(
    monkeypatch: pytest.MonkeyPatch,
    *,
    whole: list[bool],
    left: list[Verdict | Exception],
    vip: list[list[InterfaceAddress]],
    undone: bool = True,
) -> tuple[Verdict, dict[str, int]]:
    """`whole`, `left` and `vip` are what is found at one asking after the other, the last one from then on."""
    asked = {"state": 0, "left": 0, "vip": 0}

    def told(what: str, answers: list[Any]) -> Any:
        asked[what] += 1
        found = answers[min(asked[what], len(answers)) - 1]
        if isinstance(found, Exception):
            raise found
        return found

    def state() -> Any:
        return SimpleNamespace(healthy=told("state", whole), active="lknode01")

    def wait(deadline: object) -> Any:
        for _ in range(3):
            if (found := state()).healthy:
                return found
        raise DeadlineExceeded("the cluster being whole: not within 1 s")

    nodes = [SimpleNamespace(name="lknode01", second_address="10.20.2.11")]
    cluster = SimpleNamespace(
        manager=SimpleNamespace(boot_s=1.0, takeover_s=1.0),
        nodes=nodes,
        vip="10.20.1.200",
        node=lambda name: nodes[0],
        ip_resource=SimpleNamespace(prefix=32),
    )
    subject: Any = SimpleNamespace(
        cluster=cluster,
        state=state,
        facts={"lknode01": SimpleNamespace(addresses=lambda: told("vip", vip))},
        together=lambda *work: [one() for one in work],
        wait_until_healthy=wait,
    )
    monkeypatch.setattr(cluster_audit, "nothing_left", lambda subject: told("left", left))
    monkeypatch.setattr(cluster_audit, "probe_answered", lambda subject, active: passed("the probe"))
    monkeypatch.setattr(cluster_audit, "_check_balancer", lambda subject, active: passed("the balancer"))
    return cluster_audit.audit(subject, undone=undone), asked


def test_a_healthy_cluster_is_asked_everything_once(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict, asked = audited(monkeypatch, whole=[True], left=[passed("nothing")], vip=[PLACED])
    assert verdict and asked == {"state": 1, "left": 1, "vip": 1}


def test_what_was_found_before_the_cluster_was_whole_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict, _ = audited(monkeypatch, whole=[False, True], left=[passed("nothing"), failed("left behind: x")], vip=[PLACED])
    assert verdict.outcome is Outcome.FAIL and "left behind: x" in verdict.reason
    verdict, _ = audited(monkeypatch, whole=[False, True], left=[passed("nothing")], vip=[PLACED, AWAY])
    assert verdict.outcome is Outcome.FAIL and "nowhere" in verdict.reason


def test_what_passes_a_moment_later_is_no_fault_and_what_stays_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict, _ = audited(monkeypatch, whole=[True], left=[failed("left behind: x"), passed("nothing")], vip=[AWAY, PLACED])
    assert verdict
    verdict, _ = audited(monkeypatch, whole=[True], left=[failed("left behind: x")], vip=[PLACED])
    assert verdict.outcome is Outcome.FAIL


def test_a_host_that_boots_is_waited_for_and_one_that_stays_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = HostUnreachable("lknode01: no answer")
    verdict, _ = audited(monkeypatch, whole=[False, True], left=[gone, passed("nothing")], vip=[PLACED])
    assert verdict
    with pytest.raises(HostUnreachable, match="no answer"):
        audited(monkeypatch, whole=[True], left=[gone], vip=[PLACED])


def test_a_cluster_that_does_not_become_whole_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict, _ = audited(monkeypatch, whole=[False], left=[passed("nothing")], vip=[PLACED])
    assert verdict.outcome is Outcome.FAIL and "being whole" in verdict.reason


def test_after_what_only_read_nobody_looks_for_what_a_disruption_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict, asked = audited(monkeypatch, whole=[True], left=[failed("left behind: x")], vip=[PLACED], undone=False)
    assert verdict and asked == {"state": 1, "left": 0, "vip": 1}
    verdict, _ = audited(monkeypatch, whole=[True], left=[], vip=[AWAY], undone=False)
    assert verdict.outcome is Outcome.FAIL  # the rest holds after every test
