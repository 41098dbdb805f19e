"""The words that renderings share: verdicts, wire codes, outages."""

from __future__ import annotations

from harness.core.text.wording import seconds
from harness.expectations.wire_code_meanings import MEANINGS
from harness.report.record.run_record import ClusterKind, ClusterSummary, RecoveryRecord, Result, RunRecord, TestRecord

LABEL = {Result.PASS: "PASSED", Result.FAIL: "FAILED", Result.INCONCLUSIVE: "INCONCLUSIVE", Result.SKIPPED: "SKIPPED", None: "NOT CHECKED"}
MARK = {Result.PASS: "✓", Result.FAIL: "✗", Result.INCONCLUSIVE: "?", Result.SKIPPED: "-", None: "·"}


def route_in_words(wire: str | None) -> str:
    """How a connection travelled, in words; a code that is not known is shown as it is."""
    if not wire:
        return "not seen"
    return f"{MEANINGS[wire]} ({wire})" if wire in MEANINGS else wire


def cluster_in_words(cluster: ClusterSummary | None) -> str:
    """On what the run was made: `the lab “demo”, design nat`."""
    if cluster is None:
        return "a cluster that was never reached"
    return f"{'the lab' if cluster.kind is ClusterKind.LAB else 'the attached cluster'} “{cluster.name}”, design {cluster.design}"


def node_before(name: str) -> str:
    """The node that was active before, for a sentence; nobody may have known it."""
    return name or "an unknown node"


def measured(recovery: RecoveryRecord) -> str:
    """An outage as its interval: a meter with a period knows it only to within that period (measuring facts)."""
    if recovery.seconds is None:
        return "not measured" if recovery.verdict.outcome is Result.INCONCLUSIVE else "did not recover"
    if recovery.period_s:
        return f"{seconds(max(0.0, recovery.seconds - recovery.period_s))} to {seconds(recovery.seconds)}"
    return seconds(recovery.seconds)


def skipped_by_reason(run: RunRecord) -> dict[str, list[TestRecord]]:
    """The skipped tests under the reason they share, in the order the reasons came up."""
    reasons: dict[str, list[TestRecord]] = {}
    for test in run.tests:
        if test.verdict.outcome is Result.SKIPPED:
            reasons.setdefault(test.verdict.reason, []).append(test)
    return reasons
