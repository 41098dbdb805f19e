"""Azure's part of `lkharness check`: read beside the look at the hosts, and judged. Nothing is changed."""

from __future__ import annotations

import threading

from harness.azure import backend_health
from harness.azure.backend_health_findings import MemberHealth, member_findings
from harness.azure.client import credentials, sdk_clients
from harness.azure.inventory import resource_reader
from harness.azure.inventory.resource_model import Balancer
from harness.azure.lint.lint_load_balancer import judge
from harness.config.cluster_config import Azure, Cluster
from harness.core.deadline import Deadline
from harness.core.errors import BadUse, HarnessError, Unusable
from harness.core.finding import Finding, Weight


class Survey:
    """Begins at once, in a thread of its own; bounded by twice `resource_reader.READ_TIMEOUT_S`.

    Raises BadUse for what this machine can tell by itself: no Azure packages, no CA file, no secret where it should be.
    """

    def __init__(self, cluster: Cluster, azure: Azure) -> None:
        self._cluster = cluster
        self._clients = sdk_clients.make_clients(azure)
        credentials.connection_options(azure)
        _ = self._clients.credential
        self._findings: list[Finding] = []
        self._health: dict[str, dict[str, MemberHealth]] = {}
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._look, daemon=True, name="azure-survey")
        self._thread.start()

    def findings(self, active: str | None = None) -> list[Finding]:
        """What was found; when Azure could not be read, that is the finding. `active`: the active node, where it is known.

        Raises BadUse when `[azure]` names what is not there.
        """
        self._thread.join(2 * resource_reader.READ_TIMEOUT_S)
        if self._thread.is_alive():
            self._error = Unusable(f"Azure did not answer within {2 * resource_reader.READ_TIMEOUT_S:g} s; see the way out of this machine")
        if isinstance(self._error, BadUse):
            raise self._error
        if isinstance(self._error, HarnessError):
            do = "fix what it says; what Azure has configured was not judged"
            return [Finding(Weight.UNREACHABLE, "azure", "log-in", str(self._error), do)]
        if self._error is not None:
            raise self._error
        return [*self._findings, *member_findings(self._cluster, self._health, active)]

    def _look(self) -> None:
        azure, cluster = self._clients.azure, self._cluster
        try:
            resources = resource_reader.look(self._clients, {m.name: azure.machine(m.name) for m in cluster.machines}, cluster.vip)
            self._findings = judge(cluster, resources)
            if resources.balancer is not None:
                self._ask_the_balancer(resources.balancer)
        except BaseException as error:
            self._error = error
        finally:
            self._clients.close()

    def _ask_the_balancer(self, balancer: Balancer) -> None:
        try:
            self._health = backend_health.read_every_rule(
                self._clients, balancer, self._cluster.vip, Deadline(resource_reader.READ_TIMEOUT_S / 2)
            )
        except HarnessError as error:
            do = "fix what it says; the balancer's own view of its members was not judged"
            self._findings.append(Finding(Weight.UNKNOWN, "azure", "health", str(error), do, ("API-02",)))
