"""The active node stops where it stands, and goes on at the end, believing that nothing has happened."""

from __future__ import annotations

from harness.disrupt.bases.power_base import ByPower
from harness.disrupt.disruption import Effect, both


class NodeFreeze(ByPower):
    """As a power loss until it thaws. Then both nodes have everything in service until the thawed one looks at its disk's reservation
    (at most one check interval later) and halts (facts LKL-40): the time in which two nodes may answer."""

    name = "node freeze"
    sentence = "the active node is frozen where it stands, silent on the wire; it is thawed at the end"
    splits = True
    away, back = "freeze", "thaw"
    both_may_answer = True  # after the thaw, until its next check finds that it was fenced
    moves = True
    expects = both(Effect.RECOVERS, Effect.RECOVERS, Effect.ANY)
    runs_with = frozenset({"one comm path cut"})
