"""What the browser draws of one measurement: chart rows of segments, boundaries and log lines, as compact data. Pure.

Times in it are milliseconds from the disruption. States are numbered, so that a segment is three numbers: start, end, state.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup

from harness.core.text.host_text import cut_at_word, visible
from harness.core.text.wording import seconds
from harness.measure.measurement_result import ChartRow, Measured, SeriesResult
from harness.remote.recording.recording import NEW
from harness.report.record.measurement_record import MeasurementRecord
from harness.report.record.run_record import PathName

MAX_SEGMENTS = 4000  # of one measurement; a series that changes more often is drawn coarser
MAX_LINES = 400
MAX_LINE_LENGTH = 300
FAILED = ("silent", "refused", "reset", "unreachable")
_WORST_FIRST = ("wrong", *FAILED, "gap", "other")
_DOWN = ("", "down", "lost", "nowhere", "nobody", "none", "off", "out", "unhealthy", "frozen", "gone", "silent")
_UP = ("up", "in service", "healthy", "whole", "on", "answered")
_REASONS = ("up_", "down_")  # how Azure's reason codes begin
_OTHERWISE = {"unknown": "gap", "both": "wrong"}  # both nodes do what one of them should: as loud as an answer by the wrong one


class States:
    """The states of one picture, each with its number, the class that it is drawn with, and its words."""

    def __init__(self, nodes: Sequence[str]) -> None:
        self.table: list[tuple[str, str]] = []
        self._nodes = list(nodes)
        self._numbers: dict[tuple[str, str], int] = {}

    def of_segment(self, outcome: str, node: str | None) -> int:
        """The number of the state that a segment is drawn in."""
        if outcome == "answered":
            return self._number(self._node_class(node), node or "responder not identified")
        if outcome.startswith("wrong"):
            return self._number("wrong", f"answered by {node or 'somebody'}, the wrong node")
        if outcome == "skipped":
            return self._number("gap", "not tried")
        label = f"{outcome} (reached {node})" if node else outcome
        return self._number(outcome if outcome in FAILED else "other", label)

    def of_chart_row(self, state: str) -> int:
        """The number of the state that a chart row is drawn in."""
        if state in self._nodes:
            return self._number(self._node_class(state), state)
        plain = state.lower()
        plain = plain.partition("_")[0] if plain.startswith(_REASONS) else plain
        css = "down" if plain in _DOWN else "up" if plain in _UP else _OTHERWISE.get(plain, "other")
        return self._number(css, state or "nothing")

    def _node_class(self, node: str | None) -> str:
        return f"node{self._nodes.index(node) + 1}" if node in self._nodes[:2] else "other"

    def _number(self, css: str, label: str) -> int:
        state = (css, visible(label))
        if state not in self._numbers:
            self._numbers[state] = len(self.table)
            self.table.append(state)
        return self._numbers[state]


def picture(record: MeasurementRecord, nodes: Sequence[str], more_rows: Sequence[ChartRow] = ()) -> dict[str, Any]:
    """The data of one picture. `nodes` in the order that gives each its colour, the same in the whole report; `more_rows` go last."""
    measured = record.measured
    states = States(nodes)
    chart_rows, coarse = _series_chart_rows(measured, states)
    chart_rows += [_state_chart_row(measured, chart_row.name, chart_row.spans, states) for chart_row in (*measured.chart_rows, *more_rows)]
    lines, left_out = _log(measured)
    return {
        "id": visible(record.id),
        "from": _ms(measured.start, measured),
        "to": _ms(measured.end, measured),
        "budget": round(measured.budget_s * 1000, 1),
        "chart_rows": chart_rows,
        "states": states.table,
        "marks": [[number, visible(b.name), _ms(b.at, measured)] for number, b in enumerate(measured.boundaries, 1) if b.at is not None],
        "log": lines,
        "leftOut": left_out,
        "coarse": coarse,
    }


def embed_json(data: dict[str, Any]) -> Markup:
    """`data` as JSON that can stand in a <script> element: nothing in it can end the element or begin another."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def sort_series(series: Iterable[SeriesResult]) -> list[SeriesResult]:
    """By path as the figure names them, then as recorded, new connections before pinned ones."""
    path_order = [path.value for path in PathName]
    return sorted(series, key=lambda t: (path_order.index(t.path) if t.path in path_order else len(path_order), t.kind != NEW))


def series_label(series: SeriesResult) -> str:
    """A series' label in the chart."""
    return f"{series.service} {'new' if series.kind == NEW else 'established'}"


def group_label(series: SeriesResult) -> str:
    """The heading of the series from one origin."""
    return f"{series.path} path, from {series.origin}" if series.path else f"from {series.origin}, on no path at the end"


def _series_chart_rows(measured: Measured, states: States) -> tuple[list[dict[str, Any]], bool]:
    all_series = sort_series(measured.series)
    max_rows = max(50, MAX_SEGMENTS // max(1, len(all_series)))
    chart_rows, coarse = [], False
    for series in all_series:
        rows = [(_ms(s.start, measured), _ms(s.end, measured), states.of_segment(s.outcome, s.node)) for s in series.segments]
        if len(rows) > max_rows:
            rows, coarse = coarsen(rows, 2 * (rows[-1][1] - rows[0][0]) / max_rows, states.table), True
        chart_rows.append(
            {
                "group": visible(group_label(series)),
                "name": visible(series_label(series)),
                "about": visible(f"{series.id}, every {seconds(series.period_s)}"),
                "rows": [value for row in rows for value in row],
            }
        )
    return chart_rows, coarse


def coarsen(rows: list[tuple[float, float, int]], grain: float, table: Sequence[tuple[str, str]]) -> list[tuple[float, float, int]]:
    """`rows` with everything shorter than `grain` gathered into stretches that show the worst state in them: a fault is never lost."""

    def badness(state: int) -> int:
        css = table[state][0]
        return _WORST_FIRST.index(css) if css in _WORST_FIRST else len(_WORST_FIRST)

    stretches: list[tuple[float, float, int]] = []
    gathering = False
    for start, end, state in rows:
        if end - start >= grain:
            stretches.append((start, end, state))
            gathering = False
        elif gathering and end - stretches[-1][0] <= grain:
            previous = stretches[-1]
            stretches[-1] = (previous[0], end, min(previous[2], state, key=badness))
        else:
            stretches.append((start, end, state))
            gathering = True
    return stretches


def _state_chart_row(measured: Measured, name: str, spans: Iterable[tuple[float, float, str]], states: States) -> dict[str, Any]:
    rows = [(_ms(start, measured), _ms(end, measured), states.of_chart_row(state)) for start, end, state in spans]
    return {"group": "states", "name": visible(name), "about": visible(name), "rows": [value for row in rows for value in row]}


def _log(measured: Measured) -> tuple[list[tuple[float, str, str]], int]:
    """The lines nearest to what happened, in order, and how many were left out for the size of the file."""
    boundary_times = [b.at for b in measured.boundaries if b.at is not None]
    begin, end = measured.anchor - 1, max([measured.anchor, *boundary_times]) + 1
    nearest = sorted(measured.log, key=lambda line: max(begin - line[0], line[0] - end, 0.0))
    lines = sorted(nearest[:MAX_LINES], key=lambda line: line[0])
    rows = [(_ms(moment, measured), visible(host), cut_at_word(visible(text), MAX_LINE_LENGTH)) for moment, host, text in lines]
    return rows, len(measured.log) - len(lines)


def _ms(moment: float, measured: Measured) -> float:
    return round((moment - measured.anchor) * 1000, 1)
