"""Which runs must not be held against each other, and why. Pure."""

from __future__ import annotations

from harness.report.record.run_record import RunRecord


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
    found = [f"{what} differs: {a} and {b}" for what, (a, b) in pairs.items() if a != b]
    periods = [{series.period_s for m in run.measurements for series in m.measured.series} for run in (before, after)]
    if all(periods) and not periods[0] & periods[1]:
        found.append(f"the meter's period differs: {_listed(periods[0])} and {_listed(periods[1])}")
    return found


def _listed(periods: set[float]) -> str:
    return ", ".join(f"{period:g} s" for period in sorted(periods))
