"""The active node's virtual machine is powered off, restarted or redeployed by Azure."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, HarnessError, Inconclusive
from harness.disrupt.azure.azure_base import ByAzure
from harness.disrupt.bases import client_tcp_timeout
from harness.disrupt.bases.host_silence import MIN_LOOK_S, is_silent, look_limit_s
from harness.disrupt.bases.windows_node import WHICH_BOOT
from harness.disrupt.disruption import BY_LOSS, HARNESS, Effect, Moment, both
from harness.expectations import outage_budget
from harness.expectations.outage_budget import Allowance
from harness.hosts.host import HostUnreachable

if TYPE_CHECKING:
    from harness.azure.client.operation_runner import Triggered
    from harness.azure.faults.undo_tag import Undo
    from harness.azure.faults.vm_power import Machine
    from harness.cluster.cluster_under_test import ClusterUnderTest


SCHEDULED_EVENT_POLL_INTERVALS = (
    6  # so many poll intervals what was accepted may take to come until scheduled events are looked at, and between two looks
)


class ByAzurePower(ByAzure):
    """Azure takes its time between accepting and doing, so the disruption begins when the node is seen to fall silent. Where the node is
    shut down in order, it begins with the order: a manager may hand everything over before the node is silent, and be right."""

    takes_away = True
    orderly = False  # may the node still do something after Azure has begun, such as hand over?
    needs = BY_LOSS
    reboots = True

    def __init__(self, subject: ClusterUnderTest) -> None:
        super().__init__(subject)
        self._triggered: Triggered | None = None
        self._look_s = MIN_LOOK_S
        self._obeyed_after_s = 0.0  # from the order until the node was gone

    def allowance(self) -> Allowance:
        """The node's loss, and what Azure took until the node was gone, once that is known."""
        return _with_azure_time(self._took_s, self._own_allowance())

    def counted_allowance(self) -> Allowance:
        """Azure's time counts only where the disruption begins with the order."""
        return _with_azure_time(self._obeyed_after_s if self.orderly else 0.0, self._own_allowance())

    def _own_allowance(self) -> Allowance:
        return outage_budget.node_loss(self._subject.cluster)

    @property
    def _machine(self) -> Machine:
        from harness.azure.faults.vm_power import Machine

        return Machine(self._runner, self._azure.machine(self._node))

    def _undoing(self) -> tuple[str, Undo]:
        from harness.azure.faults.undo_tag import Undo

        return self._machine.id, Undo.now("start", self._undone_within_s)

    def _do(self, deadline: Deadline) -> None:
        self._look_s = look_limit_s(self._subject.hosts[self._node])
        self._subject.absent.add(self._node)
        ordered_at, since = time.time(), time.monotonic()
        self._triggered = self._trigger(deadline)
        last_heard = accepted_at = time.time()

        def is_gone() -> bool:
            nonlocal last_heard
            assert self._triggered is not None
            error = self._triggered.refused  # before the look: an operation that failed in Azure's eyes may have happened all the same
            asked_at = time.time()
            if not self._is_gone():
                if error:
                    raise error
                last_heard = asked_at
                self._approve_event()
                return False
            self._obeyed_after_s = time.monotonic() - since
            self.moment = Moment(HARNESS, ordered_at, accepted_at) if self.orderly else Moment(HARNESS, last_heard, time.time())
            return True

        try:
            deadline.wait_for(is_gone, what=f"{self._node} falling silent")
        except DeadlineExceeded as error:
            poll_error = self._triggered.poll_error
            note = f"; and how Azure's operation ended cannot be asked: {poll_error}" if poll_error else ""
            raise Inconclusive(f"{self.name} was told to Azure, and took no effect: {error}{note}") from error

    def _trigger(self, deadline: Deadline) -> Triggered:
        raise NotImplementedError

    def _approve_event(self) -> None:
        """It has not happened yet: what can be done about that."""

    def _is_gone(self) -> bool:
        return is_silent(self._subject.hosts[self._node], self._look_s)

    def took_effect(self, deadline: Deadline) -> None:
        """`begin` has seen the node fall silent already."""
        self._runner.say(f"{self._node} fell silent; {self._took_s:.1f} s were needed for all of it")

    def undo(self, deadline: Deadline) -> None:
        """Azure does one thing at a time to a machine, so its own operation must be at its end first."""
        if self._triggered is not None and not self._triggered.ended:
            patience = Deadline(self._azure.operation_limit_s)
            try:
                self._runner.finish(self._triggered, patience)
            except HarnessError as error:  # whatever it came to, the machine must run again
                self._runner.say(f"{self._triggered.doing}: {error}; the machine is brought back all the same")
        elif self._triggered is not None and (poll_error := self._triggered.poll_error):
            self._runner.say(f"{self._triggered.doing}: how it ended cannot be asked ({poll_error}); what the machine's state shows counts")
        super().undo(deadline)

    def _finish_undo(self, deadline: Deadline) -> None:
        """A machine that runs in Azure's eyes may still be booting."""
        self._subject.absent.discard(self._node)


