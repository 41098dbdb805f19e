"""reports/index.html, from the lines of the history: one file, offline, for a screen and a phone."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from harness.core import text
from harness.history.nightly_lines import ClusterHistory, History, Line
from harness.history.page.page_data import first_run_on_page, page_data
from harness.history.stability import State
from harness.report.html.page_environment import page_environment, style
from harness.report.record.labels import LABEL, MARK, node_before
from harness.report.record.run_record import Result

_TEMPLATES = Path(__file__).with_name("templates")
_MAX_NEWS = 40  # changes that are listed for a cluster; the strips show all
_WORST_FIRST = (State.REGRESSED, State.NEW, State.ALWAYS, State.FLAKY, State.RECOVERED, State.UNKNOWN, State.STEADY)
_TONES = {State.REGRESSED: "fail", State.NEW: "fail", State.ALWAYS: "fail", State.FLAKY: "inconclusive", State.UNKNOWN: "unchecked"}


@dataclass(frozen=True)
class Row:
    """One strip. `number` is its place in the page's data."""

    number: int
    line: Line

    @property
    def label(self) -> str:
        """The line within its disruption."""
        kept = "" if self.line.kind == "new" else ", established connection"
        return f"{self.line.path} path, {self.line.service}{kept}, from {node_before(self.line.before)}"

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
class News:
    """What changed in one night, of all lines that it changed."""

    run: int
    sentence: str
    lines: tuple[str, ...]


def html(found: History, reports: Container[str]) -> str:
    """Render the page. `reports` holds the folders that have a report. Whatever came from outside is escaped and made visible."""
    script = (_TEMPLATES / "history.js").read_text(encoding="utf-8")
    first = first_run_on_page(found)
    data = json.dumps(page_data(found, first, reports), separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c")
    environment = page_environment(_TEMPLATES)
    return environment.get_template("index.html.j2").render(
        runs=found.runs,
        clusters=[(cluster, _news(cluster), groups) for cluster, groups in _grouped(found)],
        left_out=first,
        data=Markup(data),
        style=style(_TEMPLATES / "history.css"),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        count=text.count,
        label=lambda outcome: LABEL[Result(outcome)],
        mark=lambda outcome: MARK[Result(outcome)],
    )


def _grouped(found: History) -> list[tuple[ClusterHistory, list[Group]]]:
    told, number = [], 0
    for cluster in found.clusters:
        gathered: dict[str, list[Row]] = {}
        for line in cluster.lines:
            gathered.setdefault(line.disruption, []).append(Row(number, line))
            number += 1
        groups = [Group(name, tuple(sorted(rows, key=_badness))) for name, rows in gathered.items()]
        told.append((cluster, sorted(groups, key=lambda group: _badness(group.worst)[0])))
    return told


def _badness(row: Row) -> tuple[int, bool, int]:
    return _WORST_FIRST.index(row.line.stability.state), row.line.kind != "new", row.number


def _news(cluster: ClusterHistory) -> list[News]:
    """The changes, the newest first; what happened to many lines in one night for the same reason is told once."""
    gathered: dict[tuple[int, tuple[str, ...], str], list[tuple[Line, str]]] = {}
    for line in cluster.lines:
        for point in line.change_points:
            way = "same" if point.by is None else "slower" if point.by > 0 else "faster"
            gathered.setdefault((point.run, point.because, way), []).append((line, point.sentence))
    news = [News(run, found[0][1], tuple(line.name for line, _ in found)) for (run, _, _), found in gathered.items()]
    return sorted(news, key=lambda one: -one.run)[:_MAX_NEWS]
