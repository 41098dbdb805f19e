"""What hosts were to undo by themselves and did not: the watchdog sends the same undoing again, until the host says that it is done.

A host's own dead man's switch may be gone (out of memory, its control group ended, somebody killed it), or its folder may, and what was
done is still done. Before a host's own term is over nothing is sent there, unless nothing of ours is left on any host: then the check
alone tells whether all is undone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from harness.core.deadline import Deadline
from harness.core.errors import HarnessError
from harness.core.verdict import Verdict, failed, passed
from harness.hosts.deadman.deadman_switch import ArmedUndo, send_undoing
from harness.hosts.host import Host
from harness.hosts.windows import scheduled_undo

RETRY_INTERVAL_S = 10.0  # between two tries on one host
TRY_TIMEOUT_S = 60.0  # the harness waits so long for one try; on the host nothing ends it


def pending_undos(armed: Iterable[ArmedUndo], undone: Iterable[str]) -> list[ArmedUndo]:
    """What was armed and not seen undone by the run itself, the last first. Pure."""
    seen = set(undone)
    return [one for one in reversed(list(armed)) if one.token not in seen]


class HostUndoings:
    """`killed`: counts from when the run was seen to be dead; a host's own term ends that much earlier at most."""

    def __init__(self, armed: Iterable[ArmedUndo], hosts: Mapping[str, Host], killed: Deadline, say: Callable[[str], None]) -> None:
        self._left = list(armed)
        self._hosts = hosts
        self._killed = killed
        self._say = say
        self._again: dict[str, Deadline] = {}
        self._told: set[tuple[str, str]] = set()

    def go_on(self, *, nothing_left: bool) -> Verdict:
        """One round: what is due is sent. Passed when every host has said that its own is undone."""
        for one in [o for o in self._left if (nothing_left or self._killed.elapsed() >= o.longest_s) and self._due(o)]:
            self._try(one)
        left = "; ".join(f"{one.of} on {one.host}" for one in self._left)
        return failed(f"not seen undone: {left}") if left else passed("every host has undone what it was to")

    def _due(self, one: ArmedUndo) -> bool:
        return one.token not in self._again or self._again[one.token].expired

    def _try(self, one: ArmedUndo) -> None:
        try:
            send = scheduled_undo.send_undoing if one.platform == "windows" else send_undoing
            undone_now = send(self._hosts[one.host], one, limit=TRY_TIMEOUT_S)
        except HarnessError as error:
            if (one.token, str(error)) not in self._told:
                self._told.add((one.token, str(error)))
                self._say(f"{one.of} on {one.host} is not undone yet: {error}")
            self._again[one.token] = Deadline(RETRY_INTERVAL_S)
            return
        self._left.remove(one)
        if undone_now:
            self._say(f"{one.of} on {one.host}: undone by this process; the host had not done it by itself")
