"""A lab with Azure's API beside it, and the real SDK's clients on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.lab.azure.control_client import ControlClient
from harness.lab.lifecycle import default_cluster, launch


class AzureLab:
    """One lab, its cluster file, clients made the way any program would make them, and a hand on the stand-in."""

    def __init__(self, running: launch.RunningLab) -> None:
        self.running = running
        self.cluster = cluster_config.load(running.cluster_file)
        assert self.cluster.azure is not None
        self.azure = self.cluster.azure
        self.group = self.azure.resource_group
        self.hand = ControlClient(self.azure)
        self.compute = self.new_client("compute")
        self.network = self.new_client("network")

    def credential(self, secret: str | None = None) -> Any:
        from azure.identity import ClientSecretCredential

        assert self.azure.client_secret_file is not None
        return ClientSecretCredential(
            self.azure.tenant,
            self.azure.client_id,
            secret or self.azure.client_secret_file.read_text().strip(),
            authority=self.azure.authority,
            disable_instance_discovery=True,
            connection_verify=str(self.azure.ca_file),
        )

    def new_client(self, kind: str, secret: str | None = None, **more: Any) -> Any:
        from azure.mgmt.compute import ComputeManagementClient
        from azure.mgmt.network import NetworkManagementClient

        options = {
            "base_url": self.azure.resource_manager,
            "credential_scopes": [f"{self.azure.audience}/.default"],
            "connection_verify": str(self.azure.ca_file),
            "polling_interval": 0.05,
            **more,
        }
        made = {"compute": ComputeManagementClient, "network": NetworkManagementClient}[kind]
        return made(self.credential(secret), self.azure.subscription, **options)

    def ask(self, operation: str, **arguments: Any) -> Any:
        """Ask the lab itself, past Azure's API."""
        return self.running.record.ask(operation, **arguments)

    def power(self, host: str) -> str:
        return next(h["power"] for h in self.ask("status")["hosts"] if h["name"] == host)

    def power_state(self, host: str) -> str:
        """PowerState/… as the API says it."""
        statuses = self.compute.virtual_machines.instance_view(self.group, host).statuses
        return next(s.code for s in statuses if s.code.startswith("PowerState/"))

    def member(self, host: str) -> dict[str, Any]:
        """What the lab's balancer has of a node."""
        return next(m for m in self.ask("status")["balancer"] if m["node"] == host)

    def health(self, rule: str = "rule-1521") -> dict[str, tuple[str, str]]:
        """The balancer's own view: by private address the state and its reason."""
        poller = self.network.load_balancer_load_balancing_rules.begin_health(self.group, "ilb", rule)
        return {a["ipAddress"]: (a["state"], a["reason"]) for a in poller.result().as_dict()["loadBalancerBackendAddresses"]}

    def wait_for(
        self, read: Callable[[], Any], what: str, *, limit: float = 120.0, every: float = 0.05, until: Callable[[Any], bool] = bool
    ) -> Any:
        return Deadline(limit).wait_for(read, what=what, every=every, until=until)


@pytest.fixture(scope="session")
def make_azure_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., AzureLab]]:
    """Bring up a lab's network with these settings laid over the default cluster; it is taken down at the end."""
    pytest.importorskip("azure.mgmt.network", reason="the packages of the azure extra are not installed")
    made: list[AzureLab] = []

    def make(*, network_only: bool = True, **over: Any) -> AzureLab:
        name = f"test-{os.getpid()}-{tmp_path_factory.mktemp('azure').name}"
        data = default_cluster.cluster_data(overrides=over)
        made.append(AzureLab(launch.up(data, name=name, persistent=False, network_only=network_only, azure=True)))
        return made[-1]

    yield make
    for lab in made:
        lab.running.down()


@pytest.fixture(scope="session")
def bare(make_azure_lab: Callable[..., AzureLab]) -> AzureLab:
    """A lab's network without a cluster manager, shared by all tests of the session."""
    return make_azure_lab()


@pytest.fixture
def lab(bare: AzureLab) -> Iterator[AzureLab]:
    """The shared lab, put back after each test: faults off, machines on, pool and rules as they were."""
    yield bare
    bare.hand.clear()
    bare.hand.pace(takes_s=0.05, retry_after_s=0, token_s=3600)
    for node in bare.cluster.nodes:
        bare.ask("pool", node=node.name, member=True)
        bare.ask("admin", node=node.name, state="none")
        if bare.power(node.name) != "on":
            bare.compute.virtual_machines.begin_start(bare.group, node.name).result(60)
    for place in bare.ask("nsg"):
        bare.ask("nsg", place=place, rules=[])
