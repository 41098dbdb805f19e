"""What a measured disruption leaves in its recording for whoever judges it: what it may do, whether it came to its end, and why not."""

from __future__ import annotations

import contextlib
import time
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.deadline import Deadline
from harness.core.errors import HarnessError, Inconclusive
from harness.disrupt import disruption as base
from harness.disrupt.disruption import Effect
from harness.expectations.outage_budget import Allowance
from harness.measure import measured_disruption
from harness.measure.evaluation import disruption_traits
from harness.measure.measured_disruption import MeasuredDisruption, Start
from harness.remote.recording.recording import Budget, Mark


def test_a_recording_of_before_is_known_by_its_name():
    """What the header says now, of every disruption that there was when it did not say it."""
    kinds = base.all_of().values()
    assert {k.name for k in kinds if k.takes_away} == disruption_traits.TOOK_AWAY
    assert {k.name for k in kinds if k.shares} == disruption_traits.WAS_SHARED
    assert {k.name for k in kinds if k.longest_s is base.Disruption.longest_s} == disruption_traits.NOTHING_LASTED


class Around(MeasuredDisruption):
    """The order of things and what is written is the real thing; the cluster is not."""

    def __init__(self, steady: list[bool], *, does: Any = None) -> None:
        self.told: list[Any] = []
        self.warm_ups = 0
        answers = iter(steady)
        recorder = SimpleNamespace(add=self.told.append, broken="")
        meter: Any = SimpleNamespace(recording=lambda path, header: contextlib.nullcontext(recorder))
        meter.all_right = lambda hosts, node, *, since: next(answers)
        disruption: Any = SimpleNamespace(
            name="power loss",
            sentence="the power is cut",
            moment=None,
            allowance=lambda: Allowance(1.0, "known before"),
            counted_allowance=lambda: Allowance(29.0, "known now"),
            observations=tuple,
            not_done_there=str,
            begin=does or (lambda deadline: None),
            took_effect=lambda deadline: None,
            undo=lambda deadline: None,
        )
        manager = SimpleNamespace(takeover_s=1.0, boot_s=1.0)
        subject: Any = SimpleNamespace(
            active="lknode01",
            cluster=SimpleNamespace(manager=manager, machines=[]),
            permit=lambda disruption: None,
            lost=lambda: "",
            before_undoing=lambda: None,
            standing=[],
        )
        super().__init__(subject, meter, disruption)

    def _make_header(self, start: Start) -> Any:
        return None

    def _begin_tokens(self, writing: list[Any], recorder: Any) -> None:
        pass

    def _wait_until_steady(self, tokens: Any) -> None:
        self.warm_ups += 1

    def _follow(self, recorder: Any, tokens: Any) -> None:
        pass

    def _heal(self, recorder: Any) -> None:
        pass

    @property
    def kinds(self) -> list[str]:
        return [mark.kind for mark in self.told if isinstance(mark, Mark)]


def test_one_that_came_to_its_end(tmp_path):
    one = Around([True])
    one.record(tmp_path, Start())
    assert one.kinds == ["begin", "counted-from", "done", "took-effect", "undo-begin", "undone"]
    (budget,) = [told for told in one.told if isinstance(told, Budget)]
    assert (budget.seconds, budget.because) == (29.0, "known now")  # asked when it is done


class Lasting(Around):
    """One that nobody recovers from before it is undone; what arms its undoing takes a while."""

    _follow = MeasuredDisruption._follow

    def __init__(self, ahead_s: float = 0.0, *, out: bool = False) -> None:
        def armed_first(deadline: object) -> None:
            arming = Deadline(0.2)
            arming.wait_for(lambda: arming.expired, what="the arming", every=0.2)
            self._disruption.moment = base.Moment(measured_disruption.HARNESS, time.time() + ahead_s, time.time() + ahead_s)

        def seen_late() -> None:
            looking = Deadline(0.2)
            looking.wait_for(lambda: looking.expired, what="the look", every=0.2)

        super().__init__([True], does=armed_first)
        self._disruption.expects, self._disruption.lasts_s = {"nat": {"client": Effect.OUT} if out else {}}, 0.1
        self._disruption.took_effect = lambda deadline: seen_late() if out else None
        self._subject.cluster.design = "nat"


