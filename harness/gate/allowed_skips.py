"""Which tests may be skipped, by whose permission, and until when: `[[allowed_skip]]` of the gate file. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase

from harness.gate.gate_file import AllowedSkip, Gate
from harness.gate.slowdown import FAIL, PASS
from harness.report.record.gate_record import GateFinding
from harness.report.record.run_record import Result, RunRecord, TestRecord


def skip_findings(gate: Gate, run: RunRecord) -> Iterable[GateFinding]:
    """One for each skipped test: who allowed it and why, or that nobody did, or that the permission (`until`, a date in UTC) is over."""
    skipped = [test for test in run.tests if test.verdict.outcome is Result.SKIPPED]
    if gate.skips == "any" or not skipped:
        return
    today = datetime.fromtimestamp(run.started.epoch, UTC).date()
    for test in skipped:
        allowed = next((rule for rule in gate.allowed_skip if _matches(rule, test)), None)
        about = f"skipped: {test.title}"
        if allowed is None:
            yield GateFinding(
                about=about, outcome=FAIL, reason=f"no [[allowed_skip]] names it; it was skipped because {test.verdict.reason}"
            )
        elif _is_over(allowed, today):
            yield GateFinding(about=about, outcome=FAIL, reason=f"{allowed.by} allowed it until {allowed.until}, because {allowed.because}")
        else:
            yield GateFinding(about=about, outcome=PASS, reason=f"allowed by {allowed.by}, because {allowed.because}")


def _matches(rule: AllowedSkip, test: TestRecord) -> bool:
    """By an id or title as it stands in run.json, too: the brackets of a parameter would be a set of characters in a pattern."""
    if rule.test in (test.id, test.title):
        return True
    return fnmatchcase(test.id, rule.test) or fnmatchcase(test.title, rule.test)


def _is_over(rule: AllowedSkip, today: date) -> bool:
    return rule.until is not None and today > rule.until
