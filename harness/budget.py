"""How long a path may be out, computed from the timers that the cluster file tells. Pure.

Facts TIME-07: never tighter than the probe allows, the phases added up, and a margin for what is not documented (TIME-09).
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.model import Cluster


@dataclass(frozen=True)
class Allowance:
    """A budget in seconds, and the sum that it comes from, for the report."""

    seconds: float
    because: str


def switchover(cluster: Cluster) -> Allowance:
    """An orderly switchover: nothing to detect, the old side refuses the probe at once."""
    return _allow(cluster, 0.0, "")


def service_crash(cluster: Cluster) -> Allowance:
    """A crashed service: found by the next check at the latest, then recovered here or there."""
    return _allow(cluster, cluster.manager.check_interval_s, f"check interval {cluster.manager.check_interval_s:g} + ")


def node_loss(cluster: Cluster) -> Allowance:
    """A node gone silent: every communication path must miss its heartbeats first (facts LKL-35, LKL-36)."""
    manager = cluster.manager
    silence = manager.heartbeat_s * manager.heartbeats_missed
    return _allow(cluster, silence, f"heartbeats missed {manager.heartbeats_missed} × {manager.heartbeat_s:g} + ")


def _allow(cluster: Cluster, detection: float, detection_text: str) -> Allowance:
    probe, margin, takeover = cluster.load_balancer.probe, cluster.budget.margin_s, cluster.manager.takeover_s
    interval, threshold = probe.interval_s, probe.threshold
    # The health-check resource waits for a first probe before it is in service (facts LKL-57): one interval more. That makes the
    # sum longer than (N+1)·I, the time that the probe of a silent node takes to fail (TIME-02), so that needs no term of its own.
    total = detection + takeover + interval + threshold * interval + margin
    because = f"{detection_text}takeover {takeover:g} + first probe {interval:g} + probe-up {threshold} × {interval:g} + margin {margin:g}"
    return Allowance(total, because + " s")
