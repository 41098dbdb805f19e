"""The protected service stops where it stands: its kernel still completes handshakes, nobody answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.core.deadline import Deadline
from harness.disrupt.bases.host_fault_base import OnHost
from harness.disrupt.bases.listening_process import START, ListeningProcess, listener_process
from harness.disrupt.disruption import BY_FAILURE, Effect, both
from harness.expectations import outage_budget
from harness.hosts.deadman.deadman_switch import MARK, Script

if TYPE_CHECKING:
    from harness.cluster.cluster_under_test import ClusterUnderTest
    from harness.config.cluster_config import Service

# The listener first, so that it bears no more children; then its descendants, and its group where it leads one.
FAMILY = """ps -eo pid=,ppid=,pgid= | awk -v p={pid} '
  {{ parent[$1] = $2; group[$1] = $3 }}
  END {{
    print p
    for (x in parent) {{
      y = x; while ((y in parent) && y != p) y = parent[y]
      if (x != p && (y == p || group[x] == p)) print x
    }}
  }}'"""
# A process that is marked as ours undoes it, and is never stopped; nor is the shell that does it, or one that it came from.
_STOP = """
[ {pid} != 1 ] || {{ echo "process 1 is everybody's; nothing was done" >&2; exit 1; }}
family=$({family})
p=$$; while [ "${{p:-0}}" -gt 0 ]; do
  for q in $family; do [ "$p" != "$q" ] || {{ echo "process $q is the way by which it would be done; nothing was" >&2; exit 1; }}; done
  p=$(awk '/^PPid:/ {{ print $2 }}' /proc/$p/status)
done
for p in $family; do
  grep -sqz '^{mark}=' /proc/$p/environ && continue
  set -- $(start $p); [ -z "$2" ] || echo "$p $2"
done >"$d/new" && mv "$d/new" "$d/stopped" || exit 1
while read -r p s; do kill -STOP "$p" || [ "$p" != {pid} ] || exit 1; done <"$d/stopped"
"""
_GO_ON = """
[ -e "$d/stopped" ] || exit 0
while read -r p s; do set -- $(start "$p"); [ "$2" = "$s" ] && kill -CONT "$p"; done <"$d/stopped"
exit 0
"""
_NONE_STOPPED = """
[ -e "$d/stopped" ] || exit 0
for n in 1 2 3 4 5; do
  left=; while read -r p s; do set -- $(start "$p"); [ "$2" = "$s" ] && [ "$1" = T ] && left="$left $p"; done <"$d/stopped"
  [ -z "$left" ] && exit 0
  sleep 0.1
done
echo "still stopped:$left"; exit 1
"""


def hang_script(pid: int, demand: str = "") -> Script:
    """That process and all of its are stopped; `demand` is shell before it, which exits where that must not be."""
    stop = demand + _STOP.format(family=FAMILY.format(pid=pid), pid=pid, mark=MARK)
    return Script(START + stop, START + _GO_ON, START + _NONE_STOPPED)


class ServiceHang(OnHost):
    """SIGSTOP to every process of the listener. A check that only runs out of time is no failure to the product (facts LKL-44), so
    a resource recovers from it when its own check gives up; that it does is what this demands."""

    on_windows = "suspending another program's threads takes calls that antimalware takes for an attack (facts WHST-54)"
    name = "service hang"
    sentence = "every process of the service that listens is stopped (SIGSTOP); connections are accepted and nothing answers"
    needs = BY_FAILURE
    failures = 1
    expects = both(Effect.RECOVERS, Effect.RECOVERS, Effect.RECOVERS)
    runs_with = frozenset({"one comm path cut"})

    def __init__(self, subject: ClusterUnderTest, service: Service | None = None) -> None:
        super().__init__(subject)
        self._service = service or subject.cluster.services[0]
        self._process = ListeningProcess(0, "", self._service.port)

    def allowance(self) -> outage_budget.Allowance:
        return outage_budget.service_hang(self._subject.cluster)

    def script(self, id: str) -> Script:
        self._process = listener_process(self._subject, self._node, self._service.port)
        return hang_script(self._process.pid, self._process.demand_same())

    def took_effect(self, deadline: Deadline) -> None:
        """Stopped, or ended by its manager already."""
        pid = self._process.pid
        stopped = f"! kill -0 {pid} 2>/dev/null || grep -q '^State:.[TZ]' /proc/{pid}/status"
        deadline.wait_for(lambda: self._holds_on_target(stopped, deadline), what=f"process {pid} on {self._node} stopping")
