"""A host that answers late is not gone, and neither is a NIC that the harness does not reach it by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded
from harness.disrupt.bases import host_silence
from harness.disrupt.network.nic_down import NicDownSubnet1, NicDownSubnet2
from harness.disrupt.node.power_loss import PowerLoss
from harness.hosts.host import HostUnreachable
from harness.lab.lifecycle import default_cluster


class Host:
    """Answers as it is told to, and then for ever as at last."""

    name = "lknode01"

    def __init__(self, *answers: bool, run: Callable[[], Any] | None = None) -> None:
        self._answers, self.limits, self._run = list(answers), list[float](), run

    def alive(self, *, limit: float = 2.0) -> bool:
        self.limits.append(limit)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def run(self, *of: object, **options: object) -> Any:
        assert self._run is not None
        return self._run()


def subject_of(host: Host, *, ssh_host: str = "") -> Any:
    data = default_cluster.cluster_data(overrides={"power": {"off": ["true"], "on": ["true"]}})
    data["nodes"] = [{**node, "ssh": {"host": ssh_host}} if ssh_host else node for node in data["nodes"]]
    cluster = cluster_config.parse(data, Path("x"))
    return SimpleNamespace(cluster=cluster, active="lknode01", hosts={"lknode01": host}, standby_of=lambda a: "lknode02")


@pytest.mark.parametrize(("answers", "silent"), [((False,), True), ((True,), False), ((False, True), False)])
def test_two_looks_in_a_row_without_an_answer_are_silence(answers, silent):
    assert host_silence.is_silent(Host(*answers)) is silent  # type: ignore[arg-type]


def test_a_command_that_took_nothing_away_is_not_seen_to_have(monkeypatch):
    """Every other answer of a busy node is late."""
    loss = PowerLoss(subject_of(Host(*[False, True] * 1000)))
    with pytest.raises(DeadlineExceeded, match="lknode01 falling silent"):
        loss.took_effect(Deadline(0.3))


def test_a_look_is_as_patient_as_the_way_is_long(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(host_silence.time, "monotonic", lambda: now[0])
    host = Host(True)

    def answer_after(seconds: float) -> float:
        monkeypatch.setattr(host, "alive", lambda limit: now.__setitem__(0, now[0] + seconds) or True)
        return host_silence.look_limit_s(host)  # type: ignore[arg-type]

    assert [answer_after(s) for s in (0.001, 0.2, 4.0)] == [host_silence.MIN_LOOK_S, pytest.approx(2.0), host_silence.MAX_LOOK_S]


@pytest.mark.parametrize(
    ("nic", "ssh_host", "severs"),
    [
        (NicDownSubnet1, "", True),
        (NicDownSubnet2, "", False),
        (NicDownSubnet2, "10.20.2.11", True),
        (NicDownSubnet1, "10.20.2.11", False),
        (NicDownSubnet2, "jump.example", True),
    ],
)
def test_which_nic_takes_the_harness_s_own_way_along(nic, ssh_host, severs):
    """By a name, or an outer address, it is not known where that leads."""
    assert nic(subject_of(Host(True), ssh_host=ssh_host)).severs is severs


def test_a_busy_node_is_no_nic_that_is_down():
    """It is reached by the other NIC; the arming was cut short, and nothing was done."""
    answers = iter([HostUnreachable("it is busy"), DeadlineExceeded("it is busy")])

    def look() -> Any:
        error = next(answers, None)
        if error is not None:
            raise error
        return SimpleNamespace(ok=False)

    one = NicDownSubnet2(subject_of(Host(False, run=look)))
    with pytest.raises(DeadlineExceeded, match=r"the NIC with 10\.20\.2\.11 on lknode01 going down"):
        one.took_effect(Deadline(0.3))
    assert next(answers, None) is None
