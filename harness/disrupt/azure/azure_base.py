"""What Azure does to the cluster, through its management API: the common part. No Azure package is imported before one is used.

A tag on the resource says what to undo before anything is done, so whoever finds it can: the harness, `lkharness azure heal` from any
machine, and, on an attached cluster, the watchdog beside a harness that is killed.
"""

from __future__ import annotations

import importlib.util
import math
import shlex
import sys
import time
from abc import abstractmethod
from typing import TYPE_CHECKING

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, HarnessError, Inconclusive, Unusable
from harness.disrupt.disruption import HARNESS, Disruption, Moment, Step, clear_failures

if TYPE_CHECKING:
    from harness.azure.client.operation_runner import OperationRunner
    from harness.azure.faults.undo_tag import Undo
    from harness.cluster.cluster_under_test import ClusterUnderTest
    from harness.config.cluster_config import Azure

MAX_OPERATIONS = 6  # tagging, doing and seeing it; then the end of what still goes on, and an undoing, which has twice the time
MAX_UNDO_TAGS = 2  # that one run may have at a time: a disruption within another
UNDO_START_TIMEOUT_S = 30.0  # until its program has started, logged in and ended


class NotPermitted(Inconclusive):
    """What was asked right before the deed speaks against it; it was not sent."""


class ByAzure(Disruption):
    """Says what is tagged, done and undone."""

    by_azure = True
    on_windows = ""  # the node has no part in it
    undo_blindly = True
    call = ""  # what is asked of Azure, for the plan: METHOD path

    def __init__(self, subject: ClusterUnderTest) -> None:
        super().__init__(subject)
        self._cached_runner: OperationRunner | None = None
        self._tagged: tuple[str, Undo] | None = None
        self._disturbed = False  # may the resource be disturbed by us, or does it bear our tag at most?
        self._took_s = 0.0  # what `begin` took, until Azure had done it

    @property
    def lasts_s(self) -> float:
        """Counted from `begin`, so with what Azure took until it was done."""
        return super().lasts_s + self._took_s

    @property
    def longest_s(self) -> float:
        """Nobody but the harness, its watchdog or `lkharness azure heal` undoes it."""
        return math.inf

    @property
    def command_s(self) -> float:
        """Looking for the tags, and undoing each; for an operation there is twice its limit."""
        return (1 + MAX_UNDO_TAGS) * 2 * self._azure.operation_limit_s + UNDO_START_TIMEOUT_S

    @property
    def undoing(self) -> str:
        return "by the harness; if it dies, by `lkharness azure heal` from anywhere, as a tag on the resource says"

    def skip_reason(self) -> str | None:
        if self._subject.cluster.azure is None:
            return "the cluster file has no [azure] table"
        if importlib.util.find_spec("azure") is None:
            return 'the Azure packages are not installed; install them with: pip install "lkharness[azure]"'
        return None

    def steps(self) -> list[Step]:
        from harness.azure.faults.undo_tag import RUN
        from harness.azure.faults.undo_tag_validation import Ours

        settings, ours = self._azure.model_dump_json(exclude_defaults=True), Ours.of(self._subject.cluster).text()
        heal = [sys.executable, "-m", "harness.azure.faults.undo_leftovers", settings, RUN, ours]
        return [Step(HARNESS, "do", f"{self.call} on {self.target()}, by Azure"), Step(HARNESS, "undo", shlex.join(heal))]

    @property
    def _undone_within_s(self) -> float:
        """How long after it tagged a run that lives has undone it at the latest."""
        return self._outlasting() + self._subject.cluster.manager.boot_s + MAX_OPERATIONS * self._azure.operation_limit_s

    @property
    def _azure(self) -> Azure:
        azure = self._subject.cluster.azure
        assert azure is not None  # `skip_reason` said so
        return azure

    @property
    def _runner(self) -> OperationRunner:
        if self._cached_runner is None:
            from harness.azure.client.operation_runner import make_operation_runner

            self._cached_runner = make_operation_runner(self._azure, self._subject.timeline.note)
        return self._cached_runner

    def _operation(self) -> Deadline:
        """One operation of Azure's, which may take longer than the cluster's own budgets."""
        return Deadline(self._azure.operation_limit_s)

    def begin(self, deadline: Deadline) -> None:
        """Tag, do, and see it done. What Azure needs for it is not the cluster's time: it has a limit of its own (operation_limit_s).

        Raises Foreign for a resource that bears somebody's tag already; Inconclusive when it cannot be seen done in time.
        """
        began = time.monotonic()
        try:
            self._tag(*self._undoing())
            before = time.time()
            self._do_if_permitted()
            self.moment = self.moment or Moment(HARNESS, before, time.time())
            self._took_s = max(time.monotonic() - began, 0.001)
        except DeadlineExceeded as error:
            raise Inconclusive(f"{self.name}: {error}") from error

    def _do_if_permitted(self) -> None:
        """Lease and role are asked right before each time that something is sent: reading, tagging, throttling may have taken minutes."""
        is_sent, runner = False, self._runner

        def ask() -> None:
            nonlocal is_sent
            self._demand_permission()
            is_sent = True

        self._disturbed = True
        runner.before_send = ask
        try:
            self._do(self._operation())
        except NotPermitted:
            if not is_sent:  # nothing but the tag is to be undone
                self._disturbed = False
                self._subject.absent.discard(self.target())
            raise
        finally:
            runner.before_send = lambda: None

    def _demand_permission(self) -> None:
        """Raises NotPermitted. Within another disruption no node is active, so that only the lease is asked."""
        reason = self._subject.lost()
        if not reason and all(other is self for other in self._subject.standing):
            try:
                self._subject.permit(self)
            except HarnessError as error:
                reason = str(error)
        if reason:
            raise NotPermitted(f"{self.name} was not done: {reason}")

    def _tag(self, resource: str, undo: Undo) -> None:
        from harness.azure.faults.undo_tag import Foreign, UndoTags

        undo.text()  # one that fits into no tag is told while nothing is tagged
        name, tags = resource.rpartition("/")[2], UndoTags(self._runner.arm)
        self._tagged = resource, undo  # even when no answer comes, the tag may be there
        try:
            self._runner.read(lambda: tags.write(resource, undo), self._operation(), f"tagging {name}")
        except Foreign:
            self._tagged = None  # what is disturbed there is another's, who relies on it
            raise
        self._runner.say(f"{name} bears a tag with what to undo: {undo}")

    @abstractmethod
    def _undoing(self) -> tuple[str, Undo]:
        """The resource's id and what undoes it; reads in Azure, and changes nothing."""

    def _demand_healable(self, resource: str) -> str:
        """The resource. Raises Inconclusive when it is in another resource group, where nobody who heals would look for its tag."""
        if not self._is_ours(resource):
            raise Inconclusive(
                f"{self.name} was not done: {resource.rpartition('/')[2]} is in the resource group {resource.split('/')[4]}, and what is "
                f"undone by `lkharness azure heal` must be in {self._azure.resource_group}; move it there, or leave this disruption out"
            )
        return resource

    def _is_ours(self, resource: str) -> bool:
        """Is it in the cluster file's resource group?"""
        return resource.split("/")[4].lower() == self._azure.resource_group.lower()

    @abstractmethod
    def _do(self, deadline: Deadline) -> None:
        """Do it, and return when it is seen to have taken effect in Azure."""

    def undo(self, deadline: Deadline) -> None:
        """By what the tag says, as `lkharness azure heal` would; its time is Azure's own again."""
        try:
            if self._tagged is not None:
                limit = Deadline(max(deadline.remaining(), 2 * self._azure.operation_limit_s))
                self._undo_what_was_tagged(*self._tagged, limit)
                self._tagged = None
                if self._disturbed:
                    self._finish_undo(deadline)
                self._runner.say(f"{self.name}: undone")
        finally:
            if self._cached_runner is not None and self._tagged is None:
                self._cached_runner.clients.close()
                self._cached_runner = None

    def _undo_what_was_tagged(self, resource: str, undo: Undo, limit: Deadline) -> None:
        from harness.azure.faults import undo_leftovers
        from harness.azure.faults.undo_tag import BY_HAND

        try:
            if self._disturbed:
                undo_leftovers.undo(self._runner, resource, undo, limit, settled=True)
            else:
                undo_leftovers.untag(self._runner, resource, undo, limit)
        except HarnessError as error:
            raise Unusable(f"{self.name} is not undone: {error}; if the run's end does not fix it, run {BY_HAND}") from error

    def _finish_undo(self, deadline: Deadline) -> None:
        """What is left to do when Azure's part is undone."""
        try:
            clear_failures(self._subject, deadline)
        except HarnessError as error:
            self._runner.say(f"{self.name}: marks of failure could not be looked for: {error}")
            raise
