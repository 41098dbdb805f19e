"""How long a path may be out, computed from the timers that the cluster file tells. Pure.

Facts TIME-07: never tighter than the probe allows, the phases added up, and a margin for what is not documented (TIME-09).
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.config.cluster_config import Cluster
from harness.config.cluster_manager_config import DEFAULT_CHECK_LIMIT_S


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
    return _crashed(cluster, cluster.manager.check_interval_s, f"check interval {cluster.manager.check_interval_s:g} + ")


def node_loss(cluster: Cluster) -> Allowance:
    """A node gone silent: every communication path must miss its heartbeats first (facts LKL-35, LKL-36)."""
    manager = cluster.manager
    silence = manager.heartbeat_s * manager.heartbeats_missed
    return _crashed(cluster, silence, f"heartbeats missed {manager.heartbeats_missed} × {manager.heartbeat_s:g} + ")


def service_hang(cluster: Cluster) -> Allowance:
    """A service that hangs: its check must run into its own limit first, and so may the attempt to end it in order."""
    manager = cluster.manager
    limit = manager.check_limit_s or DEFAULT_CHECK_LIMIT_S
    text = f"check interval {manager.check_interval_s:g} + check and end of what hangs 2 × {limit:g} + "
    return _crashed(cluster, manager.check_interval_s + 2 * limit, text)


def probe_lost(cluster: Cluster) -> Allowance:
    """No probe arrives: the health-check resource waits for HC_TIMEOUT, then its check fails, then all goes over (facts LKL-59).

    A cluster file without `hc_timeout_s` gets none for it: whoever needs it must ask first (`Disruption.lacks`).
    """
    manager = cluster.manager
    timeout_s = manager.hc_timeout_s or 0.0
    text = f"HC_TIMEOUT {timeout_s:g} + check interval {manager.check_interval_s:g} + "
    return _allow(cluster, timeout_s + manager.check_interval_s, text)


def split_brain(cluster: Cluster) -> Allowance:
    """Both nodes alive and silent to each other: the peer starts everything; the loser of the disk notices at its next check, and
    falls silent, which its probe must see (facts LKL-40, TIME-02)."""
    manager, probe = cluster.manager, cluster.load_balancer.probe
    silence = manager.heartbeat_s * manager.heartbeats_missed
    detection = silence + manager.check_interval_s + (probe.threshold + 1) * probe.interval_s
    text = f"heartbeats missed {manager.heartbeats_missed} × {manager.heartbeat_s:g} + loser's check {manager.check_interval_s:g} + "
    return _crashed(cluster, detection, f"{text}loser's probe-down {probe.threshold + 1} × {probe.interval_s:g} + ")


def balancer_alone(cluster: Cluster) -> Allowance:
    """Only the balancer has to change its mind about a member, in either direction (facts TIME-01 to TIME-03)."""
    probe, margin = cluster.load_balancer.probe, cluster.budget.margin_s
    failed_probes = probe.threshold + 1
    return Allowance(
        failed_probes * probe.interval_s + margin, f"probe verdict {failed_probes} × {probe.interval_s:g} + margin {margin:g} s"
    )


def _crashed(cluster: Cluster, detection: float, detection_text: str) -> Allowance:
    """The service had no time to end in order: a database replays its log before it serves, after the takeover."""
    recovery = cluster.budget.recovery_s
    return _allow(cluster, detection + recovery, f"{detection_text}database recovery {recovery:g} + " if recovery else detection_text)


def _allow(cluster: Cluster, detection: float, detection_text: str) -> Allowance:
    probe, margin, takeover = cluster.load_balancer.probe, cluster.budget.margin_s, cluster.manager.takeover_s
    interval, threshold = probe.interval_s, probe.threshold
    # The health-check resource waits for a first probe before it is in service (facts LKL-57): one interval more. That makes the
    # sum longer than (N+1)·I, the time that the probe of a silent node takes to fail (TIME-02), so that needs no term of its own.
    total = detection + takeover + interval + threshold * interval + margin
    because = f"{detection_text}takeover {takeover:g} + first probe {interval:g} + probe-up {threshold} × {interval:g} + margin {margin:g}"
    return Allowance(total, because + " s")