def test_it_lasts_from_when_it_happened_not_from_when_it_was_asked_for(tmp_path):
    one = Lasting()
    one.record(tmp_path, Start())
    at = {mark.kind: mark.at for mark in one.told if isinstance(mark, Mark)}
    assert at["undo-begin"] - at["begin"] >= 0.1


def test_what_must_be_out_lasts_from_when_it_was_seen(tmp_path):
    """From then on it is judged."""
    one = Lasting(out=True)
    one.record(tmp_path, Start())
    at = {mark.kind: mark.at for mark in one.told if isinstance(mark, Mark)}
    assert at["undo-begin"] - at["took-effect"] >= 0.1


@pytest.mark.timeout(60)
def test_a_host_whose_clock_is_ahead_makes_nothing_last_longer(tmp_path):
    one = Lasting(ahead_s=3600.0)
    one.record(tmp_path, Start())
    assert one.kinds[-1] == "undone"


def test_one_that_broke_says_why_in_its_recording(tmp_path):
    def refuses(deadline: object) -> None:
        raise HarnessError("power.off exits 1: Please run 'az login'")

    one = Around([True], does=refuses)
    with pytest.raises(HarnessError):
        one.record(tmp_path, Start())
    assert "took-effect" not in one.kinds and one.kinds[-1] == "broken-off"
    assert "az login" in one.told[-1].text


def test_one_that_was_interrupted_says_so(tmp_path):
    def interrupted(deadline: object) -> None:
        raise KeyboardInterrupt

    one = Around([True], does=interrupted)
    with pytest.raises(KeyboardInterrupt):
        one.record(tmp_path, Start())
    assert one.told[-1].text == "KeyboardInterrupt"


def test_paths_that_went_out_while_the_start_was_held_back_are_waited_for_again(tmp_path):
    one = Around([False, False, True])
    one.record(tmp_path, Start())
    assert one.warm_ups == 3 and "undone" in one.kinds


def test_paths_that_never_stay_right_are_no_beginning(tmp_path):
    one = Around([False] * measured_disruption.MAX_BEGINNINGS)
    with pytest.raises(Inconclusive, match="did not stay right"):
        one.record(tmp_path, Start())
    assert one.kinds == ["broken-off"]


def test_an_interrupt_is_not_replaced_by_what_the_undoing_raises(tmp_path):
    """The run would take it for a failed test, and go on to the next disruption."""

    def interrupt(deadline: object) -> None:
        raise KeyboardInterrupt

    def lose(deadline: object) -> None:
        raise base.EffectLost("the table had gone")

    one = Around([True], does=interrupt)
    one._disruption.undo = lose
    notes: list[str] = []
    one._subject.timeline = SimpleNamespace(note=lambda source, kind, text: notes.append(text))
    with pytest.raises(KeyboardInterrupt):
        one.record(tmp_path / "r", Start())
    assert notes and "the table had gone" in notes[0] and "broken-off" in one.kinds


def test_what_the_undoing_raises_stands_for_an_ordinary_failure(tmp_path):
    """What is still done to a host weighs more than what went wrong before."""

    def fail(deadline: object) -> None:
        raise HarnessError("no")

    def lose(deadline: object) -> None:
        raise base.EffectLost("the table had gone")

    one = Around([True], does=fail)
    one._disruption.undo = lose
    with pytest.raises(base.EffectLost):
        one.record(tmp_path / "r", Start())


def test_a_command_that_tells_a_moment_to_come_has_done_it_by_now(tmp_path):
    """A hypervisor's clock may be ahead; outages would lie before what caused them."""

    def power_off(deadline: object) -> None:
        one._disruption.moment = base.Moment(measured_disruption.HARNESS, time.time() + 3600, time.time() + 3600)

    one = Around([True], does=power_off)
    one.record(tmp_path / "r", Start())
    at = {mark.kind: mark.at for mark in one.told if isinstance(mark, Mark)}
    assert at["begin"] <= at["done"]