def _with_azure_time(azure_s: float, allowance: Allowance) -> Allowance:
    """An allowance with Azure's own seconds before it; no more than itself without any."""
    return Allowance(allowance.seconds + azure_s, f"until Azure had done it {azure_s:.1f} + {allowance.because}") if azure_s else allowance


class AzurePowerOff(ByAzurePower):
    """Without a shutdown (skipShutdown), so to the cluster it is a power loss (facts LKL-36, LKL-39); the machine's flows end in silence
    (FLOW-14), and a stopped one is not probed (PRB-17)."""

    name = "azure VM power off"
    instead_of = "power loss"
    sentence = "the active node's virtual machine is powered off by Azure without a shutdown, and on at the end"
    call = "POST powerOff?skipShutdown=true"
    moves = True
    expects = both(Effect.RECOVERS, Effect.RECOVERS, Effect.ANY)

    def _trigger(self, deadline: Deadline) -> Triggered:
        return self._machine.power_off(deadline)

    def observations(self) -> list[str]:
        return [client_tcp_timeout.describe(self._subject)]

    def took_effect(self, deadline: Deadline) -> None:
        """Azure itself must say that it is off."""
        from harness.azure.faults.vm_power import must_be_gone

        super().took_effect(deadline)
        must_be_gone(self._machine, self._runner, self._operation())


