"""summary.md: a run on one screen of a CI service, in Markdown that every service shows."""

from __future__ import annotations

import re

from harness.core.text.host_text import one_line
from harness.core.text.wording import count, seconds
from harness.report.budget_rows import allowed_in_words, budget_rows
from harness.report.lab_disclaimer import is_lab, lab_manager, lab_silent_about
from harness.report.record.labels import LABEL, MARK, cluster_in_words, node_before, skipped_by_reason
from harness.report.record.run_record import Result, RunRecord
from harness.report.record.run_verdict import severity
from harness.report.record.series_record import SeriesRecord
from harness.report.terminal_summary import counts_in_words

MAX_ROWS = 40
MAX_LENGTH = 300  # of one reason
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&@$]|:(?=//)|(?<=www)\.)")


def markdown(run: RunRecord) -> str:
    """The verdict, what failed and why, the gate's word, each path against its budget, and the figures of new connections."""
    lines = [
        f"## {MARK[run.verdict.outcome]} {LABEL[run.verdict.outcome]}: connectivity of {plain(cluster_in_words(run.cluster))}",
        "",
        f"{plain(run.verdict.reason)}",
        "",
        f"{counts_in_words(run.counts)} in {seconds(run.seconds)}, exit code {run.exit_code}, run {plain(run.run_id)}",
    ]
    if is_lab(run):
        lines += ["", f"The lab's cluster manager is {plain(lab_manager(run))}: this run says nothing about {lab_silent_about(run)}."]
    lines += _causes(run) + _failed(run) + _gate(run) + _availability(run) + _budgets(run) + _figures(run) + _skipped(run)
    return "\n".join(lines) + "\n"


def plain(text: str) -> str:
    """Text from outside as it is to be read: on one line, nothing in it is a link, a mention, HTML or another column."""
    line = one_line(text)
    return _SPECIAL.sub(r"\\\1", line if len(line) <= MAX_LENGTH else f"{line[: MAX_LENGTH - 1]}…")


def _causes(run: RunRecord) -> list[str]:
    lines = []
    for number, cause in enumerate(run.causes[:5], 1):
        lines += [f"{number}. **{plain(cause.sentence)}** ({cause.certainty})  ", f"   do: {plain(cause.do)}"]
    return ["", "### Why", "", *lines] if lines else []


def _failed(run: RunRecord) -> list[str]:
    verdicts = [(t.verdict, t.title) for t in run.tests] + [(a.verdict, f"audit: {a.name}") for a in run.audits]
    bad = sorted(
        (verdict_and_title for verdict_and_title in verdicts if verdict_and_title[0].outcome in (Result.FAIL, Result.INCONCLUSIVE)),
        key=lambda verdict_and_title: severity(verdict_and_title[0].outcome),
    )
    rows = [f"| {MARK[verdict.outcome]} | {plain(title)} | {plain(verdict.reason)} |" for verdict, title in bad[:MAX_ROWS]]
    more = [f"\n… and {len(bad) - MAX_ROWS} more in the report"] if len(bad) > MAX_ROWS else []
    return ["", "### What did not pass", "", "| | test | reason |", "|---|---|---|", *rows, *more] if rows else []


def _availability(run: RunRecord) -> list[str]:
    rows = [
        f"| {entry.path} | {plain(entry.service)} | {entry.percent:.4f} % | {seconds(entry.out_s)} | {seconds(entry.measured_s)} |"
        for entry in run.availability
    ]
    return ["", "### Availability", "", "| path | service | in service | out | measured |", "|---|---|---|---|---|", *rows] if rows else []


def _gate(run: RunRecord) -> list[str]:
    if run.gate is None:
        return []
    mark = {"pass": "✓", "fail": "✗"}
    rows = [
        f"| {mark.get(finding.outcome, '?')} | {plain(finding.about)} | {plain(finding.reason)} |"
        for finding in run.gate.findings[:MAX_ROWS]
    ]
    head = ["", f"### Gate {plain(run.gate.file)}: {plain(run.gate.reason)}"]
    return [*head, "", "| | demand | reason |", "|---|---|---|", *rows] if rows else head


def _budgets(run: RunRecord) -> list[str]:
    budgets = budget_rows(run)
    rows = [
        f"| {MARK[row.result]} | {plain(row.group.name)} | {row.path} | {plain(row.figure.words)} | {row.allowed} | {row.used or '–'} "
        f"| {plain(row.longest) or '–'} | {plain(row.over) or '–'} |"
        for row in budgets[:MAX_ROWS]
    ]
    head = [
        "",
        "### Against the budget",
        "",
        "| | disruption | path | recovered after, at worst | budget | used | longest phase | phase over its part of the budget |",
        "|---" * 8 + "|",
    ]
    more = [f"\n… and {len(budgets) - MAX_ROWS} more in the report"] if len(budgets) > MAX_ROWS else []
    return [*head, *rows, *more] if rows else []


def _figures(run: RunRecord) -> list[str]:
    measured_series = [series for series in run.series if series.kind == "new" and series.n and series.expects != "any"]
    rows = [
        f"| {plain(series.disruption)} from {plain(node_before(series.before))} | {series.path} | {plain(series.service)} | {series.n} "
        f"| {_or_never(series.median_s)} | {_or_never(series.p95_s)} | {_or_never(series.max_s)} | {_interval(series)} "
        f"| {allowed_in_words(series.expects, series.budget_s)} |"
        for series in measured_series[:MAX_ROWS]
    ]
    head = [
        "",
        "### Measured",
        "",
        "| disruption | path | service | n | median | p95 | max | 95 % of the median | budget |",
        "|---" * 9 + "|",
    ]
    more = [f"\n… and {len(measured_series) - MAX_ROWS} more series in run.json"] if len(measured_series) > MAX_ROWS else []
    return [*head, *rows, *more] if rows else []


def _skipped(run: RunRecord) -> list[str]:
    tests_by_reason = skipped_by_reason(run)
    return (
        ["", *(f"- skipped {count(len(tests), 'test')}: {plain(reason)}" for reason, tests in tests_by_reason.items())]
        if tests_by_reason
        else []
    )


def _or_never(value: float | None) -> str:
    return "never" if value is None else seconds(value)


def _interval(series: SeriesRecord) -> str:
    return "–" if series.interval_s is None else f"{seconds(series.interval_s[0])} to {_or_never(series.interval_s[1])}"
