"""The acceptance suite's recovery: when a path has recovered, and what its figure is held against."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cluster import recovery_poll
from harness.cluster.single_flight import SharedQuestion
from harness.core.deadline import Deadline
from harness.core.errors import Inconclusive
from harness.core.verdict import Outcome, Verdict, failed, passed
from harness.expectations.connectivity_matrix import Origin
from harness.expectations.outage_budget import Allowance
from harness.report.record.run_record import PathName
from harness.report.record.run_verdict import judge_recovery

WHOLE = 24


def followed(
    monkeypatch: pytest.MonkeyPatch,
    verdicts: list[tuple[Verdict, Verdict]],
    *,
    budget: float = 60.0,
    steady_s: float = 0.0,
    does: Callable[[], object] = lambda: None,
) -> tuple[Any, list[int]]:
    """Follow one path whose looks end so: what one attempt says, and what all of them say."""
    looks = iter(verdicts)
    asked: list[int] = []
    current: list[tuple[Verdict, Verdict]] = []

    def check(*_: object, count: int | None = None) -> Any:
        asked.append(WHOLE if count is None else count)
        if count is not None:
            current[:] = [next(looks)]
            does()
        verdict = current[0][count is None]
        return SimpleNamespace(verdict=verdict, outcomes={verdict.reason: 1})

    monkeypatch.setattr(recovery_poll, "check_path", check)
    monkeypatch.setattr(recovery_poll, "POLL_INTERVAL_S", 0.01)
    service: Any = SimpleNamespace(name="listener")
    subject: Any = SimpleNamespace(cluster=SimpleNamespace(services=[service]), active="lknode02")
    subject.together = lambda *work: [one() for one in work]
    allowance = Allowance(budget, "for a test")
    (recovery,) = recovery_poll.follow(subject, [Origin.CLIENT], allowance, time.monotonic(), steady_s=steady_s)
    return recovery, asked


def test_a_pause_follows_what_an_attempt_did_but_not_what_it_waited_for_an_answer(monkeypatch):
    """A slow question to the manager loads its host; a SYN that nothing answers loads nobody."""
    now, pauses = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr("harness.core.deadline._pause", pauses.append)
    looks = [("silent", 1.1), ("refused", 1.1), ("silent", 3.0)]
    takes = iter(seconds for _, seconds in looks)
    verdicts = [(failed(outcome), failed(outcome)) for outcome, _ in looks] + [(passed("answered"), passed("answered"))]
    recovery, _ = followed(monkeypatch, verdicts, does=lambda: now.__setitem__(0, now[0] + next(takes, 0.0)))
    assert recovery.seconds is not None
    assert pauses == [pytest.approx(0.1), pytest.approx(1.1), pytest.approx(2.0)]


def test_one_right_attempt_is_no_recovery_while_others_go_elsewhere(monkeypatch):
    """Every other connection reaches the standby: one attempt in two is right, and of 24 some are not."""
    shared = (passed("answered"), failed("the standby refused"))
    recovery, asked = followed(monkeypatch, [shared, shared, (failed("silent"), failed("silent")), (passed("answered"), passed("all"))])
    assert asked == [1, WHOLE, 1, WHOLE, 1, 1, WHOLE]
    assert recovery.seconds is not None and recovery.last.verdict.reason == "all"


def test_a_path_that_is_shared_out_to_the_end_has_not_recovered(monkeypatch):
    shared = (passed("answered"), failed("the standby refused"))
    recovery, _ = followed(monkeypatch, [shared] * 1000, budget=0.1)
    assert recovery.seconds is None and recovery.last.verdict.outcome is Outcome.FAIL


def test_a_path_that_is_wrong_once_more_has_not_been_steady_before(monkeypatch):
    """The manager restarts the responder after the service: right, out for a moment, right from then on."""
    right, wrong = (passed("answered"), passed("all")), (failed("silent"), failed("silent"))
    recovery, asked = followed(monkeypatch, [right, right, wrong, *[right] * 1000], steady_s=0.1)
    assert asked[:5] == [1, WHOLE, 1, WHOLE, 1], "the third check is the one that is wrong"
    assert recovery.seconds is not None and len(asked) > 7, "right again is not yet steady"
    assert 0 < recovery.period <= recovery.seconds, "the figure is that of the first right check after the wrong one"


def test_a_path_that_is_wrong_every_other_time_is_never_steady(monkeypatch):
    right, wrong = (passed("answered"), passed("all")), (failed("silent"), failed("silent"))
    recovery, _ = followed(monkeypatch, [right, wrong] * 1000, budget=0.3, steady_s=0.1)
    assert recovery.seconds is None


@pytest.mark.parametrize(
    ("seconds", "period", "budget", "outcome"),
    [
        (2.30, 1.10, 2.25, Outcome.INCONCLUSIVE),  # recovered between 1.20 and 2.30 s
        (2.30, 1.10, 2.30, Outcome.PASS),
        (2.30, 1.10, 1.10, Outcome.FAIL),
        (2.30, 0.0, 2.25, Outcome.FAIL),
    ],
)
def test_a_recovery_is_an_interval_that_is_held_against_the_budget(seconds, period, budget, outcome):
    verdict = judge_recovery(PathName.CLIENT, seconds, budget, period=period)
    assert verdict.outcome is outcome, verdict
    if outcome is Outcome.INCONCLUSIVE:
        assert "1.20 s to 2.30 s" in verdict.reason


def test_what_paths_ask_at_the_same_time_is_asked_once_and_never_answered_with_what_was_before() -> None:
    """Three ask; while the manager answers the first, it moves everything, and only then do the others ask."""
    begun, go_on, moved = threading.Event(), threading.Event(), []
    asked: list[int] = []

    def ask() -> str:
        asked.append(len(asked))
        if len(asked) == 1:
            begun.set()
            assert go_on.wait(60)
            return "lknode01"
        return moved[0]

    question = SharedQuestion(ask)
    told: dict[str, str] = {}
    first = threading.Thread(target=lambda: told.update(first=question()))
    first.start()
    assert begun.wait(60)
    moved.append("lknode02")
    others = [threading.Thread(target=lambda n=n: told.update({n: question()})) for n in ("second", "third")]
    for one in others:
        one.start()
    Deadline(60).wait_for(lambda: question.waiting, until=lambda n: n == 2, what="both to wait", every=0.001)
    go_on.set()
    for one in (first, *others):
        one.join(60)
    assert told == {"first": "lknode01", "second": "lknode02", "third": "lknode02"} and len(asked) == 2


def test_an_error_is_of_those_who_asked_then_and_of_nobody_later() -> None:
    answers = iter([Inconclusive("no single node"), "lknode02"])

    def ask() -> str:
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    question = SharedQuestion(ask)
    with pytest.raises(Inconclusive):
        question()
    assert question() == "lknode02"
