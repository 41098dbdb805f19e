"""A service that was silent on an overloaded host is no certain cause: slow and hung look the same there."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from diagnosis_sample import CLUSTER, evidence, faults, path

from harness.cluster import host_load, path_check
from harness.cluster.host_load import judge_load
from harness.core.errors import DeadlineExceeded
from harness.core.verdict import Outcome
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import PathSeen

DATABASE = next(s for s in CLUSTER.services if s.kind == "postgres")
HUNG = "10.20.1.200:5432 did not complete the log-in within 10 s"
BUSY = "lknode01 has a load of 14.20 on 2 processors"
PRESSURE = "some avg10={} avg60=1.00 avg300=1.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"

# what LOOK printed, how long that took, what is said
LOADS = {
    "idle": ("0.10 0.10 0.10 1/100 5\n2\n" + PRESSURE.format("1.00"), 0.05, ""),
    "busy, and no more": ("5.00 0.10 0.10 1/100 5\n2\n" + PRESSURE.format("60.00"), 0.05, ""),
    "a load": ("14.20 0.10 0.10 1/100 5\n2\n", 0.05, "load of 14.20 on 2 processors"),
    "pressure": ("3.00 0.10 0.10 1/100 5\n2\n" + PRESSURE.format("97.31"), 0.05, "97 % of the last 10 s"),
    "a load of what waits for a disk": ("24.10 23.00 20.00 1/300 999\n2\n" + PRESSURE.format("0.00"), 0.05, ""),
    "pressure of one small process": ("0.30 0.10 0.10 1/100 5\n2\n" + PRESSURE.format("97.31"), 0.05, ""),
    "a stall": ("0.10 0.10 0.10 1/100 5\n2\n", 2.4, "took 2.4 s to run a command"),
    "nothing printed": ("", 0.05, ""),
    "no number": ("x\n\n", 0.05, ""),
}


@pytest.mark.parametrize("case", LOADS.values(), ids=LOADS)
def test_what_a_host_says_of_its_load(case: tuple[str, float, str]) -> None:
    said, seconds, words = case
    told = judge_load("lknode01", said, seconds)
    assert (words in told and told.startswith("lknode01 ")) if words else told == ""


def hung(origin: str, **more: Any) -> PathSeen:
    return path(origin, DATABASE, "fail", identity=HUNG, hung=True, **more)


def only_cause(*paths: PathSeen) -> Any:
    [cause] = [c for c in diagnose(evidence(paths=paths)).causes if "does not serve" in c.says]
    return cause


def test_a_service_that_was_silent_is_likely_to_hang_and_its_own_words_are_certain() -> None:
    assert only_cause(hung("client")).certainty is Certainty.LIKELY
    refused = path("client", DATABASE, "fail", identity="FATAL: 57P03: the database system is starting up")
    assert only_cause(refused).certainty is Certainty.CERTAIN


def test_on_an_overloaded_host_it_cannot_be_told() -> None:
    slow = replace(hung("client", overload=BUSY), outcome="inconclusive")
    cause = only_cause(slow, replace(hung("inside"), outcome="inconclusive"))
    assert cause.certainty is Certainty.POSSIBLE and BUSY in cause.says and "cannot be told apart" in cause.says
    assert faults(diagnose(evidence(paths=[slow]))) == []


@pytest.mark.parametrize(("busy", "outcome"), [("", Outcome.FAIL), (BUSY, Outcome.INCONCLUSIVE)])
def test_the_path_itself_is_not_failed_for_a_slow_host(busy: str, outcome: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: Any) -> None:
        raise DeadlineExceeded(HUNG)

    monkeypatch.setattr(path_check, "ask_over_the_path", silent)
    monkeypatch.setattr(path_check, "_connects_quickly", lambda *_: True)
    monkeypatch.setattr(path_check, "overload", lambda *_: busy)
    told = path_check.ask_identity(SimpleNamespace(cluster=CLUSTER), "lkclient", DATABASE, "lknode01")  # type: ignore[arg-type]
    assert told.verdict.outcome is outcome and told.hung and told.overload == busy


def test_the_hosts_that_take_part_are_asked_once_and_one_that_is_away_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(host_load, "_host_overload", lambda subject, name: asked.append(name) or f"{name} is busy")
    monkeypatch.setattr(host_load, "_own_load", str)
    subject = SimpleNamespace(
        absent={"lknode02"},
        machine=lambda name: SimpleNamespace(platform="linux"),
        runs_commands=lambda name: True,
        together=lambda *work: [one() for one in work],
    )
    assert host_load.overload(subject, "lknode01", "lknode01", "lknode02") == "lknode01 is busy"  # type: ignore[arg-type]
    assert asked == ["lknode01"]
