"""The active node is reset, and comes back by itself."""

from __future__ import annotations

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded
from harness.disrupt.bases.power_base import ByPower
from harness.disrupt.bases.windows_node import which_boot
from harness.disrupt.disruption import Effect, both
from harness.hosts.host import HostUnreachable, NotReadable
from harness.hosts.windows.boot_identity import Boot


class NodeReboot(ByPower):
    """A hard reset, not an orderly shutdown (which by default moves nothing: facts LKL-46). No machine boots faster than its peer
    misses its heartbeats [inferred], so the peer takes over (LKL-39), and the node comes back as standby (LKL-49)."""

    name = "node reboot"
    sentence = "the active node is reset without a shutdown; it boots and comes back as standby"
    away, back = "reboot", "on"
    moves = True
    expects = both(Effect.RECOVERS, Effect.RECOVERS, Effect.ANY)
    runs_with = frozenset({"one comm path cut"})
    _boot_before: str | Boot = ""

    @property
    def longest_s(self) -> float:
        """It comes back by itself."""
        return self._subject.cluster.manager.boot_s

    @property
    def undoing(self) -> str:
        return f"by itself, when the node has booted; one that has not after {self.longest_s:g} s gets power.on"

    def begin(self, deadline: Deadline) -> None:
        self._boot_before = which_boot(self._subject, self._node, limit=deadline.within(10.0))
        super().begin(deadline)

    def took_effect(self, deadline: Deadline) -> None:
        """It is silent, or another boot answers already."""
        deadline.wait_for(lambda: self._boot() != self._boot_before, what=f"{self._node} falling silent or booting")

    def _boot(self) -> str | Boot | None:
        try:
            return which_boot(self._subject, self._node, limit=1.0)
        except (HostUnreachable, DeadlineExceeded, NotReadable):
            return None

    def undo(self, deadline: Deadline) -> None:
        """It comes back by itself; one that has not in the time that a boot may take gets its power back."""
        if not self._is_begun:
            return
        try:
            boot = Deadline(deadline.within(self._subject.cluster.manager.boot_s))
            boot.wait_for(self._boot, until=lambda b: b not in (None, self._boot_before), what=f"{self._node} coming back", every=0.2)
        except DeadlineExceeded:
            self._bring_back(deadline)
        self._subject.absent.discard(self._node)
