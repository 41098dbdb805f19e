"""What goes back at the end waits for an action of the manager that still runs, and is not killed by a limit of the harness."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.attach import restore
from harness.config import cluster_config
from harness.core.verdict import passed
from harness.hosts.detached_jobs import StillRunning
from harness.lab.lifecycle import default_cluster
from harness.managers.manager import Answer, Says

CLUSTER = cluster_config.parse(default_cluster.cluster_data(), Path("a test's"))


class Host:
    """Says `times` times that an action runs there."""

    def __init__(self, log: list[str], times: int) -> None:
        self.log, self.times = log, times

    def check(self, command: list[str], *, limit: float) -> str:
        assert "lkharness-unfinished" in command
        self.times -= 1
        self.log.append("ended" if self.times < 0 else "runs")
        return "perform_action -t grp -a restore\n" if self.times >= 0 else ""


def subject(log: list[str], times: int, switch_over) -> SimpleNamespace:
    active = ["lknode02"]

    def move(to: str, *, deadline: object) -> None:
        log.append(f"move to {to}")
        active[0] = to
        switch_over()

    manager = SimpleNamespace(
        may_switch_over=lambda to, **_: Answer(Says.YES),
        mirror=lambda to, **_: Answer(Says.YES),
        switch_over=move,
        state=lambda **_: SimpleNamespace(active=active[0], healthy=True, nodes={}),
        end_own_move=lambda node, *, deadline: None,
        by_hand_line=lambda to: "perform_action",
    )
    return SimpleNamespace(
        cluster=CLUSTER,
        hosts={"lknode01": Host(log, times), "lknode02": Host([], 0)},
        manager=manager,
        state=lambda **limit: manager.state(**limit),
        lost=str,
        stolen=str,
        takes_unproven=False,
        timeline=SimpleNamespace(note=lambda *words, **_: log.append(words[1])),
    )


@pytest.fixture(autouse=True)
def no_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "audit", lambda subject, **_: passed("it is whole"))


def test_nothing_is_asked_or_moved_while_an_action_runs():
    log: list[str] = []
    assert restore.put_back(subject(log, 2, lambda: None), "lknode01", patience_s=5.0)
    assert log == ["runs", "waiting", "runs", "ended", "put back", "move to lknode01"]


def test_its_own_action_may_take_longer_than_its_patience():
    """The deadline is the harness's; the action goes on, and what it comes to is what counts."""
    log: list[str] = []

    def late() -> None:
        one.hosts["lknode01"].times = 2
        raise StillRunning("lknode01: `perform_action` has not ended within 35 s")

    one = subject(log, 0, late)
    verdict = restore.put_back(one, "lknode01", patience_s=5.0)
    assert verdict, verdict.reason
    assert log[-5:] == ["move to lknode01", "runs", "waiting", "runs", "ended"]
