"""Which worker process runs which file of tests (docs/testing.md). It needs pytest-xdist, which only the harness's own tests have."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

WITHOUT_LAB = "tests/unit/"  # as ids of tests begin
OF_ONE_LAB = "tests/azure_lab/"  # whose tests share one, which the worker keeps to its end
MIN_WORKERS = 3  # fewer all take from the front
ONE_LEFT_OF = 6  # of so many files without a lab one is left to the other workers


class ComputeBesideLabs(LoadFileScheduling):
    """The workers take files in their order, but the last worker only those that need no lab, from the end: what labs leave of
    the processors while they wait is used, and no more labs run side by side than before. Some of these files it leaves to the others, for
    when there are no more labs to begin and the last ones are waited for."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        self._beside = f"gw{self.numnodes - 1}" if self.numnodes >= MIN_WORKERS else None
        self._left_to_others: int | None = None
        self._waiting: WorkerController | None = None  # the last worker, while nothing is for it

    def _split_scope(self, nodeid: str) -> str:
        return OF_ONE_LAB if nodeid.startswith(OF_ONE_LAB) else super()._split_scope(nodeid)

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        super().mark_test_complete(node, item_index, duration)
        if self._waiting is not None and self.workqueue and self._without_lab() == len(self.workqueue):
            waiting, self._waiting = self._waiting, None
            self._reschedule(waiting)

    def _assign_work_unit(self, node: WorkerController) -> None:
        if node.gateway.id == self._beside:
            left = self._without_lab()
            self._left_to_others = left // ONE_LEFT_OF if self._left_to_others is None else self._left_to_others
            if left < len(self.workqueue) and left <= self._left_to_others:
                self._waiting = node
                return
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)

    def _without_lab(self) -> int:
        """How many files are left that need none; they are the last ones."""
        return sum(name.startswith(WITHOUT_LAB) for name in self.workqueue)
