"""A run in a few plain lines, for the end of a run and for `lkharness report`."""

from __future__ import annotations

import textwrap
from pathlib import Path

from harness.core.text.host_text import one_line
from harness.core.text.wording import count, seconds
from harness.report.lab_disclaimer import is_lab, lab_manager, lab_silent_about
from harness.report.record.labels import LABEL, MARK, cluster_in_words, skipped_by_reason
from harness.report.record.run_record import CauseRecord, Counts, Judgement, PathName, Result, RunRecord
from harness.report.record.run_verdict import severity, worst
from harness.report.statistics import outage_statistics
from harness.report.statistics.path_summary import summarise_paths, worst_recovery

_MAX_SHOWN = 20
_MAX_CAUSES = 5


def summary(run: RunRecord, run_dir: Path, *, width: int = 100) -> str:
    """The verdict, what failed and why, the worst recovery per path, what was skipped, and where the report is."""
    lines = [
        _headline(run),
        f"{counts_in_words(run.counts)} in {seconds(run.seconds)} on {cluster_in_words(run.cluster)}",
    ]
    if is_lab(run):
        lines.append(f"The lab's cluster manager is {lab_manager(run)}: this run says nothing about {lab_silent_about(run)}.")
    lines += _causes(run)
    lines += _findings(run)
    lines += [f"  {s.path} path: worst recovery {worst_recovery(s)}" for s in summarise_paths(run) if s.worst]
    lines += _measurement_lines(run)
    lines += [
        f"  client path to {row.service}: in service for {row.percent:.4f} % of {seconds(row.measured_s)}, out {seconds(row.out_s)}"
        for row in run.availability
        if row.path == "client"
    ]
    lines += _gate(run)
    for reason, tests in skipped_by_reason(run).items():
        lines.append(f"  skipped {count(len(tests), 'test')}: {reason}")
    lines += [f"  missing: {fault.name}: {fault.reason}" for fault in run.evidence_faults]
    report = run_dir / "report.html"
    lines.append(f"report: {report if report.exists() else run_dir / 'run.json'}")
    lines += [run.not_as_found] if run.not_as_found else []
    return "\n".join(wrapped for line in lines for wrapped in _wrap(line, width)) + "\n"


def counts_in_words(counts: Counts) -> str:
    """`24 passed, 1 failed`: what did not happen is left out, except that nothing passed."""
    parts = [f"{counts.passed} passed"]
    for number, label in ((counts.failed, "failed"), (counts.inconclusive, "inconclusive"), (counts.skipped, "skipped")):
        if number:
            parts.append(f"{number} {label}")
    return ", ".join(parts)


def _headline(run: RunRecord) -> str:
    """The verdict; where causes are told, they follow, and its first reason stands behind them."""
    failed_count = run.counts.failed
    if not run.causes or not failed_count or run.not_as_found:
        return f"{LABEL[run.verdict.outcome]}: {run.verdict.reason}"
    return f"{LABEL[run.verdict.outcome]}: {failed_count} of {count(run.counts.executed, 'test')} failed, because"


def _causes(run: RunRecord) -> list[str]:
    """The cause before the symptom, each once, with what to do; what proves it is in the report and with `lkharness explain`."""
    lines = []
    for number, cause in enumerate(run.causes[:_MAX_CAUSES], 1):
        lines += [f"  {number}. {cause.sentence} ({cause.certainty})", f"     do: {cause.do}"]
    if (left_out := len(run.causes) - _MAX_CAUSES) > 0:
        lines.append(f"  … and {count(left_out, 'more cause')} in the report, and with `lkharness explain`")
    return lines


def _findings(run: RunRecord) -> list[str]:
    """Failures first, then what could not be judged. Whose sentence is a cause's own is named by the cause's number."""
    findings = [(t.verdict, t.title, run.cause_of(t.id)) for t in run.tests]
    findings += [(a.verdict, f"audit: {a.name}", run.cause_of_audit(a)) for a in run.audits]
    findings = [(v, title, cause) for v, title, cause in findings if v.outcome in (Result.FAIL, Result.INCONCLUSIVE)]
    findings.sort(key=lambda item: severity(item[0].outcome))
    lines = [f"  {MARK[verdict.outcome]} {title}: {_reason_text(run, verdict, cause)}" for verdict, title, cause in findings[:_MAX_SHOWN]]
    if len(findings) > _MAX_SHOWN:
        lines.append(f"  … and {len(findings) - _MAX_SHOWN} more in the report")
    return lines


def _reason_text(run: RunRecord, verdict: Judgement, cause: CauseRecord | None) -> str:
    """What a cause has said is not said again."""
    index = run.causes.index(cause) if cause is not None else _MAX_CAUSES
    return f"see {index + 1}" if index < _MAX_CAUSES else verdict.reason


def _measurement_lines(run: RunRecord) -> list[str]:
    """The worst of each path, then a line for each disruption: its repeats together."""
    lines = []
    for suffix, worst_by_path in (
        ("", outage_statistics.worst_outages(run)),
        (", established connection", outage_statistics.worst_established(run)),
    ):
        for path, figure in worst_by_path.items():
            measured = figure.record.measured
            text = f"{figure.sentence}{measured.allowed_in_words(path)} ({measured.disruption}, {figure.series.service})"
            lines.append(f"  {path} path{suffix}: at worst {text}")
    if run.calibration and run.measurements:
        lines.append(
            f"  {MARK[Result(run.calibration.verdict.outcome.value)]} meter: {outage_statistics.calibration_in_words(run.calibration)}"
        )
    for group in outage_statistics.groups(run):
        lines.append(_group(group))
        lines += [
            f"    {observation}" for observation in dict.fromkeys(s for record in group.records for s in record.measured.observations)
        ]
    return lines


def _group(group: outage_statistics.Group) -> str:
    outcome = worst(Result(r.measured.verdict.outcome.value) for r in group.records)
    repeated = group.distributions
    if repeated:
        figures_in_words = [f"{d.path} median {_or_never(d.median)}, p95 {_or_never(d.p95)}, max {_or_never(d.longest)}" for d in repeated]
    else:
        record = group.records[-1]
        figures_in_words = [f"{path} {f.words}" for path in PathName if (f := outage_statistics.worst_of(record, path))]
    times = f", {len(group.records)} times" if len(group.records) > 1 else ""
    tokens = outage_statistics.token_totals(group.records)
    figures_in_words += [f"tokens {outage_statistics.tokens_in_words(tokens)}"] if tokens and (tokens.lost or tokens.doubled) else []
    return f"  {MARK[outcome]} {group.name}{times}: {'; '.join(figures_in_words) or 'no path was measured'}"


def _gate(run: RunRecord) -> list[str]:
    """The gate's word, and what of it is not kept or cannot be told."""
    if run.gate is None:
        return []
    headline = {"pass": "passed", "fail": "not passed"}.get(run.gate.outcome, "refuses to say")
    unkept_findings = [finding for finding in run.gate.findings if finding.outcome != "pass"]
    return [
        f"  gate {run.gate.file} {headline}: {run.gate.reason}",
        *(f"    {finding.about}: {finding.reason}" for finding in unkept_findings[1:_MAX_SHOWN]),
    ]


def _or_never(value: float | None) -> str:
    return "never" if value is None else seconds(value)


def _wrap(line: str, width: int) -> list[str]:
    """Wrapped under its own indent; names of files are never broken, so that they can be copied."""
    indent = line[: len(line) - len(line.lstrip())]
    text = one_line(line)
    hanging = indent + ("    " if indent else "  ")
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False) or [
        indent
    ]
