"""report.html: one self-contained file, offline, for a screen, a phone and paper."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment

from harness.core.text import wording
from harness.report import lab_disclaimer
from harness.report.html.measurement_cards import measured_view, title
from harness.report.html.page_environment import inline_script, page_environment, style
from harness.report.record import labels
from harness.report.record.run_record import DisruptionRecord, EvidenceFile, RecoveryRecord, Result, RunRecord, TestRecord
from harness.report.record.run_verdict import severity
from harness.report.statistics.outage_statistics import SeriesFigure, tokens_in_words
from harness.report.statistics.path_summary import PathSummary, summarise_paths, worst_recovery
from harness.report.terminal_summary import counts_in_words

_TEMPLATES = Path(__file__).with_name("templates")
_ROLES = ("active node", "standby node")
_MAX_CAUSES = 10  # that the report opens with
_MAX_EVENTS = 5000  # keeps the file small enough for a mail; timeline.jsonl has them all


def html(run: RunRecord, events: Sequence[dict[str, Any]], *, timeline_faults: Sequence[str] = ()) -> str:
    """Render `run` and the events of its timeline. Everything that came from outside is escaped and made visible."""
    script = _script(bool(run.measurements))
    m = measured_view(run, events)
    executed = [t for t in run.tests if t.verdict.outcome is not Result.SKIPPED]
    events_shown = list(events[:_MAX_EVENTS])
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            run=run,
            style=style(_TEMPLATES / "chart.css"),
            m=m,
            **inline_script(script),
            paths=[_PathView.of(summary, m.worst.get(summary.path)) for summary in summarise_paths(run)],
            tests=sorted(executed, key=lambda t: severity(t.verdict.outcome)),
            audits=sorted(run.audits, key=lambda a: severity(a.verdict.outcome)),
            skipped=labels.skipped_by_reason(run),
            events=events_shown,
            left_out=len(events) - len(events_shown),
            sources=sorted(Counter(event["source"] for event in events_shown).items()),
            timeline_faults=timeline_faults,
            lab=lab_disclaimer.is_lab(run),
            where=labels.cluster_in_words(run.cluster),
            counted=counts_in_words(run.counts),
            roles=_roles(run),
            lab_stands_in=lab_disclaimer.lab_stands_in(run),
            lab_does_not_show=lab_disclaimer.LAB_DOES_NOT_SHOW,
            titles={test.id: test.title for test in run.tests},
            most_causes=_MAX_CAUSES,
        )
    )


def _script(measured: bool) -> str:
    """Everything that runs in the page, as one script, so that one hash allows it."""
    script = (_TEMPLATES / "report.js").read_text(encoding="utf-8")
    if not measured:
        return script
    chart_scripts = [path.read_text(encoding="utf-8") for path in sorted((_TEMPLATES / "chart").glob("*.js"))]
    return script + '(() => {\n"use strict";\n' + "\n".join(chart_scripts) + "})();\n"


@dataclass(frozen=True)
class _PathView:
    """A path as the head of the report shows it."""

    name: str
    css: str
    label: str
    mark: str
    checks: str
    worst: str

    @classmethod
    def of(cls, summary: PathSummary, measured: SeriesFigure | None) -> _PathView:
        worst = f"Worst recovery: {worst_recovery(summary)}"
        if measured:
            worst = f"At worst {measured.sentence}{measured.record.measured.allowed_in_words(summary.path)} ({title(measured.record)})"
        return cls(
            name=summary.path.value,
            css=_css(summary.result),
            label=labels.LABEL[summary.result].lower(),
            mark=labels.MARK[summary.result],
            checks=wording.count(summary.checks, "check"),
            worst=worst,
        )


@dataclass(frozen=True)
class Bar:
    """One recovery as a bar: positions in percent of the widest thing in its group."""

    recovery: RecoveryRecord
    certain: float
    """Where the outage surely lasted to."""
    length: float
    """Where it lasted to at most: one measuring period later."""
    budget: float


def bars(disruption: DisruptionRecord) -> list[Bar]:
    """The recoveries of a disruption on one scale. What never recovered fills the whole width."""
    widest = max((max(r.budget_s, r.seconds or 0.0) for r in disruption.recoveries), default=1.0) * 1.04 or 1.0
    bars_drawn = []
    for recovery in disruption.recoveries:
        if recovery.seconds is not None:
            length = 100 * recovery.seconds / widest
        else:
            length = 100.0 if recovery.verdict.outcome is Result.FAIL else 0.0
        certain = max(0.0, length - 100 * (recovery.period_s or 0.0) / widest)
        bars_drawn.append(Bar(recovery, round(certain, 2), round(length, 2), round(100 * recovery.budget_s / widest, 2)))
    return bars_drawn


def evidence_link(file: EvidenceFile) -> str | None:
    """A relative link into evidence/, or None for a path that leads anywhere else."""
    parts = file.path.split("/")
    if len(parts) < 2 or parts[0] != "evidence" or any(part in ("", ".", "..") for part in parts) or "\\" in file.path:
        return None
    return quote(file.path)


@cache
def _environment() -> Environment:
    """One for all pages of a process: its templates are loaded once."""
    environment = page_environment(_TEMPLATES)
    environment.filters.update(
        seconds=wording.seconds,
        css=_css,
        label=lambda result: labels.LABEL[result],
        mark=lambda result: labels.MARK[result],
        travelled=labels.route_in_words,
        measured=labels.measured,
        evidence_link=evidence_link,
        bars=bars,
        clock=_clock,
        shell=shlex.join,
        size=_size,
        needs_eye=_needs_eye,
        title=title,
        result=lambda outcome: Result(outcome.value),
        tokens=tokens_in_words,
        perhaps=lambda value: "never" if value is None else wording.seconds(value),
        recording_link=lambda record: evidence_link(EvidenceFile(path=record.recording, bytes=0)),
    )
    return environment


def _css(result: Result | None) -> str:
    return result.value if result else "unchecked"


def _clock(epoch: float) -> str:
    """Time of day in UTC with milliseconds; a stored number that is no time is shown as it is."""
    try:
        return f"{datetime.fromtimestamp(epoch, UTC):%H:%M:%S.%f}"[:-3]
    except (ValueError, OverflowError, OSError):
        return str(epoch)


def _size(number: int) -> str:
    return f"{number} B" if number < 1024 else f"{number / 1024:.1f} KiB" if number < 1024**2 else f"{number / 1024**2:.1f} MiB"


def _needs_eye(test: TestRecord) -> bool:
    """Is this a card that a reader should find open?"""
    return test.verdict.outcome is not Result.PASS


def _roles(run: RunRecord) -> list[dict[str, str]]:
    """The two nodes as the picture shows them: the active one first, as far as that is known."""
    active = run.cluster.active_at_start if run.cluster else None
    if run.cluster is None or active is None or len(run.cluster.nodes) != 2:
        return [{"role": role, "name": ""} for role in _ROLES]
    nodes = sorted(run.cluster.nodes, key=lambda node: node.name != active)
    return [{"role": role, "name": node.name} for role, node in zip(_ROLES, nodes, strict=True)]
