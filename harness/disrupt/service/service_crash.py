"""The protected service dies without a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.core.deadline import Deadline
from harness.disrupt.bases import windows_node
from harness.disrupt.bases.listening_process import ListeningProcess, kill, kill_line, listener_process, wait_for_end
from harness.disrupt.disruption import BY_FAILURE, Disruption, Effect, Step, both
from harness.expectations import outage_budget
from harness.hosts.windows.script_protocol import Row

if TYPE_CHECKING:
    from harness.cluster.cluster_under_test import ClusterUnderTest
    from harness.config.cluster_config import Service


class ServiceCrash(Disruption):
    """kill -9 of the process that listens on a service's port, on the active node (the first service's, when none is named).

    Bringing it back is the cluster manager's work: here by local recovery, or on the other node (facts LKL-42).
    """

    name = "service crash"
    sentence = "the process that listens on the service's port is killed (SIGKILL)"
    on_windows = ""
    needs = BY_FAILURE
    failures = 1
    expects = both(Effect.RECOVERS, Effect.RECOVERS, Effect.RECOVERS)
    runs_with = frozenset({"one comm path cut", "manager crash"})

    def __init__(self, subject: ClusterUnderTest, service: Service | None = None) -> None:
        super().__init__(subject)
        self._port = (service or subject.cluster.services[0]).port
        self._process = ListeningProcess(0, "", self._port)
        self._owner: Row = {}

    def allowance(self) -> outage_budget.Allowance:
        return outage_budget.service_crash(self._subject.cluster)

    @property
    def undoing(self) -> str:
        return "by the cluster manager, which brings it back here or on the other node"

    def steps(self) -> list[Step]:
        if self._by_script:
            row = windows_node.owner_of(self._subject, self._node, self._port)
            return [Step(self._node, "do", f"process-kill.ps1 -Id {row['Id']:.0f} -StartedAt {row['StartedAt']}  # {row['Name']}")]
        return [Step(self._node, "do", kill_line(listener_process(self._subject, self._node, self._port)))]

    @property
    def _by_script(self) -> bool:
        return windows_node.on_windows(self._subject, self._node)

    def begin(self, deadline: Deadline) -> None:
        if self._by_script:
            self._owner = windows_node.owner_of(self._subject, self._node, self._port)
            self.moment = windows_node.end_process(self._subject, self, self._owner, deadline)
            return
        self._process = listener_process(self._subject, self._node, self._port)
        self.moment = kill(self._subject, self, self._process, deadline)

    def took_effect(self, deadline: Deadline) -> None:
        if self._by_script:
            windows_node.wait_for_end(self._subject, self._node, self._owner, deadline)
            return
        wait_for_end(self._subject, self._node, self._process.pid, deadline)
