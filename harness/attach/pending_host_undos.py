"""What hosts were to undo by themselves and did not: the watchdog sends the same undoing again, until the host says that it is done.

A host's own dead man's switch may be gone (out of memory, its control group ended, somebody killed it), or its folder may, and what was
done is still done. Before a host's own term is over nothing is sent there, unless nothing of ours is left on any host: then the check
alone tells whether all is undone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from harness.core.deadline import Deadline
from harness.core.errors import HarnessError
from harness.core.verdict import Verdict, failed, passed
from harness.hosts.deadman.deadman_switch import SETTLED, ArmedUndo, send_undoing
from harness.hosts.host import Host
from harness.hosts.windows import scheduled_undo

RETRY_INTERVAL_S = 10.0  # between two tries on one host
TRY_TIMEOUT_S = 60.0  # the harness waits so long for one try; on the host nothing ends it


def pending_undos(armed: Iterable[ArmedUndo], undone: Iterable[str]) -> list[ArmedUndo]:
    """What was armed and not seen undone by the run itself, the last first. Pure."""
    undone_tokens = set(undone)
    return [undo for undo in reversed(list(armed)) if undo.token not in undone_tokens]


class HostUndoings:
    """`since_killed`: counts from when the run was seen to be dead; a host's own term ends that much earlier at most. `waited_for`: the
    hosts whose undoing is waited for until it is seen; of another one only until its own term is over, when it did it by itself or is off.
    """

    def __init__(
        self,
        armed: Iterable[ArmedUndo],
        hosts: Mapping[str, Host],
        since_killed: Deadline,
        say: Callable[[str], None],
        *,
        waited_for: Collection[str] | None = None,
    ) -> None:
        self._pending = list(armed)
        self._hosts = hosts
        self._waited_for = frozenset(hosts if waited_for is None else waited_for)
        self._since_killed = since_killed
        self._say = say
        self._retry_pause_by_token: dict[str, Deadline] = {}
        self._noted_errors: set[tuple[str, str]] = set()
        self._last_term_s = max((undo.longest_s for undo in self._pending), default=0.0)
        self.hosts = list(dict.fromkeys(undo.host for undo in self._pending))

    @property
    def terms_over(self) -> bool:
        """Should every host have undone its own by now?"""
        return self._since_killed.elapsed() >= self._last_term_s

    def go_on(self, *, nothing_left: bool) -> Verdict:
        """One round: what is due is sent. Passed when every host has said that its own is undone, or need not be waited for any more."""
        for token in [undo.token for undo in self._pending]:  # what undoes one may change what is to be sent for the next
            undo = next(undo for undo in self._pending if undo.token == token)
            if (nothing_left or self._since_killed.elapsed() >= undo.longest_s) and self._is_due(undo):
                self._try(undo)
        for undo in [undo_ for undo_ in self._pending if undo_.host not in self._waited_for and undo_.token in self._retry_pause_by_token]:
            if self._since_killed.elapsed() >= undo.longest_s:
                self._pending.remove(undo)
                self._say(f"{undo.of} on {undo.host} was not seen undone; that host's own term for it is over, and it is not waited for")
        leftovers = "; ".join(f"{undo.of} on {undo.host}" for undo in self._pending)
        return failed(f"not seen undone: {leftovers}") if leftovers else passed("every host has undone what it was to")

    def _is_due(self, undo: ArmedUndo) -> bool:
        return undo.token not in self._retry_pause_by_token or self._retry_pause_by_token[undo.token].expired

    def _try(self, undo: ArmedUndo) -> None:
        try:
            send = scheduled_undo.send_undoing if undo.platform == "windows" else send_undoing
            undone_now = send(self._hosts[undo.host], undo, limit=TRY_TIMEOUT_S)
        except HarnessError as error:
            if (undo.token, str(error)) not in self._noted_errors:
                self._noted_errors.add((undo.token, str(error)))
                self._say(f"{undo.of} on {undo.host} is not undone yet: {error}")
            self._retry_pause_by_token[undo.token] = Deadline(RETRY_INTERVAL_S)
            return
        self._pending.remove(undo)
        if undone_now:
            self._say(f"{undo.of} on {undo.host}: undone by this process; the host had not done it by itself")
        if undo.one_for_all:  # the others are only ended: what they look for may never come to them
            for number, other in enumerate(self._pending):
                if other.one_for_all and other.of == undo.of:
                    self._pending[number] = replace(other, undo=SETTLED, check=SETTLED)
