"""The active node's virtual machine is powered off, restarted or redeployed by Azure."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from harness import budget
from harness.budget import Allowance
from harness.deadline import Deadline
from harness.disrupt.azure_base import ByAzure
from harness.disrupt.base import HARNESS, Effect, Moment, both, register
from harness.disrupt.node_reboot import WHICH_BOOT
from harness.errors import DeadlineExceeded, HarnessError, Inconclusive
from harness.hosts.base import HostUnreachable

if TYPE_CHECKING:
    from harness.azure.hand import Triggered
    from harness.azure.power import Machine
    from harness.azure.undo_tag import Undo
    from harness.subject import Subject


class ByAzurePower(ByAzure):
    """Azure takes its time between accepting and doing, so the disruption begins when the node is seen to fall silent."""

    takes_away = True

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._triggered: Triggered | None = None

    def allowance(self) -> Allowance:
        """The node's loss, and what Azure took until the node was gone, once that is known."""
        own = self._own_allowance()
        if not self._took_s:
            return own
        return Allowance(own.seconds + self._took_s, f"until Azure had done it {self._took_s:.1f} + {own.because}")

    def _own_allowance(self) -> Allowance:
        return budget.node_loss(self._subject.cluster)

    @property
    def _machine(self) -> Machine:
        from harness.azure.power import Machine

        return Machine(self._hand, self._azure.machine(self._node))

    def _undoing(self) -> tuple[str, Undo]:
        from harness.azure.undo_tag import Undo

        return self._machine.id, Undo.now("start", self._meant_s)

    def _do(self, deadline: Deadline) -> None:
        self._subject.absent.add(self._node)
        self._triggered = self._trigger(deadline)
        heard = time.time()

        def gone() -> bool:
            nonlocal heard
            assert self._triggered is not None
            if error := self._triggered.refused:
                raise error
            asked = time.time()
            if not self._is_gone():
                heard = asked
                return False
            self.moment = Moment(HARNESS, heard, time.time())
            return True

        try:
            deadline.wait_for(gone, what=f"{self._node} falling silent")
        except DeadlineExceeded as error:
            untold = self._triggered.untold
            beside = f"; and how Azure's operation ended cannot be asked: {untold}" if untold else ""
            raise Inconclusive(f"{self.name} was told to Azure, and took no effect: {error}{beside}") from error

    def _trigger(self, deadline: Deadline) -> Triggered:
        raise NotImplementedError

    def _is_gone(self) -> bool:
        return not self._subject.hosts[self._node].alive(limit=0.5)

    def took_effect(self, deadline: Deadline) -> None:
        """`begin` has seen the node fall silent already."""
        self._hand.say(f"{self._node} fell silent; {self._took_s:.1f} s were needed for all of it")

    def undo(self, deadline: Deadline) -> None:
        """Azure does one thing at a time to a machine, so its own operation must be at its end first."""
        if self._triggered is not None and not self._triggered.ended:
            patience = Deadline(self._azure.operation_limit_s)
            try:
                self._hand.finish(self._triggered, patience)
            except HarnessError as error:  # whatever it came to, the machine must run again
                self._hand.say(f"{self._triggered.doing}: {error}; the machine is brought back all the same")
        elif self._triggered is not None and (untold := self._triggered.untold):
            self._hand.say(f"{self._triggered.doing}: how it ended cannot be asked ({untold}); what the machine's state shows counts")
        super().undo(deadline)

    def _undone(self, deadline: Deadline) -> None:
        """A machine that runs in Azure's eyes may still be booting."""
        self._subject.absent.discard(self._node)


@register
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

    def took_effect(self, deadline: Deadline) -> None:
        """Azure itself must say that it is off."""
        from harness.azure.power import must_be_gone

        super().took_effect(deadline)
        must_be_gone(self._machine, self._hand, self._operation())


class ComesBack(ByAzurePower):
    """The platform shuts the machine down in order (which by default moves nothing: facts LKL-46) and boots it again; where the shutdown
    takes longer than heartbeats may be missed, the peer takes over. So either is right."""

    moves = None
    expects = both(Effect.RECOVERS, Effect.RECOVERS, Effect.ANY)
    _before: str | None = None

    def _own_allowance(self) -> Allowance:
        cluster = self._subject.cluster
        own = budget.node_loss(cluster)
        return Allowance(own.seconds + cluster.manager.boot_s, f"boot {cluster.manager.boot_s:g} + {own.because}")

    def _do(self, deadline: Deadline) -> None:
        self._before = self._subject.hosts[self._node].check(WHICH_BOOT, limit=deadline.within(10.0))
        super()._do(deadline)

    def _is_gone(self) -> bool:
        """It is silent, or another boot answers already."""
        return self._boot() != self._before

    def _boot(self) -> str | None:
        try:
            return self._subject.hosts[self._node].check(WHICH_BOOT, limit=1.0)
        except (HostUnreachable, DeadlineExceeded):
            return None

    def _undone(self, deadline: Deadline) -> None:
        """It comes back by itself, as another boot if Azure took the order. Azure's own time is not the boot's: that begins now."""
        old = (None,) if self._came_to_nothing else (None, self._before)
        patience = Deadline(max(deadline.remaining(), self._subject.cluster.manager.boot_s))
        patience.wait_for(self._boot, until=lambda b: b not in old, what=f"{self._node} coming back", every=0.2)
        super()._undone(deadline)

    @property
    def _came_to_nothing(self) -> bool:
        """Azure refused it, or nobody knows that it was accepted: then the boot that was there may be there still."""
        return self._triggered is None or self._triggered.refused is not None


@register
class AzureRestart(ComesBack):
    """The platform's own restart."""

    name = "azure VM restart"
    sentence = "the active node's virtual machine is restarted by Azure; it boots and comes back"
    call = "POST restart"

    def _trigger(self, deadline: Deadline) -> Triggered:
        return self._machine.restart(self._is_gone, deadline)


@register
class AzureRedeploy(ComesBack):
    """As a restart, only longer: the machine boots on other hardware."""

    name = "azure VM redeploy"
    sentence = "the active node's virtual machine is shut down by Azure, moved to other hardware and powered on"
    call = "POST redeploy"

    def _trigger(self, deadline: Deadline) -> Triggered:
        return self._machine.redeploy(self._is_gone, deadline)
