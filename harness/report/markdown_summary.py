"""summary.md: a run on one screen of a CI service, in Markdown that every service shows."""

from __future__ import annotations

import re

from harness.core.text.host_text import one_line
from harness.core.text.wording import count, seconds
from harness.report.budget_rows import allowed_in_words, budget_rows
from harness.report.lab_disclaimer import is_lab, lab_manager, lab_silent_about
from harness.report.record.labels import LABEL, MARK, node_before, skipped_by_reason, where
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
        f"## {MARK[run.verdict.outcome]} {LABEL[run.verdict.outcome]}: connectivity of {plain(where(run.cluster))}",
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
    shown = one_line(text)
    return _SPECIAL.sub(r"\\\1", shown if len(shown) <= MAX_LENGTH else f"{shown[: MAX_LENGTH - 1]}…")


def _causes(run: RunRecord) -> list[str]:
    lines = []
    for number, cause in enumerate(run.causes[:5], 1):
        lines += [f"{number}. **{plain(cause.sentence)}** ({cause.certainty})  ", f"   do: {plain(cause.do)}"]
    return ["", "### Why", "", *lines] if lines else []


def _failed(run: RunRecord) -> list[str]:
    found = [(t.verdict, t.title) for t in run.tests] + [(a.verdict, f"audit: {a.name}") for a in run.audits]
    bad = sorted((one for one in found if one[0].outcome in (Result.FAIL, Result.INCONCLUSIVE)), key=lambda one: severity(one[0].outcome))
    rows = [f"| {MARK[verdict.outcome]} | {plain(title)} | {plain(verdict.reason)} |" for verdict, title in bad[:MAX_ROWS]]
    more = [f"\n… and {len(bad) - MAX_ROWS} more in the report"] if len(bad) > MAX_ROWS else []
    return ["", "### What did not pass", "", "| | test | reason |", "|---|---|---|", *rows, *more] if rows else []


def _availability(run: RunRecord) -> list[str]:
    rows = [
        f"| {one.path} | {plain(one.service)} | {one.percent:.4f} % | {seconds(one.out_s)} | {seconds(one.measured_s)} |"
        for one in run.availability
    ]
    return ["", "### Availability", "", "| path | service | in service | out | measured |", "|---|---|---|---|---|", *rows] if rows else []


def _gate(run: RunRecord) -> list[str]:
    if run.gate is None:
        return []
    mark = {"pass": "✓", "fail": "✗"}
    rows = [f"| {mark.get(one.outcome, '?')} | {plain(one.about)} | {plain(one.reason)} |" for one in run.gate.findings[:MAX_ROWS]]
    head = ["", f"### Gate {plain(run.gate.file)}: {plain(run.gate.reason)}"]
    return [*head, "", "| | demand | reason |", "|---|---|---|", *rows] if rows else head


def _budgets(run: RunRecord) -> list[str]:
    found = budget_rows(run)
    rows = [
        f"| {MARK[one.result]} | {plain(one.group.name)} | {one.path} | {plain(one.figure.words)} | {one.allowed} | {one.used or '–'} "
        f"| {plain(one.longest) or '–'} | {plain(one.over) or '–'} |"
        for one in found[:MAX_ROWS]
    ]
    head = [
        "",
        "### Against the budget",
        "",
        "| | disruption | path | recovered after, at worst | budget | used | longest phase | phase over its part of the budget |",
        "|---" * 8 + "|",
    ]
    more = [f"\n… and {len(found) - MAX_ROWS} more in the report"] if len(found) > MAX_ROWS else []
    return [*head, *rows, *more] if rows else []


def _figures(run: RunRecord) -> list[str]:
    shown = [one for one in run.series if one.kind == "new" and one.n and one.expects != "any"]
    rows = [
        f"| {plain(one.disruption)} from {plain(node_before(one.before))} | {one.path} | {plain(one.service)} | {one.n} "
        f"| {_or_never(one.median_s)} | {_or_never(one.p95_s)} | {_or_never(one.max_s)} | {_interval(one)} "
        f"| {allowed_in_words(one.expects, one.budget_s)} |"
        for one in shown[:MAX_ROWS]
    ]
    head = [
        "",
        "### Measured",
        "",
        "| disruption | path | service | n | median | p95 | max | 95 % of the median | budget |",
        "|---" * 9 + "|",
    ]
    more = [f"\n… and {len(shown) - MAX_ROWS} more series in run.json"] if len(shown) > MAX_ROWS else []
    return [*head, *rows, *more] if rows else []


def _skipped(run: RunRecord) -> list[str]:
    found = skipped_by_reason(run)
    return ["", *(f"- skipped {count(len(tests), 'test')}: {plain(reason)}" for reason, tests in found.items())] if found else []


def _or_never(value: float | None) -> str:
    return "never" if value is None else seconds(value)


def _interval(one: SeriesRecord) -> str:
    return "–" if one.interval_s is None else f"{seconds(one.interval_s[0])} to {_or_never(one.interval_s[1])}"
