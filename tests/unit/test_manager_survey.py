"""What a look makes of a manager that cannot tell whether the next failover would work."""

from __future__ import annotations

import pytest

from harness.check.manager_survey import not_known
from harness.core.finding import Weight
from harness.managers.manager import NOT_ASKED, Answer, ClusterState, CommPath, NodeState, Question, ResourceState, Says

UNREAD = Answer(Says.CANNOT_TELL, ("lknode02: its flags could not be read",))


def state(alive: bool = True) -> ClusterState:
    path = (CommPath("peer", "10.20.1.11/10.20.1.12", alive),)
    words = {"lknode01": ResourceState.IN_SERVICE, "lknode02": ResourceState.STANDBY}
    return ClusterState({name: NodeState(name, True, {"ip": word}, path) for name, word in words.items()})


def test_what_cannot_be_told_is_not_taken_for_a_yes() -> None:
    (one,) = not_known(state(), "lknode02", dict.fromkeys((Question.LOST, Question.FAILED), UNREAD))
    assert one.weight is Weight.UNKNOWN and one.host == "lknode02"
    assert all(words in one.says for words in ("is lost or a failover because a resource fails", "cannot be told", "its flags"))


def test_each_reason_is_told_with_its_question() -> None:
    found = list(not_known(state(), "lknode02", {Question.LOST: UNREAD, Question.FAILED: Answer(Says.CANNOT_TELL, ("other",))}))
    assert [("is lost" in f.says, "resource fails" in f.says) for f in found] == [(True, False), (False, True)]


@pytest.mark.parametrize("told", [Answer(Says.YES), Answer(Says.NO, ("a ban",))], ids=str)
def test_an_answer_is_none_of_its_business(told: Answer) -> None:
    assert not list(not_known(state(), "lknode02", {Question.LOST: told}))


def test_of_a_cluster_that_is_not_healthy_it_is_said_elsewhere() -> None:
    assert not list(not_known(state(alive=False), "lknode02", {Question.LOST: UNREAD}))


def test_an_adapter_that_does_not_ask_leaves_a_note() -> None:
    (one,) = not_known(state(), "lknode02", {Question.LOST: NOT_ASKED})
    assert one.weight is Weight.NOTE
