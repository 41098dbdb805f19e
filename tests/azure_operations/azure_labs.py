"""A lab with the stand-in for Azure's API beside it: what the API is told to get wrong, what it was asked, and what is true."""

from __future__ import annotations

import json
import ssl
import urllib.request
from types import SimpleNamespace
from typing import Any

from harness.config import cluster_config
from harness.core.timeline import Timeline
from harness.lab.lifecycle import launch


class AzureLab:
    """`ask` is the lab itself; `own` the stand-in's /lab/… endpoint."""

    def __init__(self, running: launch.RunningLab) -> None:
        self.running = running
        self.file = running.cluster_file
        self.cluster = cluster_config.load(self.file)
        assert self.cluster.azure is not None and self.cluster.azure.client_secret_file is not None
        self.azure = self.cluster.azure
        self._secret = self.cluster.azure.client_secret_file.read_text().strip()
        self._tls = ssl.create_default_context(cafile=str(self.azure.ca_file))

    def own(self, what: str, method: str = "GET", body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.azure.resource_manager}/lab/{what}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Lab {self._secret}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20, context=self._tls) as answer:
            said = answer.read()
        return json.loads(said) if said else None

    def status(self) -> dict[str, Any]:
        return self.running.record.ask("status")

    def power(self, host: str) -> str:
        return next(h["power"] for h in self.status()["hosts"] if h["name"] == host)

    def requests(self, path_end: str) -> list[dict[str, Any]]:
        """What the stand-in was asked, by the end of the path."""
        return [r for r in self.own("requests") if r["path"].lower().endswith(path_end.lower())]

    def undisturbed(self) -> list[str]:
        """What is not as it must be: a host off, a rule or a tag of ours, a member out of the pool or with an adminState."""
        faults = [f"{h['name']} is {h['power']}" for h in self.status()["hosts"] if h["power"] != "on"]
        faults += [f"{m['node']} is not in the pool" for m in self.status()["balancer"] if not m["in_pool"]]
        faults += [f"{m['node']}'s adminState is {m['admin_state']}" for m in self.status()["balancer"] if m["admin_state"] != "none"]
        rules = self.running.record.ask("nsg")
        faults += [f"{place} has {r['name']}" for place, those in rules.items() for r in those if r["name"].startswith("lkharness")]
        return faults


class ByTheLab:
    """A host that is asked nothing but whether it is alive, and the lab answers for it: for labs without sshd and a cluster manager."""

    def __init__(self, lab: AzureLab, name: str) -> None:
        self._lab = lab
        self.name = name

    def alive(self, *, limit: float = 2.0) -> bool:
        return self._lab.power(self.name) == "on"


def subject(lab: AzureLab, timeline: Timeline) -> Any:
    """As much of a Subject as a power disruption needs, with the first node active."""
    return SimpleNamespace(
        cluster=lab.cluster,
        timeline=timeline,
        active=lab.cluster.nodes[0].name,
        standby_of=lambda active: lab.cluster.peer_of(active).name,
        hosts={m.name: ByTheLab(lab, m.name) for m in lab.cluster.machines},
        absent=set(),
        standing=[],
        before_undoing=lambda: None,
        lost=lambda: "",
        permit=lambda disruption: None,
    )
