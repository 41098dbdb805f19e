"""The one deadline primitive. Nothing here measures how fast this machine is: only order and least times."""

from __future__ import annotations

import time

import pytest

from harness.core import deadline as deadline_module
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded


def long_ago(seconds: float) -> Deadline:
    """A deadline that ended a while ago."""
    return Deadline(seconds, anchor=time.monotonic() - 100)


def test_it_counts_from_its_anchor():
    """Time spent before the deadline was made counts: it is anchored at the disruption, not at the check."""
    deadline = Deadline(1000, anchor=time.monotonic() - 400)
    assert 0 < deadline.remaining() <= 600 and deadline.elapsed() >= 400
    assert not deadline.expired and long_ago(99).expired


def test_nothing_is_left_never_less():
    deadline = long_ago(1)
    assert deadline.remaining() == 0.0 == deadline.within(5)


def test_within_is_the_shorter():
    deadline = Deadline(1000)
    assert deadline.within(5) == 5
    assert deadline.within(5000) <= 1000


def test_require_names_what_was_late():
    Deadline(1000).require("the greeting")
    with pytest.raises(DeadlineExceeded, match=r"^the greeting took longer than 2\.5 s$"):
        long_ago(2.5).require("the greeting")


def test_wait_for_returns_what_was_read():
    """The value itself, as soon as the condition holds, and no reading after it."""
    values = iter([0, 3, 7, 9])
    assert Deadline(10).wait_for(lambda: next(values), until=lambda v: v > 5, what="a big number", every=0.001) == 7
    assert next(values) == 9


def test_an_ended_deadline_still_looks_once():
    """A slow reader is not cheated of its last look, and of no more than that."""
    looks = []
    assert long_ago(1).wait_for(lambda: looks.append(1) or "seen", what="it") == "seen"
    with pytest.raises(DeadlineExceeded):
        long_ago(1).wait_for(lambda: looks.append(1), what="it")
    assert len(looks) == 2


def test_it_looks_once_more_at_the_very_end():
    """What comes true during the last pause is seen, however long the pause between looks is."""
    deadline = Deadline(0.05)
    assert deadline.wait_for(lambda: deadline.expired, what="the end", every=1000.0)


def test_a_slow_reader_gets_its_last_look():
    """A look that began in time and ended late saw the past; what holds at the end is looked at anew."""
    deadline = Deadline(0.02)
    looks = []

    def slow() -> bool:
        looks.append(deadline.expired)
        if len(looks) == 1:
            Deadline(1000).wait_for(lambda: deadline.expired, what="the end", every=0.005)
            return False
        return True

    assert deadline.wait_for(slow, what="it")
    assert looks == [False, True]


@pytest.mark.parametrize(("waits_s", "pause_s"), [(0.0, 2.0), (1.5, 0.5), (2.0, 0.1)])
def test_what_a_question_waits_itself_is_no_load_that_has_to_be_spread(monkeypatch, waits_s, pause_s):
    """It takes 2 s: as long a pause follows, but for what it only waited."""
    now, pauses = [0.0], []
    monkeypatch.setattr(deadline_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(deadline_module, "_pause", pauses.append)
    answers = iter([False, True])

    def take_two_seconds() -> bool:
        now[0] += 2.0
        return next(answers)

    assert Deadline(60).wait_for(take_two_seconds, what="it", waited_s=lambda: waits_s)
    assert pauses == [pytest.approx(pause_s)]


def test_the_complaint_has_the_last_value():
    """What, for how long, and the last thing seen."""
    with pytest.raises(DeadlineExceeded, match=r"^the VIP moving did not happen within 0\.02 s; last seen: lknode01$"):
        Deadline(0.02).wait_for(lambda: "lknode01", until=lambda s: s == "lknode02", what="the VIP moving", every=0.005)


def test_an_error_of_the_reader_is_not_retried():
    """Only the condition is waited for; what the reader raises is the caller's."""
    with pytest.raises(ZeroDivisionError):
        Deadline(1000).wait_for(lambda: 1 / 0, what="nonsense")
