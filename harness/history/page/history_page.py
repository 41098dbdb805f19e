"""reports/index.html, from the lines of the history: one file, offline, for a screen and a phone."""

from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from harness.core.text import wording
from harness.history.nightly_lines import ClusterHistory, History, Line
from harness.history.page.history_chart_data import first_run_on_page, page_data
from harness.history.stability import State
from harness.report.html.page_environment import inline_script, page_environment, style
from harness.report.record.labels import LABEL, MARK, node_before
from harness.report.record.run_record import Result

_TEMPLATES = Path(__file__).with_name("templates")
_MAX_NEWS = 40  # changes that are listed for a cluster; the strips show all
_MAX_NAMED = 20  # lines that are named of one change; all disruptions on three services have 800
_WORST_FIRST = (State.REGRESSED, State.NEW, State.ALWAYS, State.UNMEASURED, State.FLAKY, State.RECOVERED, State.UNKNOWN, State.STEADY)
_TONES = {
    State.REGRESSED: "fail",
    State.NEW: "fail",
    State.ALWAYS: "fail",
    State.FLAKY: "inconclusive",
    State.UNMEASURED: "inconclusive",
    State.UNKNOWN: "unchecked",
}


@dataclass(frozen=True)
class Row:
    """One strip. `number` is its place in the page's data; it is not drawn where all of its nights are older than the page."""

    number: int
    line: Line
    drawn: bool

    @property
    def label(self) -> str:
        """The line within its disruption."""
        suffix = "" if self.line.kind == "new" else ", established connection"
        return f"{self.line.path} path, {self.line.service}{suffix}, from {node_before(self.line.before)}"

    @property
    def tone(self) -> str:
        """The colour's name."""
        return _TONES.get(self.line.stability.state, "pass")


@dataclass(frozen=True)
class Group:
    """A disruption's strips, the worst first."""

    name: str
    rows: tuple[Row, ...]

    @property
    def worst(self) -> Row:
        """The row that a reader should see first."""
        return self.rows[0]


@dataclass(frozen=True)
class NightChanges:
    """What changed in one night, of all lines that it changed. `lines` are the names of the first of them, `more` is how many others."""

    run: int
    sentence: str
    lines: tuple[str, ...]
    more: int


def html(history: History, reports: Container[str], records: Container[str] = ()) -> str:
    """Render the page. `reports` holds the folders that have a report, `records` those that have a run.json. Whatever came from outside is
    escaped and made visible."""
    script = (_TEMPLATES / "history.js").read_text(encoding="utf-8")
    first = first_run_on_page(history)
    data = json.dumps(page_data(history, first, reports, records), separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c")
    environment = page_environment(_TEMPLATES)
    return environment.get_template("index.html.j2").render(
        runs=history.runs,
        clusters=[(cluster, _news(cluster), groups) for cluster, groups in _group_lines(history, first)],
        left_out=first,
        clusterless=[run for run in history.runs if not run.cluster],
        data=Markup(data),
        style=style(_TEMPLATES / "history.css"),
        **inline_script(script),
        count=wording.count,
        label=lambda outcome: LABEL[Result(outcome)],
        mark=lambda outcome: MARK[Result(outcome)],
    )


def _group_lines(history: History, first: int) -> list[tuple[ClusterHistory, list[Group]]]:
    grouped, number = [], 0
    for cluster in history.clusters:
        rows_by_disruption: dict[str, list[Row]] = {}
        for line in cluster.lines:
            rows_by_disruption.setdefault(line.disruption, []).append(Row(number, line, line.columns[-1].run >= first))
            number += 1
        groups = [Group(name, tuple(sorted(rows, key=_badness))) for name, rows in rows_by_disruption.items()]
        grouped.append((cluster, sorted(groups, key=lambda group: _badness(group.worst)[0])))
    return grouped


def _badness(row: Row) -> tuple[int, bool, int]:
    return _WORST_FIRST.index(row.line.stability.state), row.line.kind != "new", row.number


def _news(cluster: ClusterHistory) -> list[NightChanges]:
    """The changes, the newest first; what happened to many lines in one night for the same reason is told once."""
    changes_by_reason: dict[tuple[int, tuple[str, ...], str], list[tuple[Line, str]]] = {}
    for line in cluster.lines:
        for point in line.change_points:
            way = "same" if point.by is None else "slower" if point.by > 0 else "faster"
            changes_by_reason.setdefault((point.run, point.because, way), []).append((line, point.sentence))
    news = [
        NightChanges(run, changes[0][1], tuple(line.name for line, _ in changes[:_MAX_NAMED]), max(0, len(changes) - _MAX_NAMED))
        for (run, _, _), changes in changes_by_reason.items()
    ]
    return sorted(news, key=lambda item: -item.run)[:_MAX_NEWS]
