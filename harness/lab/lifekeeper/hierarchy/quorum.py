"""Which side lives when two nodes no longer hear each other: the one that has the witness disk (facts WCLU-71, WCLU-74).

Two nodes and a witness are three votes. Who has the witness renews its claim with every heartbeat; a claim that was not renewed for as long
as a node may be silent can be taken over, so that the survivor of a power loss gets it and the loser of a split does not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from harness.core.deadline import Deadline
from harness.lab.lifekeeper.config.stand_in_settings import Config
from harness.lab.lifekeeper.config.tunables import Tunables
from harness.lab.lifekeeper.resource_types.disk import ask_controller
from harness.lab.lifekeeper.resource_types.resource_type import Failed


class Quorum:
    """`lost`: this node has no majority, so it may have nothing in service. `tell` gets "evicted" (the claim is another's now) and "formed"
    (a majority again, without the peer)."""

    def __init__(
        self, config: Config, tunables: Tunables, controller: str, contact: Callable[[], bool], tell: Callable[[str], None]
    ) -> None:
        self._node, self._limit = config.node, config.timers.storage_limit_s
        self._controller, self._contact, self._tell = controller, contact, tell
        self._beat_s, self._dead_s = tunables.LCMHBEATTIME, tunables.dead_time
        self._stopping = threading.Event()
        self.holds = False
        self.lost = False

    def start(self) -> None:
        """Begins to renew the claim, in a thread of its own; a claim of an earlier life of this node is still its own."""
        self.holds = self.holder() == self._node
        threading.Thread(target=self._loop, name="witness", daemon=True).start()

    def stop(self) -> None:
        """Gives the claim up, as an orderly stop does; what cannot be told to the controller ends by itself."""
        self._stopping.set()
        if self.holds:
            self.holds = False
            self._ask(op="witness-release", node=self._node)

    def holder(self) -> str | None:
        """Who has the witness; None where nobody has, or it cannot be reached."""
        return (self._ask(op="witness-holder") or {}).get("holder")

    def reachable(self) -> bool:
        """Whether this node reaches the witness now."""
        return self._ask(op="witness-holder") is not None

    def arbitrate(self) -> bool:
        """Take the witness, waiting for as long as a node that is gone may still count as its holder; False when it stays another's."""
        limit = Deadline(self._dead_s + 2 * self._beat_s)
        while not (holds_witness := self._take() is True) and not limit.expired:
            self._stopping.wait(self._beat_s / 4)
        self.holds, self.lost = holds_witness, not holds_witness
        return holds_witness

    def _loop(self) -> None:
        while not self._stopping.wait(self._beat_s):
            if self.holds:
                if self._take() is False:  # an answer that does not come is no refusal
                    self.holds = False
                    self._tell("evicted")
            elif self.lost and not self._contact() and self._take():
                self.holds, self.lost = True, False
                self._tell("formed")

    def _take(self) -> bool | None:
        """None when the controller does not answer."""
        answer = self._ask(op="witness", node=self._node, older_than=self._dead_s)
        return None if answer is None else bool(answer.get("ok"))

    def _ask(self, **request: object) -> dict | None:
        try:
            return ask_controller(self._controller, self._limit, **request)
        except Failed:
            return None
