"""A test's timeout never falls into an undoing: it has ended before the first of it is sent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from harness.core.deadline import Deadline
from harness.core.errors import Unusable
from harness.disrupt import undo


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
