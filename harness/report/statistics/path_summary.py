"""What a run says about each path: its result, and its worst and longest recovery. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from harness.core.text.wording import seconds
from harness.report.record.labels import measured
from harness.report.record.run_record import PathName, RecoveryRecord, Result, RunRecord
from harness.report.record.run_verdict import severity, worst


@dataclass(frozen=True)
class PathSummary:
    """What a run says about one path: its result (None when nothing looked at it) and its worst recoveries."""

    path: PathName
    result: Result | None
    checks: int
    worst: tuple[str, RecoveryRecord] | None
    """The recovery that came closest to, or went furthest over, its budget, with its disruption's name."""
    longest: tuple[str, RecoveryRecord] | None
    """The longest one measured, which has another budget when it is not also the worst."""


def summarise_paths(run: RunRecord) -> list[PathSummary]:
    """One summary for each path."""
    return [_summary(run, path) for path in PathName]


def _summary(run: RunRecord, path: PathName) -> PathSummary:
    checks = [c for t in run.tests for c in t.checks if c.path is path]
    recoveries = [(d.name, r) for t in run.tests for d in t.disruptions for r in d.recoveries if r.path is path]
    measurements = [Result(t.verdict.outcome.value) for m in run.measurements for t in m.measured.series if t.path == path]
    with_figure = [(name, r) for name, r in recoveries if r.seconds is not None]
    return PathSummary(
        path=path,
        result=worst([c.verdict.outcome for c in checks] + [r.verdict.outcome for _, r in recoveries] + measurements),
        checks=len(checks) + len(measurements),
        worst=min(recoveries, key=lambda pair: _closeness(pair[1]), default=None),
        longest=max(with_figure, key=lambda pair: pair[1].seconds or 0.0, default=None),
    )


def _closeness(recovery: RecoveryRecord) -> tuple[int, float]:
    """Sorts failures first, then what used most of its budget."""
    share_used = float("inf") if recovery.seconds is None else recovery.seconds / max(recovery.budget_s, 1e-9)
    return severity(recovery.verdict.outcome), -share_used


def worst_recovery(summary: PathSummary) -> str:
    """`1.21 s, 6.00 s allowed (switchover)`, and the longest one when that is another."""
    if summary.worst is None:
        return "no recovery was measured"
    name, recovery = summary.worst
    text = f"{measured(recovery)}, {seconds(recovery.budget_s)} allowed ({name})"
    if summary.longest and summary.longest[1] is not recovery:
        name, longest = summary.longest
        text += f"; longest {measured(longest)}, {seconds(longest.budget_s)} allowed ({name})"
    return text
