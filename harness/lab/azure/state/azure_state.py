"""What the stand-in knows and remembers: the lab's topology, how to ask it, and what only Azure has (tags, operations)."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.config import cluster_config
from harness.core.errors import BadUse
from harness.lab import lab_config, topology
from harness.lab.azure.state import resource_ids
from harness.lab.azure.state.api_faults import Faults
from harness.lab.azure.state.http_types import Problem
from harness.lab.azure.state.long_running_operations import PACE, Operations, now
from harness.lab.azure.state.misconfigurations import Misconfigurations
from harness.lab.azure.state.oauth_tokens import Tokens
from harness.lab.azure.state.request_log import Record
from harness.lab.azure.state.subscription_conditions import Conditions
from harness.lab.control import control_socket, lab_registry

QUESTION_TIMEOUT_S = 90.0  # of anything but a host's boot


@dataclass
class AzureState:
    """One lab's Azure."""

    lab: lab_registry.LabRecord
    cluster: cluster_config.Cluster
    settings: lab_config.LabSettings
    operations: Operations
    tokens: Tokens
    faults: Faults = field(default_factory=Faults)
    record: Record = field(default_factory=Record)
    misconfigurations: Misconfigurations = field(default_factory=Misconfigurations)
    conditions: Conditions = field(default_factory=Conditions)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)  # by the resource's id in lower case
    deallocated: set[str] = field(default_factory=set)  # hosts that are off in this way
    written_rules: dict[tuple[str, str], Any] = field(default_factory=dict)  # security rules as they were put: (group, name)
    began: str = field(default_factory=now)  # every resource's createdTime
    changing: threading.RLock = field(default_factory=threading.RLock)  # held from reading what is changed until it is changed

    @classmethod
    def of(cls, folder: Path, secret: str) -> AzureState:
        """The state for the lab in that folder; raises BadUse where its cluster file cannot be read."""
        lab = lab_registry.read(folder)
        cluster = cluster_config.load(lab.cluster_file)
        settings = lab_config.make_lab_config(cluster, lab.cluster_file)
        takes_s, retry_after_s = PACE[settings.profile]
        return cls(lab, cluster, settings, Operations(takes_s, retry_after_s), Tokens(secret))

    @property
    def topology(self) -> topology.Topology:
        """The lab's NICs and legs, from its cluster file."""
        return topology.make_topology(self.cluster)

    def ask(self, operation: str, *, limit: float = QUESTION_TIMEOUT_S, **arguments: Any) -> Any:
        """Ask or tell the lab. Raises Problem with the lab's own words when it refuses, Unusable when it has ended."""
        assert self.lab.pid is not None
        try:
            return control_socket.ask(self.lab.pid, operation, limit=limit, **arguments)
        except BadUse as refused:
            raise Problem(409, "OperationNotAllowed", f"The lab refused: {refused}") from refused

    def status(self) -> dict[str, Any]:
        """The lab's state now."""
        return self.ask("status")

    def power(self, host: str) -> str:
        """on, off or frozen."""
        return self.host_status(host)["power"]

    def host_status(self, host: str) -> dict[str, Any]:
        """What the lab tells of one host."""
        return next(h for h in self.status()["hosts"] if h["name"] == host)

    def set_power(self, host: str, to: str, **arguments: Any) -> str:
        """Change a host's power; waits for as long as a boot of its kind may take. Raises as `ask` does."""
        limit = QUESTION_TIMEOUT_S + self.host_status(host)["boot_timeout_s"]
        return self.ask("power", limit=limit, node=host, to=to, **arguments)

    def host(self, machine: str, group: str) -> str:
        """The lab's host behind a virtual machine's name. Raises Problem when there is none."""
        for host in self.cluster.machines:
            if host.name.lower() == machine.lower():
                return host.name
        raise Problem(
            404,
            "ResourceNotFound",
            f"The Resource 'Microsoft.Compute/virtualMachines/{machine}' under resource group '{group}' was not found.",
        )

    def tags_of(self, id: str) -> dict[str, str]:
        """The tags of a resource, by its id in any case of letters."""
        return dict(self.tags.get(id.lower(), {}))

    def common(self, id: str, name: str, kind: str) -> dict[str, Any]:
        """What every resource starts with."""
        tags = self.tags_of(id)
        return {"name": name, "id": id, "type": kind, "location": resource_ids.LOCATION, **({"tags": tags} if tags else {})}


def provisioning_state(fabric: AzureState, subject: str) -> str:
    """A resource's provisioningState."""
    return "Updating" if fabric.operations.running(subject) else "Succeeded"
