"""What a starting node of the LifeKeeper stand-in brings in service: whole hierarchies or nothing of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.lab.lifekeeper.hierarchy.failover_decision import Failover
from harness.lab.lifekeeper.resource_types.resource_type import Failed

TAGS = {"top", "database", "disk"}


class Disk:
    """Answers as it is told to, and then for ever as at last."""

    def __init__(self, *answers: str | Failed | None) -> None:
        self.answers, self.asked = list(answers), 0

    def taken_elsewhere(self) -> str | None:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Failed):
            raise answer
        return answer


def starting(disk: Disk) -> Failover:
    """A node whose peer is not heard, with one hierarchy."""
    other = SimpleNamespace(taken_elsewhere=lambda: None)
    comm = SimpleNamespace(peer_state=lambda tag: None, contact=lambda: False, peer={})
    engine: Any = SimpleNamespace(config=SimpleNamespace(), kinds={"top": other, "database": other, "disk": disk})
    tree = SimpleNamespace(hierarchy=lambda tag: set(TAGS))
    recovery: Any = SimpleNamespace(store=None, tree=tree, log=SimpleNamespace(write=lambda *a, **k: None), journal=None)
    switching: Any = SimpleNamespace(engine=engine, comm=comm)
    tunables: Any = SimpleNamespace()
    return Failover(switching, recovery, tunables)


@pytest.mark.parametrize(
    ("answers", "started"),
    [((None,), TAGS), (("lknode02",), set()), ((Failed("no answer within 30 s"), None), set()), ((None, Failed("no answer")), TAGS)],
)
def test_one_answer_of_the_shared_disk_counts_for_all_of_a_hierarchy(answers: tuple[str | Failed | None, ...], started: set[str]) -> None:
    """Seen: one answer of four came late, and all but the root was brought in service."""
    disk = Disk(*answers)
    assert starting(disk)._left_to_us(set(TAGS)) == started
    assert disk.asked == 1
