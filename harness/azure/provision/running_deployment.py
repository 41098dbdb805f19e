"""A run's deployment as Azure knows it by its name, whoever started it: how it stands, and making it end before its time."""

from __future__ import annotations

from collections.abc import Callable

from harness.azure.client import error_mapping
from harness.azure.client.arm import Arm
from harness.azure.client.operation_runner import OperationRunner
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError

Say = Callable[[str], None]
ENDED = ("Succeeded", "Failed", "Canceled")
UNSEEN = "not to be seen yet"
CANCELLATION_TIMEOUT_S = 900.0  # for a cancelled deployment's end


def name_of(run: str) -> str:
    """The name of a run's deployment."""
    return f"lkharness-{run}"


class Running:
    """The deployment of one run in one resource group (its id). `operations` reads again when only the way to Azure fails, and says so."""

    def __init__(self, arm: Arm, group: str, run: str, say: Say) -> None:
        self.name = name_of(run)
        self.where = f"{group}/providers/Microsoft.Resources/deployments/{self.name}"
        self.operations = OperationRunner(arm.clients, lambda source, kind, text, **data: say(text))
        self._arm = arm
        self._say = say
        self._cancel_noted = self._cancelled = False

    def exists(self) -> bool:
        """Whether Azure knows the deployment."""
        return self._arm.exists(self.where, "looking for the deployment")

    def state(self, deadline: Deadline, visible_deadline: Deadline) -> str:
        """Raises NotThere when Azure does not show it once `visible_deadline` is over: a fresh one may take a moment."""

        def now() -> str:
            return self._arm.get(self.where, "reading the deployment")["properties"]["provisioningState"]

        try:
            return self.operations.read(now, deadline, "reading the deployment")
        except error_mapping.NotThere:
            if visible_deadline.expired:
                raise
            return UNSEEN

    def stop(self, limit: Deadline, visible_deadline: Deadline) -> None:
        """Cancel it if it still goes on, and wait for its end: only then is what it made all there is.

        One that may not be cancelled is waited for all the same. Raises NotThere as `state` does, and DeadlineExceeded.
        """
        every = self._arm.clients.azure.poll_s
        limit.wait_for(
            lambda: self._cancel_and_read_state(limit, visible_deadline),
            until=lambda s: s in ENDED,
            what=f"the end of {self.name}",
            every=every,
        )

    def _cancel_and_read_state(self, limit: Deadline, visible_deadline: Deadline) -> str:
        state = self.state(limit, visible_deadline)
        if state not in ENDED and not self._cancel_noted:
            self._cancel_noted = True
            self._say(f"cancelling the deployment {self.name}, and waiting for its end")
        if state not in (*ENDED, UNSEEN) and not self._cancelled:
            self._cancelled = self._cancel()
        return state

    def _cancel(self) -> bool:
        """Is there no use in asking again? One that has just ended refuses to be cancelled, and the next look shows it."""
        try:
            self._arm.post(f"{self.where}/cancel", "cancelling the deployment")
        except error_mapping.NotAllowed as error:
            self._say(f"{error}; waiting for its own end")
        except HarnessError as error:
            self._say(f"{error}; looking again")
            return False
        return True
