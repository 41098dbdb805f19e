"""Which runs must not be held against each other, and why. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from harness.report.record.run_record import ClusterSummary, RunRecord
from harness.report.statistics.series_identity import changes, cluster_key, known_to_one, set_up_of


def why_not_comparable(before: RunRecord, after: RunRecord) -> list[str]:
    """Every reason, a clause each; empty when they may be compared."""
    if before.run_id == after.run_id:
        return [f"it is the same run twice, {before.run_id}"]
    if before.cluster is None or after.cluster is None:
        return [f"{run.run_id} never knew its cluster" for run in (before, after) if run.cluster is None]
    old, new = before.cluster, after.cluster
    pairs = {
        "the cluster manager": (old.manager, new.manager),
        "the design": (old.design, new.design),
        "what was measured": (old.kind.value, new.kind.value),
    }
    reasons = [f"{aspect} differs: {a} and {b}" for aspect, (a, b) in pairs.items() if a != b]
    if old.kind is new.kind and cluster_key(old) != cluster_key(new):
        reasons.append(f"the cluster differs: {_cluster(old)} and {_cluster(new)}")
    set_ups = [{name: value for name, value in set_up_of(cluster).items() if name != "manager"} for cluster in (old, new)]
    reasons += [f"the set-up differs: {change}" for change in changes(*set_ups)]
    kinds = [{f"kind of {service.name}": service.kind for service in cluster.services} for cluster in (old, new)]
    reasons += [f"the set-up differs: {change}" for change in changes(*kinds)]
    old_periods, new_periods = _periods(before), _periods(after)
    for series in sorted(set(old_periods) & set(new_periods)):
        if old_periods[series] != new_periods[series]:
            old_values, new_values = _join_periods(old_periods[series]), _join_periods(new_periods[series])
            reasons.append(f"the meter's period differs for {' '.join(series)}: {old_values} and {new_values}")
    return reasons


def not_known_whether_comparable(before: RunRecord, after: RunRecord) -> list[str]:
    """What only one of two runs knows of its set-up, such as a version that one night could not be asked."""
    if before.cluster is None or after.cluster is None:
        return []
    return [f"{name} ({before.run_id})" for name in known_to_one(set_up_of(before.cluster), set_up_of(after.cluster))]


def _periods(run: RunRecord) -> Mapping[tuple[str, str], set[float]]:
    """Service and kind of connection → the meter's periods in seconds."""
    periods: dict[tuple[str, str], set[float]] = {}
    for measurement in run.measurements:
        for series in measurement.measured.series:
            periods.setdefault((series.service, series.kind), set()).add(series.period_s)
    return periods


def _cluster(cluster: ClusterSummary) -> str:
    """`10.20.1.200 of lknode01 (10.20.1.11), lknode02 (10.20.1.12)`."""
    return f"{cluster.vip} of {', '.join(f'{node.name} ({node.address})' for node in cluster.nodes)}"


def _join_periods(periods: set[float]) -> str:
    return ", ".join(f"{period:g} s" for period in sorted(periods))
