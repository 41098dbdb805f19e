"""A cluster manager that permits everything but what a test says otherwise, for what asks before it disturbs."""

from __future__ import annotations

from collections.abc import Callable

from harness.managers.manager import Answer, ClusterState, Question, Says

YES = Answer(Says.YES)


def no(*because: str) -> Answer:
    return Answer(Says.NO, because)


def cannot_tell(*because: str) -> Answer:
    return Answer(Says.CANNOT_TELL, because)


class PermittingManager:
    """`asked` keeps what was asked, and to which node."""

    def __init__(
        self,
        state: ClusterState,
        *,
        unlisted_members: list[str] | None = None,
        switch: Callable[[Question], Answer] = lambda question: YES,
        fencing: Answer = YES,
        mirror: Answer = YES,
        boots: Answer = YES,
        failures: dict[str, tuple[int, int]] | None = None,
    ) -> None:
        self._state, self._unlisted_members, self._switch = state, unlisted_members or [], switch
        self._fencing, self._mirror, self._boots, self._failures = fencing, mirror, boots, failures or {}
        self.asked: list[tuple[str, Question]] = []

    def state(self, *, limit: float = 10.0) -> ClusterState:
        return self._state

    def unlisted_members(self, *, limit: float = 10.0) -> list[str]:
        return self._unlisted_members

    def may_switch_over(self, to: str, question: Question = Question.TOLD, *, limit: float = 10.0) -> Answer:
        self.asked.append((to, question))
        return self._switch(question)

    def fencing(self, *, limit: float = 10.0) -> Answer:
        return self._fencing

    def mirror(self, to: str, *, limit: float = 10.0) -> Answer:
        return self._mirror

    def starts_at_boot(self, *, limit: float = 10.0) -> Answer:
        return self._boots

    def failures_left(self, *, limit: float = 10.0) -> dict[str, tuple[int, int]]:
        return self._failures
