"""What counts as the same series from night to night, and what is different between two nights. Pure.

A *line* is what a person follows: one path to one service after one disruption on one cluster. A *series* is the part of a line in which
figures may be held against each other: the same manager and versions, design, timers, probe and period. What differs starts a new series.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from harness.report.record.run_record import ClusterSummary
from harness.report.record.series_record import SeriesRecord

Facts = dict[str, str]
"""Names and values in words, such as `timer manager.heartbeat_s`: `5`."""

LINE = ("cluster", "disruption", "before", "target", "path", "service", "kind")
"""The parts of a line's name, in order."""


def cluster_key(cluster: ClusterSummary) -> str:
    """A cluster by its nodes, their addresses and the frontend; neither by its file's name, nor by the order of its nodes in that."""
    nodes = sorted([node.name, node.address, node.second_address or ""] for node in cluster.nodes)
    return _digest([cluster.kind.value, cluster.vip, nodes])


def line_of(cluster: str, series: SeriesRecord) -> dict[str, str]:
    """The line that a series belongs to, by the parts in LINE. `cluster` is a `cluster_key`."""
    line = {"cluster": cluster, **{name: str(getattr(series, name)) for name in LINE[1:]}}
    return line


def identity_of(cluster: ClusterSummary, series: SeriesRecord) -> Facts:
    """What must be the same for figures of one line to be comparable, beside the line itself."""
    kinds = {service.name: service.kind for service in cluster.services}
    return {
        **set_up_of(cluster),
        "design": series.design,
        "meter period": f"{series.period_s:g} s",
        f"kind of {series.service}": kinds.get(series.service, ""),
    }


def set_up_of(cluster: ClusterSummary) -> Facts:
    """What must be the same for any two figures of a cluster to be comparable: manager, versions, probe, and the timers that budgets follow
    from. A version that could not be asked is not among them."""
    return {
        "manager": cluster.manager,
        **{
            f"{program} of {node}": v
            for node, versions in cluster.versions.items()
            for program, v in versions.items()
            if program != "kernel"
        },
        "probe": f"{cluster.probe.protocol} every {cluster.probe.interval_s:g} s, {cluster.probe.threshold} in a row",
        **{f"timer {name}": f"{value:g}" for name, value in cluster.timers.items()},
        **({"heartbeats missed": str(cluster.heartbeats_missed)} if cluster.heartbeats_missed is not None else {}),
    }


def context_of(harness_version: str, cluster: ClusterSummary) -> Facts:
    """What may explain a change of figures and does not forbid to compare them: harness, kernels, the cluster file."""
    return {
        "harness": harness_version,
        **{f"kernel of {node}": versions["kernel"] for node, versions in cluster.versions.items() if "kernel" in versions},
        **({"cluster file": cluster.file_sha256[:12]} if cluster.file_sha256 else {}),
    }


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What differs, a clause each: `timer manager.heartbeat_s 5 → 10`. What only one of them knows is no change: it was not asked."""
    return [f"{name} {before[name]} → {after[name]}" for name in before if name in after and before[name] != after[name]]


def known_to_one(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The names that only one of them knows, of which nobody can say whether they changed."""
    return sorted(set(before) ^ set(after))


def key_of(parts: Mapping[str, str]) -> str:
    """A short name of a line or series for the store, the same wherever it is made."""
    return _digest(dict(parts))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()[:16]
