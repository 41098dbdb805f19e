"""Which cluster of a fleet begins next: those whose hosts are on this machine begin as it has processor time for them.

What is measured on a machine that is too busy is not judged, or fails because the cluster itself is slow, and a run that noise spoils
measures again, which makes the noise. A lab's run takes about a processor (12 s of processor time in 13 s), so that more gain nothing.
It is not the meter that tells: with two and three labs on two cores, one of which lost a database's log-in, no tick of it was late.
Other clusters are measured by their own hosts, and cost this machine little: they are never held back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from harness.commands.fleet.local_cpu_load import WINDOW_S, MachineLoad
from harness.core.text.wording import count, seconds, span

MAX_WAITING_PERCENT = 50.0  # a run of one lab on two cores with little else to do makes 20 to 85, 60 on average; two make 95 to 100
MAX_PER_PROCESSOR = 1.5  # where nothing else is told. It is of a minute, and rises late
MAX_HELD_S = 600.0  # for which a cluster is held back while runs of this fleet are under way here, which may be soaks …
MAX_HELD_ALONE_S = 30.0  # … and by what others do here, which need not end


@dataclass(frozen=True)
class Decision:
    """May the next one begin, and in words what speaks against it, be it so strong or not."""

    begins: bool
    objection: str = ""


def decide(load: MachineLoad, *, recent_starts: int, held_s: float, alone_s: float, processors: int) -> Decision:
    """May a cluster of this machine begin? Pure.

    `recent_starts` clusters of this machine do not show in the load yet; it has been held back for `held_s` so far, for `alone_s` of which
    no other run of this fleet was under way here.
    """
    if load.waiting is None and load.per_processor is None:
        return Decision(True)
    objection = busy_reason(load)
    if held_s >= MAX_HELD_S or alone_s >= MAX_HELD_ALONE_S:
        return Decision(True, objection)
    if recent_starts >= max(1, processors // 2):
        return Decision(False, objection)
    return Decision(not objection, objection)


def busy_reason(load: MachineLoad) -> str:
    """In words, by what the machine is too busy; empty where it is not, or nobody can tell. What waits is asked first: a load also counts
    what waits for a disk."""
    if load.waiting is not None:
        if load.waiting <= MAX_WAITING_PERCENT:
            return ""
        return f"in {load.waiting:.0f} % of the last seconds something waited for a processor, {MAX_WAITING_PERCENT:.0f} % are allowed"
    if load.per_processor is not None and load.per_processor > MAX_PER_PROCESSOR:
        return f"its load is {load.per_processor:.1f} for each processor, {MAX_PER_PROCESSOR:g} are allowed"
    return ""


class Admission:
    """Chooses the next one, in their order; one that is held back lets those pass that are not on this machine.

    `say` hears a sentence when a cluster is first held back, and one when a cluster begins although the machine is still busy.
    """

    def __init__(
        self,
        names: Sequence[str],
        local: Collection[int],
        load: Callable[[], MachineLoad],
        say: Callable[[str], None],
        *,
        processors: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._names, self._local, self._load, self._say = names, frozenset(local), load, say
        self._processors, self._clock = processors, clock
        self._start_times: list[float] = []  # when those of this machine began
        self._held_since: float | None = None
        self._alone_since: float | None = None  # since when none of this machine is under way
        self._held_seconds: dict[int, float] = {}  # for how long each was held back
        self._first_reason = ""
        self._starts_while_busy: list[str] = []

    def __call__(self, waiting: Sequence[int], running: Collection[int]) -> int | None:
        """The one of `waiting` that begins now; None: none yet."""
        now = self._clock()
        local = next((index for index in waiting if index in self._local), None)
        if local is None:
            return waiting[0]
        remote = next((index for index in waiting if index not in self._local), None)
        if remote is not None and remote < local:
            return remote
        held_s = 0.0 if self._held_since is None else now - self._held_since
        if self._local.intersection(running):
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = now
        decision = decide(
            self._load(),
            recent_starts=sum(now - at < WINDOW_S for at in self._start_times),
            held_s=held_s,
            alone_s=0.0 if self._alone_since is None else min(held_s, now - self._alone_since),
            processors=self._processors,
        )
        if decision.begins:
            self._note_start(local, now, held_s, decision.objection)
            return local
        self._note_held(local, now, decision.objection)
        return remote

    def notes(self) -> list[str]:
        """What the page says of it; nothing where none was held back."""
        if not self._first_reason:
            return []
        total = sum(self._held_seconds.values())
        summary = (
            f"{count(len(self._held_seconds), 'cluster')} of this machine waited to begin, {seconds(total)} in all: {self._first_reason}"
        )
        return [summary, *self._starts_while_busy]

    def _note_start(self, index: int, now: float, held_s: float, objection: str) -> None:
        self._start_times.append(now)
        self._held_since = None
        if held_s and self._first_reason:
            self._held_seconds[index] = held_s
        if objection:
            held_for = f"after it was held back for {seconds(held_s)}"
            sentence = f"{self._names[index]}: begins although this machine is still busy, {held_for}: {objection}"
            self._starts_while_busy.append(sentence)
            self._say(sentence)

    def _note_held(self, index: int, now: float, objection: str) -> None:
        self._held_since = now if self._held_since is None else self._held_since
        if objection and not self._first_reason:
            self._first_reason = f"this machine was busy ({objection})"
            limits = f"for {span(MAX_HELD_S)} at most, {span(MAX_HELD_ALONE_S)} where no other run of this fleet is under way here"
            self._say(f"{self._names[index]}: held back, as those behind it will be, while this machine is busy, {limits}: {objection}")
