"""The file system that holds the database is filled to the last block."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from harness import budget
from harness.deadline import Deadline
from harness.disrupt.base import Effect, Step, both, register
from harness.disrupt.deadman import RUN, Script
from harness.disrupt.listener import listener_pid
from harness.disrupt.on_host import OnHost
from harness.errors import DeadlineExceeded, Unusable

if TYPE_CHECKING:
    from harness.subject import Subject

# Where the listener works is its data directory; then its file system: its number, the root's, and where it is mounted.
_WHERE = """d=$(readlink /proc/{pid}/cwd) && stat -c %d "$d" / && df -P "$d" | awk 'NR == 2 {{ print $6 }}'"""
_FREE = "df -Pk {place} | awk 'NR == 2 {{ print $4 }}'"
# What root alone may use (reserved blocks) is not counted as free, and so stays free. Somebody else may take some meanwhile: less, then.
_FILL = """
umask 077
for spare in 0 64 1024 8192; do
  free=$({free})
  [ "$free" -gt $spare ] || {{ : >{file}; exit 0; }}
  fallocate -l $(((free - spare) * 1024)) {file} 2>"$d/why" && exit 0
  rm -f {file}
done
cat "$d/why" >&2; exit 1
"""


@register
class SharedDiskFull(OnHost):
    """What a full disk does to a database is its own affair: it may refuse writes, or stop and be found dead; no fact says more (to
    LifeKeeper such a disk may be ISU: LKL-15). So nothing is demanded while it lasts; afterwards everything must be right again."""

    name = "shared disk full"
    sentence = "the file system with the database's files is filled to the last block"
    expects = both(Effect.ANY, Effect.ANY, Effect.ANY)

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._place = ""

    def allowance(self) -> budget.Allowance:
        return budget.service_crash(self._subject.cluster)

    @property
    def lasts_s(self) -> float:
        return 2.0 + self._subject.cluster.manager.check_interval_s

    def lacks(self) -> str | None:
        if not any(s.kind == "postgres" for s in self._subject.cluster.services):
            return "the cluster has no PostgreSQL service, whose data directory would tell where the shared disk is"
        return self._needs("fallocate", "util-linux")

    def steps(self) -> list[Step]:
        self._place = self._find_place(Deadline(10.0))
        peer = self._subject.cluster.peer_of(self._node).name
        return [*super().steps(), Step(peer, "undo", self._removal()[0])]

    def _find_place(self, deadline: Deadline) -> str:
        """Where the database's file system is mounted. Raises Unusable when that is the root's."""
        database = next(s for s in self._subject.cluster.services if s.kind == "postgres")
        pid = listener_pid(self._subject, self._node, database.port)
        its, root, place = self._subject.hosts[self._node].check(_WHERE.format(pid=pid), limit=deadline.within(10.0)).split(maxsplit=2)
        if its == root:
            raise Unusable(
                f"{self._node}: the database lies on the node's root file system; filling that would break more than the database"
            )
        return place.strip()

    def begin(self, deadline: Deadline) -> None:
        self._place = self._find_place(deadline)
        # After a failover the file is on the other node, so both see to it that it goes.
        peer = self._subject.cluster.peer_of(self._node).name
        self._arm(peer).do(Script(":", *self._removal()), limit=deadline.within(30.0))
        super().begin(deadline)

    @property
    def _file(self) -> str:
        return shlex.quote(f"{self._place.rstrip('/')}/.lkharness-{RUN}")

    def _removal(self) -> tuple[str, str]:
        return f"rm -f {self._file}", f"[ ! -e {self._file} ]"

    def script(self, id: str) -> Script:
        return Script(_FILL.format(free=self._free(), file=self._file), *self._removal())

    def _free(self) -> str:
        return _FREE.format(place=shlex.quote(self._place))

    def took_effect(self, deadline: Deadline) -> None:
        full = f"[ $({self._free()}) -lt 1024 ]"  # in KiB
        deadline.wait_for(lambda: self._there(full, deadline), what=f"{self._place} on {self._node} being full")

    def undo(self, deadline: Deadline) -> None:
        """When the disk has brought everything down on both nodes, start it again: no cluster does that by itself (facts LKL-42)."""
        was_begun = bool(self._armed)
        super().undo(deadline)
        if not was_begun:
            return
        manager, timers = self._subject.manager, self._subject.cluster.manager
        try:
            soon = Deadline(deadline.within(timers.check_interval_s + timers.takeover_s))
            soon.wait_for(manager.state, until=lambda s: s.active is not None, what="the cluster being in service again", every=0.3)
        except DeadlineExceeded:
            manager.switch_over(self._node, deadline=deadline)
