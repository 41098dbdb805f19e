"""A budget that is known only when the disruption is done: what Azure took for it is not the cluster's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from recordings import A, B, Script, a_header, marks, play, store

from harness.core.deadline import Deadline
from harness.core.verdict import Outcome
from harness.diagnosis.outages.budget_terms import share, terms
from harness.disrupt.azure import azure_base, azure_power
from harness.disrupt.azure.azure_power import AzurePowerOff, AzureRedeploy, AzureRestart, ByAzurePower
from harness.expectations.outage_budget import Allowance
from harness.measure.evaluation.recording_evaluation import evaluate
from harness.remote.recording.recording import Budget, Recording, read

ORDERED, TAGGED_S, OBEYED_S = 2.0, 5.0, 28.0
OWN = Allowance(8.1, "takeover 2 + first probe 6.1 s")


class Clock:
    """What stands for `time`: it goes only where it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return self.now

    monotonic = time


class Obeyed(ByAzurePower):
    """Tags in 5 s, and falls silent 28 s after the order."""

    name = "obeyed"
    clock: Clock

    def _do(self, deadline: Deadline) -> None:
        self._subject.hosts = {self._node: SimpleNamespace(alive=lambda limit: True)}
        super()._do(deadline)

    def _own_allowance(self) -> Allowance:
        return OWN

    def _operation(self) -> Deadline:
        return Deadline(60)

    @property
    def _runner(self) -> Any:
        return SimpleNamespace(before_send=None)

    def _undoing(self) -> Any:
        return "id", None

    def _tag(self, resource: str, undo: Any) -> None:
        self.clock.now += TAGGED_S

    def _trigger(self, deadline: Deadline) -> Any:
        return SimpleNamespace(refused=None, poll_error="")

    def _is_gone(self) -> bool:
        silent = TAGGED_S + OBEYED_S
        last_heard = self.clock.now >= silent - 0.5
        self.clock.now = min(silent, max(silent - 1.0, self.clock.now + 0.5))
        return last_heard


def done(monkeypatch: pytest.MonkeyPatch, orderly: bool) -> ByAzurePower:
    clock = Clock()
    monkeypatch.setattr(azure_base, "time", clock)
    monkeypatch.setattr(azure_power, "time", clock)
    kind = type("Kind", (Obeyed,), {"orderly": orderly, "clock": clock, "expects": AzureRestart.expects, "sentence": ""})
    one: ByAzurePower = kind(SimpleNamespace(active=A, absent=set()))
    assert one.counted_allowance() == one.allowance() == OWN  # nothing is known yet
    one.begin(Deadline(60))
    return one


def obeyed_late(known: Allowance | None, *, out_s: float = 3.0) -> Recording:
    """Ordered at 2.0, silent at 30.0, and the peer serves `out_s` later."""
    silent = ORDERED + OBEYED_S
    script = Script([(0, A), (silent, None), (silent + out_s, B)], [(0, A), (silent, None), (silent + out_s - 0.5, B)])
    expects = {"client": "recovers", "inside": "recovers", "standby": "any"}
    recording = play(a_header(disruption="azure VM restart", moves=None, expects=expects), script, end=silent + out_s + 5.0)
    if known:
        recording.budgets.append(Budget(silent, known.seconds, known.because))
    return marks(recording, begin=ORDERED, done=silent, took_effect=silent)


def test_what_azure_took_counts_where_it_begins_with_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    one = done(monkeypatch, orderly=True)
    assert one.moment is not None and one.moment.before == TAGGED_S
    known = one.counted_allowance()
    assert known.seconds == pytest.approx(OWN.seconds + OBEYED_S)  # the tag came before the order
    assert one.allowance().seconds == pytest.approx(OWN.seconds + TAGGED_S + OBEYED_S)  # counted from when it was begun
    assert evaluate(obeyed_late(known)).verdict.outcome is Outcome.PASS
    assert evaluate(obeyed_late(known, out_s=9.0)).verdict.outcome is Outcome.FAIL
    assert share("noticed", terms(known.because)) == (("noticed",), OBEYED_S)


def test_what_azure_took_does_not_count_where_it_begins_with_the_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a takeover that was too slow would pass."""
    one = done(monkeypatch, orderly=False)
    assert one.moment is not None and one.moment.before >= TAGGED_S + OBEYED_S - 1.0
    assert one.counted_allowance() == OWN


def test_which_begin_with_the_order() -> None:
    assert AzureRestart.orderly and AzureRedeploy.orderly and not AzurePowerOff.orderly


def test_a_stored_recording_is_judged_by_what_was_known_in_the_end(tmp_path) -> None:
    """A budget given later still counts before it; a recording of before, which has none, is judged by its header."""
    recording = obeyed_late(Allowance(36.1, "until Azure had done it 28.0 + takeover 2 + first probe 6.1 s"))
    result = evaluate(read(store(recording, tmp_path / "recording.jsonl")))
    assert result.verdict.outcome is Outcome.PASS and result.budget_s == 36.1
    assert result.budget_because.startswith("until Azure had done it 28.0")
    assert [text for _, _, text in result.log if text.startswith("the budget is 36.10 s")]
    assert evaluate(recording, budget_s=5.0).verdict.outcome is Outcome.FAIL
    old = evaluate(obeyed_late(None))
    assert old.budget_s == 8.1 and "recovered 31.00 s after the disruption of 8.10 s allowed" in old.verdict.reason
