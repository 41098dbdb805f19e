"""Which worker process runs which file of tests (docs/testing.md). It needs pytest-xdist, which only the harness's own tests have."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

WITHOUT_LAB = "tests/unit/"  # as ids of tests begin
MIN_WORKERS = 3  # fewer all take from the front


class ComputeBesideLabs(LoadFileScheduling):
    """The workers take files in their order, but the last worker only those that need no lab, from the end: what labs leave of
    the processors while they wait is used, and no more labs run side by side than before."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        self._beside = f"gw{self.numnodes - 1}" if self.numnodes >= MIN_WORKERS else None

    def _assign_work_unit(self, node: WorkerController) -> None:
        if node.gateway.id == self._beside:
            last = next(reversed(self.workqueue))
            if not last.startswith(WITHOUT_LAB):
                return  # the others have begun all of them
            self.workqueue.move_to_end(last, last=False)
        super()._assign_work_unit(node)
