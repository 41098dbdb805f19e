"""The active node loses its power, and gets it back at the end."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from harness import budget
from harness.deadline import Deadline
from harness.disrupt.base import register
from harness.errors import Unusable

if TYPE_CHECKING:
    from harness.subject import Subject


@register
class PowerLoss:
    name = "power loss"
    sentence = "the active node's power is cut; it falls silent on the wire"
    settles = True

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._node = subject.active
        self._cut = False

    def allowance(self) -> budget.Allowance:
        return budget.node_loss(self._subject.cluster)

    def lacks(self) -> str | None:
        return None if self._subject.cluster.power else "the cluster file has no [power] commands, so no node's power can be cut"

    def target(self) -> str:
        return self._node

    def begin(self, deadline: Deadline) -> None:
        self._cut = True
        self._subject.absent.add(self._node)
        self._command("off", deadline)

    def took_effect(self, deadline: Deadline) -> None:
        host = self._subject.hosts[self._node]
        deadline.wait_for(lambda: not host.alive(limit=0.5), what=f"{self._node} falling silent")

    def undo(self, deadline: Deadline) -> None:
        if self._cut:
            self._command("on", deadline)
            self._subject.absent.discard(self._node)

    def _command(self, to: str, deadline: Deadline) -> None:
        power = self._subject.cluster.power
        assert power is not None
        words = [word.replace("{node}", self._node) for word in getattr(power, to)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=max(deadline.remaining(), 1.0), stdin=subprocess.DEVNULL)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unusable(f"the cluster file's power.{to} command failed for {self._node}: {error}") from error
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
            raise Unusable(f"the cluster file's power.{to} command exited {done.returncode} for {self._node}; it said: {said}")
