"""Azure's part of `lkharness check`: read beside the look at the hosts, and judged. Nothing is changed."""

from __future__ import annotations

import threading

from harness.azure import clients, credentials, health, read
from harness.azure.findings import judge
from harness.azure.findings_health import Word, members
from harness.azure.seen import Balancer
from harness.deadline import Deadline
from harness.errors import BadUse, HarnessError, Unusable
from harness.finding import Finding, Weight
from harness.model import Azure, Cluster


class Survey:
    """Begins at once, in a thread of its own; bounded by twice `read.LIMIT_S`.

    Raises BadUse for what this machine can tell by itself: no Azure packages, no CA file, no secret where it should be.
    """

    def __init__(self, cluster: Cluster, azure: Azure) -> None:
        self._cluster = cluster
        self._clients = clients.of(azure)
        credentials.connection(azure)
        _ = self._clients.credential
        self._findings: list[Finding] = []
        self._health: dict[str, dict[str, Word]] = {}
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._look, daemon=True, name="azure-survey")
        self._thread.start()

    def findings(self, active: str | None = None) -> list[Finding]:
        """What was found; when Azure could not be read, that is the finding. `active`: the active node, where it is known.

        Raises BadUse when `[azure]` names what is not there.
        """
        self._thread.join(2 * read.LIMIT_S)
        if self._thread.is_alive():
            self._error = Unusable(f"Azure did not answer within {2 * read.LIMIT_S:g} s; see the way out of this machine")
        if isinstance(self._error, BadUse):
            raise self._error
        if isinstance(self._error, HarnessError):
            do = "mend what it says; what Azure has configured was not judged"
            return [Finding(Weight.UNREACHABLE, "azure", "log-in", str(self._error), do)]
        if self._error is not None:
            raise self._error
        return [*self._findings, *members(self._cluster, self._health, active)]

    def _look(self) -> None:
        azure, cluster = self._clients.azure, self._cluster
        try:
            seen = read.look(self._clients, {m.name: azure.machine(m.name) for m in cluster.machines}, cluster.vip)
            self._findings = judge(cluster, seen)
            if seen.balancer is not None:
                self._ask_the_balancer(seen.balancer)
        except BaseException as error:
            self._error = error
        finally:
            self._clients.close()

    def _ask_the_balancer(self, balancer: Balancer) -> None:
        try:
            self._health = health.of_every_rule(self._clients, balancer, self._cluster.vip, Deadline(read.LIMIT_S / 2))
        except HarnessError as error:
            do = "mend what it says; the balancer's own view of its members was not judged"
            self._findings.append(Finding(Weight.UNKNOWN, "azure", "health", str(error), do, ("API-02",)))
