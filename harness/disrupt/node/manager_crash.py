"""The cluster manager's own daemons die; what it protects runs on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.core.deadline import Deadline
from harness.core.errors import Inconclusive
from harness.disrupt.bases.listening_process import START, run_at_once
from harness.disrupt.disruption import BY_FAILURE, Disruption, Effect, Step, both
from harness.expectations import outage_budget
from harness.hosts.root_rights import as_root

if TYPE_CHECKING:
    from harness.cluster.cluster_under_test import ClusterUnderTest

# A name that stands there twice, or a process that a pid file names as well, is one process.
_KILL = """
killed=
for p in $({{ {pids}; }} | sort -u); do set -- $(start "$p"); [ -n "$2" ] && kill -KILL "$p" && killed="$killed $p:$2"; done
echo killed $killed
"""


def _killed_processes(lines: Sequence[str]) -> list[str]:
    """PID:START of each that was killed, by what the host printed. Pure."""
    words = next((line.split()[1:] for line in lines if line.split()[:1] == ["killed"]), [])
    return [word for word in words if re.fullmatch(r"\d{1,10}:\d{1,20}", word, re.ASCII)]


class ManagerCrash(Disruption):
    """Their supervisor brings them back at once (facts LKL-02), so no path may notice."""

    name = "manager crash"
    sentence = "the cluster manager's daemons on the active node are killed (SIGKILL); their supervisor brings them back"
    on_windows = "which processes are the manager's own, and what brings them back, is not known there"
    needs = BY_FAILURE
    moves = False
    expects = both(Effect.UNTOUCHED, Effect.UNTOUCHED, Effect.UNTOUCHED)
    runs_with = frozenset({"one comm path cut", "service crash"})

    def __init__(self, subject: ClusterUnderTest) -> None:
        super().__init__(subject)
        self._killed_processes: list[str] = []

    def allowance(self) -> outage_budget.Allowance:
        return outage_budget.service_crash(self._subject.cluster)

    @property
    def lasts_s(self) -> float:
        """A daemon that returns must have checked everything once, and been heard by its peer."""
        manager = self._subject.cluster.manager
        return 1.0 + max(manager.check_interval_s, 2 * manager.heartbeat_s * manager.heartbeats_missed)

    @property
    def undoing(self) -> str:
        return "by the supervisor of the manager's daemons"

    def skip_reason(self) -> str | None:
        """A daemon whose end fences its node, or isolates it, makes another disruption of this: nobody was asked for that."""
        manager = self._subject.manager
        others = [name for name in manager.daemons(self._subject.cluster.manager.daemons) if name not in manager.mended_daemons]
        if not others:
            return None
        return (
            f"manager.daemons names {', '.join(others)}, and that the cluster takes no notice of its end is known of "
            f"{', '.join(manager.mended_daemons) or 'no daemon'} alone: this node might be fenced, or both have everything in service"
        )

    def steps(self) -> list[Step]:
        return [Step(self._node, "do", START + _KILL.format(pids=self._subject.manager.daemon_pids_line()).strip())]

    def begin(self, deadline: Deadline) -> None:
        line = START + _KILL.format(pids=self._subject.manager.daemon_pids_line())
        self.moment, said = run_at_once(self._subject, self, line, deadline)
        self._killed_processes = _killed_processes(said)
        if not self._killed_processes:
            daemons = ", ".join(self._subject.manager.daemons(self._subject.cluster.manager.daemons))
            raise Inconclusive(f"{self._node}: none of the manager's daemons runs there ({daemons}); name them in manager.daemons")

    def took_effect(self, deadline: Deadline) -> None:
        checks = "; ".join(
            f'set -- $(start {p.split(":")[0]}); [ "$2" = {p.split(":")[1]} ] && [ "$1" != Z ] && exit 1' for p in self._killed_processes
        )
        command = ["sh", "-c", START + checks + "; exit 0"]
        host = self._subject.hosts[self._node]
        deadline.wait_for(
            lambda: host.run(as_root(command), limit=deadline.within(10.0)).ok, what=f"the end of the manager's daemons on {self._node}"
        )
