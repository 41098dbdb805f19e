"""Data of a service on Azure's temporary disk, which is empty after the machine was deallocated, redeployed or moved."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.rules.host.shared_disks import is_below


def causes(evidence: Evidence) -> Iterator[Cause]:
    """By the folder that a service's process works in, or its database's, and the warning that Azure's agent leaves on that disk."""
    for node, host in evidence.nodes:
        for service in evidence.cluster.services:
            pids = [s.pid for s in host.listening(service.port) if s.pid is not None]
            folders = [
                *(host.data_folders[p].folder for p in pids if p in host.data_folders),
                *(host.folders[p] for p in pids if p in host.folders),
            ]
            found = next(((f, disk) for f in folders for disk in host.next_boot.temporary if is_below(f, disk)), None)
            if found is None:
                continue
            folder, disk = found
            yield Cause(
                f"{service.name} (port {service.port}) works in {folder} of {node.name}, on Azure's temporary disk ({disk}): what "
                "is there is "
                "lost when the machine is deallocated, redeployed or moved to another host of Azure's",
                node.name,
                Certainty.LIKELY,
                f"move {folder} to a managed disk, or to the one that moves with the cluster",
                (
                    f"/proc of who listens on port {service.port} of {node.name}: {folder}",
                    f"{disk}/DATALOSS_WARNING_README.txt on {node.name}: it is there",
                ),
            )
