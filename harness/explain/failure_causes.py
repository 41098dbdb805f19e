"""Causes from what all hosts said of themselves when a test failed: the bundles in a run's evidence/, judged as any bundle is.

What was said while a disruption was in force names no cause: it would blame what the harness itself did. A test that failed when no more
was kept is judged by the last that was, unless something was disturbed since.
"""

from __future__ import annotations

from pathlib import Path

from harness.check import bundle_check
from harness.check.check_result import Findings
from harness.config.cluster_config import Cluster
from harness.core.errors import BadUse
from harness.diagnosis import wire_code_causes
from harness.diagnosis.cause import Cause
from harness.diagnosis.evidence import PathSeen
from harness.report.record.run_record import CheckRecord, RunRecord, StateRecord

MAX_BUNDLES = 30  # at bundles, for one explanation: a run's folder may be a stranger's


class FailureStates:
    """Of one run and its folder; what lies outside of the folder is not read."""

    def __init__(self, run: RunRecord, folder: Path) -> None:
        self._run, self._folder = run, folder
        self._looks = 0
        disturbed = {m.test for m in run.measurements} | {t.id for t in run.tests if t.disruptions}
        first_by_test = {s.test: s for s in reversed(run.states)}
        self._of: dict[str, StateRecord] = {}
        state = first_by_test.get("")
        for test in run.tests:
            own_state = first_by_test.get(test.id)
            state = own_state or (None if test.id in disturbed else state)
            if state is not None and not state.during:
                self._of[test.id] = state
            if test.id in disturbed:
                state = None
        if "" in first_by_test:
            self._of[""] = first_by_test[""]

    def causes(self, test: str) -> list[tuple[Cause, tuple[str, ...]]]:
        """Those that are faults, best first, each with the symptoms under it; none where nothing was kept, or where it cannot be read."""
        state = self._of.get(test)
        if state is None or self._looks >= MAX_BUNDLES:
            return []
        path = self._folder / state.path
        if not path.resolve().is_relative_to(self._folder.resolve()) or not path.is_file():
            return []
        self._looks += 1
        checks = [check for t in self._run.tests if t.id == test for check in t.checks if check.path]
        try:
            # How all paths were right after the test; where that names nothing (it may have been over by then), how the test's own were.
            return _faults(bundle_check.look(path)) or _faults(bundle_check.look(path, lambda cluster: _paths(checks, cluster)))
        except BadUse:  # it was changed, or cut off: what the run itself recorded is told
            return []


def _faults(findings: Findings) -> list[tuple[Cause, tuple[str, ...]]]:
    pairs = zip(findings.diagnosis.causes, findings.diagnosis.under, strict=True)
    return [(cause, under) for cause, under in pairs if cause.is_fault]


def _paths(checks: list[CheckRecord], cluster: Cluster) -> list[PathSeen]:
    services = {s.name: s for s in cluster.services}
    return [
        PathSeen(
            str(check.path),
            check.origin or "",
            services[check.service],
            str(check.verdict.outcome),
            check.verdict.reason,
            outcomes=frozenset(check.attempts.outcomes if check.attempts else ()),
            ways=frozenset(wire_code_causes.codes(check.wire or "")),
            nodes=frozenset([check.node] if check.node else ()),
        )
        for check in checks
        if check.service in services and check.what == ""
    ]
