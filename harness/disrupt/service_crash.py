"""The protected service dies without a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import budget
from harness.deadline import Deadline
from harness.disrupt.base import register
from harness.errors import Inconclusive

if TYPE_CHECKING:
    from harness.model import Service
    from harness.subject import Subject


@register
class ServiceCrash:
    """kill -9 of the process that listens on a service's port, on the active node (the first service's, when none is named)."""

    name = "service crash"
    sentence = "the process that listens on the service's port is killed (SIGKILL)"
    settles = True

    def __init__(self, subject: Subject, service: Service | None = None) -> None:
        self._subject = subject
        self._node = subject.active
        self._service = service or subject.cluster.services[0]
        self._pid: int | None = None

    def allowance(self) -> budget.Allowance:
        return budget.service_crash(self._subject.cluster)

    def lacks(self) -> str | None:
        return None

    def target(self) -> str:
        return self._node

    def begin(self, deadline: Deadline) -> None:
        pids = {x.pid for x in self._subject.linux[self._node].listeners() if x.port == self._service.port and x.pid}
        if len(pids) != 1:
            found = ", ".join(map(str, sorted(pids))) or "nobody"
            raise Inconclusive(
                f"{self._node}: one process should listen on port {self._service.port}; {found} does (is the login root or sudo?)"
            )
        self._pid = pids.pop()
        self._subject.hosts[self._node].check(["kill", "-KILL", str(self._pid)], limit=deadline.within(10.0))

    def took_effect(self, deadline: Deadline) -> None:
        host = self._subject.hosts[self._node]
        gone = ["sh", "-c", f"! kill -0 {self._pid} 2>/dev/null || grep -q '^State:.Z' /proc/{self._pid}/status"]
        deadline.wait_for(lambda: host.run(gone, limit=deadline.within(10.0)).ok, what=f"the end of process {self._pid} on {self._node}")

    def undo(self, deadline: Deadline) -> None:
        """Nothing to undo: bringing the service back is the cluster manager's work, and the audit after the test says whether it did."""
