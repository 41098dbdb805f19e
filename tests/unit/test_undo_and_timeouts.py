"""A test's timeout never falls into an undoing: it has ended before the first of it is sent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.azure.faults.scheduled_events import pending
from harness.core.deadline import Deadline
from harness.core.errors import Unusable
from harness.disrupt import undo
from harness.disrupt.bases.host_fault_base import OnHost


class Sent:
    """A disruption whose undoing fails as often as is said, and a subject; `order` has what was done."""

    name, by_azure = "a cut", False

    def __init__(self, fails: int = 0) -> None:
        self.fails, self.order = fails, list[str]()
        self.subject: Any = SimpleNamespace(
            standing=[self],
            before_undoing=lambda: self.order.append("the timeout ends"),
            cluster=SimpleNamespace(manager=SimpleNamespace(boot_s=1.0)),
        )

    def undo(self, deadline: Deadline) -> None:
        self.order.append("undo")
        self.fails -= 1
        if self.fails >= 0:
            raise Unusable("refused")


def test_the_timeout_ends_before_anything_is_undone() -> None:
    one: Any = Sent()
    undo.undo(one.subject, one, Deadline(1.0))
    assert one.order == ["the timeout ends", "undo"] and one.subject.standing == []


def test_it_ends_before_what_is_undone_at_the_runs_end_too() -> None:
    one: Any = Sent(fails=1)
    assert undo.undo_what_stands(one.subject) == ["a cut is not undone: refused"] and one.subject.standing == [one]
    assert undo.undo_what_stands(one.subject) == [] and one.subject.standing == []
    assert one.order == ["the timeout ends", "undo"] * 2


def test_no_error_of_one_keeps_the_next_from_being_undone() -> None:
    """What a plug-in or a stranger's word ends with is no HarnessError."""
    first: Any = Sent()
    broken: Any = Sent()
    broken.name, broken.undo = "a broken one", lambda deadline: float("1764.%N")
    first.subject.standing = [first, broken]
    (fault,) = undo.undo_what_stands(first.subject)
    assert fault.startswith("a broken one is not undone: ValueError: could not convert")
    assert first.subject.standing == [broken] and first.order == ["the timeout ends", "the timeout ends", "undo"]


class Hold:
    """A host's hold; its undoing ends with an error, or well."""

    def __init__(self, name: str, error: Exception | None = None) -> None:
        self.host, self.error, self.undo_output = SimpleNamespace(name=name), error, ""

    def undo(self, deadline: Deadline) -> bool:
        if self.error:
            raise self.error
        return True


def test_a_hosts_word_that_nobody_expected_keeps_no_other_host_from_being_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[Any] = []
    one: Any = SimpleNamespace(
        name="a cut",
        _tasks=[],
        _armed=[Hold("lknode01"), Hold("lknode02", ValueError("could not convert"))],
        _undo_lines=[],
        _subject=SimpleNamespace(timeline=SimpleNamespace(note=lambda *words: noted.append(words))),
    )
    with pytest.raises(ValueError, match="could not convert"):
        OnHost.undo(one, Deadline(1.0))
    assert [hold.host.name for hold in one._armed] == ["lknode02"] and noted == [("lknode01", "undone", "a cut: undone")]


def test_an_answer_nested_without_end_is_an_answer_that_cannot_be_read() -> None:
    """A node's metadata service, or what stands in its place, may answer anything: an undoing asks it."""
    with pytest.raises(Unusable, match="cannot be read"):
        pending("[" * 100_000, "lknode01")
