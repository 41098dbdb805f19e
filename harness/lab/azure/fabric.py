"""What the stand-in knows and remembers: the lab's figure, how to ask it, and what only Azure has (tags, operations)."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import model
from harness.errors import BadUse
from harness.lab import control, registry, settings, topology
from harness.lab.azure import names
from harness.lab.azure.conditions import Conditions
from harness.lab.azure.faults import Faults
from harness.lab.azure.long_running import Operations
from harness.lab.azure.record import Record
from harness.lab.azure.tokens import Tokens
from harness.lab.azure.wire import Problem
from harness.lab.azure.wrongs import Wrongs

# How fast the lab's Azure is: the least seconds of an operation, and what Retry-After says.
PACE = {"fast": (0.05, 0), "azure": (3.0, 5)}
ASK_S = 90.0  # the longest thing that a lab can be asked: a host's boot


@dataclass
class Fabric:
    """One lab's Azure."""

    lab: registry.LabRecord
    cluster: model.Cluster
    settings: settings.LabSettings
    operations: Operations
    tokens: Tokens
    faults: Faults = field(default_factory=Faults)
    record: Record = field(default_factory=Record)
    wrongs: Wrongs = field(default_factory=Wrongs)
    conditions: Conditions = field(default_factory=Conditions)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)  # by the resource's id in lower case
    deallocated: set[str] = field(default_factory=set)  # hosts that are off in this way
    written_rules: dict[tuple[str, str], Any] = field(default_factory=dict)  # security rules as they were put: (group, name)
    changing: threading.RLock = field(default_factory=threading.RLock)  # held from reading what is changed until it is changed

    @classmethod
    def of(cls, folder: Path, secret: str) -> Fabric:
        lab = registry.read(folder)
        cluster = model.load(lab.cluster_file)
        own = settings.of(cluster, lab.cluster_file)
        takes_s, retry_after_s = PACE[own.profile]
        return cls(lab, cluster, own, Operations(takes_s, retry_after_s), Tokens(secret))

    @property
    def topology(self) -> topology.Topology:
        return topology.of(self.cluster)

    def ask(self, operation: str, **arguments: Any) -> Any:
        """Ask or tell the lab. Raises Problem with the lab's own words when it refuses, Unusable when it has ended."""
        assert self.lab.pid is not None
        try:
            return control.ask(self.lab.pid, operation, limit=ASK_S, **arguments)
        except BadUse as refused:
            raise Problem(409, "OperationNotAllowed", f"The lab refused: {refused}") from refused

    def status(self) -> dict[str, Any]:
        """The lab's state now."""
        return self.ask("status")

    def power(self, host: str) -> str:
        """on, off or frozen."""
        return next(h["power"] for h in self.status()["hosts"] if h["name"] == host)

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
        return dict(self.tags.get(id.lower(), {}))

    def common(self, id: str, name: str, kind: str) -> dict[str, Any]:
        """What every resource starts with."""
        tags = self.tags_of(id)
        return {"name": name, "id": id, "type": kind, "location": names.LOCATION, **({"tags": tags} if tags else {})}


def settled(fabric: Fabric, subject: str) -> str:
    """A resource's provisioningState."""
    return "Updating" if fabric.operations.running(subject) else "Succeeded"