class ComesBack(ByAzurePower):
    """The platform shuts the machine down in order (which by default moves nothing: facts LKL-46) and boots it again; where the shutdown
    takes longer than heartbeats may be missed, the peer takes over. So either is right.

    Where scheduled events are on in the machine, Azure accepts the order and may obey it a quarter of an hour later: one that was accepted
    and has not come is approved, else waited for (`event_limit_s`), and its tag stays until it has come or comes no more.
    """

    moves = None
    orderly = True
    expects = both(Effect.RECOVERS, Effect.RECOVERS, Effect.ANY)
    on_windows = "which boot it is in, and which scheduled event holds it up, is asked by a Linux host's tools"
    _boot_before: str | None = None
    _was_gone = False  # was the machine seen gone, or as another boot?
    _is_lapsed = False  # is it too late for what was accepted and did not come?
    _accepted: Deadline | None = None  # until when it may come
    _look: Deadline | None = None  # when scheduled events are looked at next

    @property
    def _undone_within_s(self) -> float:
        return super()._undone_within_s + self._azure.event_limit_s

    def _undoing(self) -> tuple[str, Undo]:
        from harness.azure.faults.undo_tag import Undo

        return self._machine.id, Undo.now("restart", self._undone_within_s)

    def _own_allowance(self) -> Allowance:
        cluster = self._subject.cluster
        allowance = outage_budget.node_loss(cluster)
        return Allowance(allowance.seconds + cluster.manager.boot_s, f"boot {cluster.manager.boot_s:g} + {allowance.because}")

    def _do(self, deadline: Deadline) -> None:
        self._boot_before = self._subject.hosts[self._node].check(WHICH_BOOT, limit=deadline.within(10.0))
        super()._do(deadline)
        self._was_gone = True
        self._retag_as_gone()

    def _trigger(self, deadline: Deadline) -> Triggered:
        triggered = self._order(deadline)
        self._accepted, self._look = Deadline(self._azure.event_limit_s), Deadline(SCHEDULED_EVENT_POLL_INTERVALS * self._azure.poll_s)
        return triggered

    def _order(self, deadline: Deadline) -> Triggered:
        raise NotImplementedError

    def _approve_event(self) -> None:
        """Approve the event that it waits for, if there is one. What cannot be asked is told, and asked again later."""
        from harness.azure.faults import scheduled_events

        if self._look is None or not self._look.expired:
            return
        self._look = Deadline(SCHEDULED_EVENT_POLL_INTERVALS * self._azure.poll_s)
        try:
            scheduled_events.approve(self._subject.hosts[self._node], self._azure.machine(self._node), self._runner.say)
        except HarnessError as error:
            self._runner.say(f"{self._node}: whether a scheduled event holds it up cannot be told: {error}")

    def _retag_as_gone(self) -> None:
        """From here on a start is all that undoes it: the tag says so for whoever heals after us."""
        from harness.azure.faults.undo_tag import UndoTags

        assert self._tagged is not None
        resource, old = self._tagged
        new = replace(old, undo="start")
        try:
            tags = UndoTags(self._runner.arm)
            self._runner.read(lambda: tags.replace(resource, old, new), self._operation(), f"tagging {self._node} anew")
            self._tagged = resource, new
        except HarnessError as error:  # the old one is right, too, only slower
            self._runner.say(f"{self._node}: its tag could not be written anew: {error}")

    def undo(self, deadline: Deadline) -> None:
        if self._may_still_come():
            self._wait_for_it()
        super().undo(deadline)

    def _may_still_come(self) -> bool:
        return self._triggered is not None and self._triggered.refused is None and not self._was_gone and not self._is_gone()

    def _wait_for_it(self) -> None:
        """Whoever tests after us must not have it happen under his hands."""
        assert self._triggered is not None and self._accepted is not None
        triggered = self._triggered
        self._runner.say(
            f"{triggered.doing}: Azure accepted it, and it has not come; it may come for {self._accepted.remaining():.0f} s yet, so it is "
            "waited for (scheduled events; event_limit_s in [azure])"
        )

        def has_come() -> bool:
            if triggered.refused is not None or self._is_gone():
                return True
            self._approve_event()
            return False

        try:
            self._accepted.wait_for(has_come, what=f"{self._node} falling silent", every=min(1.0, self._azure.poll_s))
        except DeadlineExceeded:
            self._is_lapsed = True
            self._runner.say(f"{triggered.doing}: it did not come within {self._accepted.seconds:g} s, and is not waited for any longer")

    def _is_gone(self) -> bool:
        """It is silent to two looks in a row, or another boot answers already."""
        boot = self._boot() or self._boot()
        return boot != self._boot_before

    def _boot(self) -> str | None:
        try:
            return self._subject.hosts[self._node].check(WHICH_BOOT, limit=max(1.0, self._look_s))
        except (HostUnreachable, DeadlineExceeded):
            return None

    def _finish_undo(self, deadline: Deadline) -> None:
        """It comes back by itself, as another boot if Azure took the order. Azure's own time is not the boot's: that begins now."""
        old = (None,) if self._is_void else (None, self._boot_before)
        patience = Deadline(max(deadline.remaining(), self._subject.cluster.manager.boot_s))
        patience.wait_for(self._boot, until=lambda b: b not in old, what=f"{self._node} coming back", every=0.2)
        super()._finish_undo(deadline)

    @property
    def _is_void(self) -> bool:
        """Azure refused it, or nobody knows that it was accepted: then the boot that was there may be there still."""
        return self._triggered is None or self._triggered.refused is not None or self._is_lapsed


class AzureRestart(ComesBack):
    """The platform's own restart."""

    name = "azure VM restart"
    sentence = "the active node's virtual machine is restarted by Azure; it boots and comes back"
    call = "POST restart"

    def _order(self, deadline: Deadline) -> Triggered:
        return self._machine.restart(self._is_gone, deadline)


class AzureRedeploy(ComesBack):
    """As a restart, only longer: the machine boots on other hardware. What is on the old hardware's own disks is lost ("Scheduled Events":
    Redeploy, "ephemeral disks are lost"), so it is done only where it is named, and never to a machine whose OS disk is such a one."""

    name = "azure VM redeploy"
    sentence = "the active node's virtual machine is moved to other hardware by Azure, and what is on its temporary disk is lost"
    destroys = "what is on the machine's temporary disk, or on local NVMe"
    call = "POST redeploy"

    def _order(self, deadline: Deadline) -> Triggered:
        return self._machine.redeploy(self._is_gone, deadline)

    def _undoing(self) -> tuple[str, Undo]:
        if self._runner.read(self._machine.has_ephemeral_disk, self._operation(), f"reading {self._node}"):
            raise Inconclusive(
                f"{self.name} was not done: {self._machine.name} has an ephemeral OS disk, so all that is installed there would be lost; "
                "leave this out for this cluster"
            )
        return super()._undoing()
