"""The history as the page's script draws it: short names, whole milliseconds, nothing twice. Pure."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from harness.history.nightly_lines import Column, History, Line
from harness.history.stored_rows import StoredRun

MAX_POINTS = 60_000
"""On the page; with more the oldest nights are left out, which keeps it below 2 MB. `lkharness history --json` has all."""
NEVER = -1
OUTCOMES = {"pass": "p", "fail": "f", "inconclusive": "i", "skipped": "s"}
NOT_MEASURED = "n"


def first_run_on_page(history: History) -> int:
    """The place of the first run that the page shows."""
    number = [0] * len(history.runs)
    for cluster in history.clusters:
        for line in cluster.lines:
            for column in line.columns:
                number[column.run] += 1
    points = 0
    for place in range(len(number) - 1, -1, -1):
        points += number[place]
        if points > MAX_POINTS:
            return place + 1
    return 0


def page_data(history: History, first: int, reports: Container[str], records: Container[str]) -> dict[str, Any]:
    """`runs` by place, and `lines` in the order of the clusters' lines. `reports`: folders that have a report to link to; `records`: those
    that it can be made again in."""
    return {
        "runs": [_run(run, reports, records) for run in history.runs[first:]],
        "lines": [_line(line, first) for cluster in history.clusters for line in cluster.lines],
    }


def _run(run: StoredRun, reports: Container[str], records: Container[str]) -> list[Any]:
    """When, folder, outcome, whether there is a report (1), or one can be made (2)."""
    report = 1 if run.folder in reports else 2 if run.folder in records else 0
    return [run.iso[:16].replace("T", " "), run.folder, OUTCOMES.get(run.outcome, "i"), report]


def _line(line: Line, first: int) -> dict[str, Any]:
    columns = [column for column in line.columns if column.run >= first]
    return {
        "r": _steps([column.run - first for column in columns]),
        "m": [_ms(column.median, column) for column in columns],
        "l": [_ms(column.least, column) for column in columns],
        "h": [_ms(column.most, column) for column in columns],
        "n": _runs_of([column.n for column in columns]),
        "b": _runs_of([round(column.budget * 1000) for column in columns]),
        "o": "".join(OUTCOMES.get(column.outcome, "i") if column.measured else NOT_MEASURED for column in columns),
        "c": [[point.run - first, point.sentence] for point in line.change_points if point.run >= first],
    }


def _steps(places: Sequence[int]) -> list[int]:
    """Differences, which are mostly 1."""
    return [place - before for before, place in zip([0, *places], places, strict=False)]


def _ms(value: float | None, column: Column) -> int | None:
    """Whole milliseconds; NEVER where the path did not come back, None where there is no figure."""
    if value is None:
        return NEVER if column.n else None
    return round(value * 1000)


def _runs_of(values: Sequence[int]) -> list[list[int]]:
    """Value and how often in a row: budgets change seldom."""
    pairs: list[list[int]] = []
    for value in values:
        if pairs and pairs[-1][0] == value:
            pairs[-1][1] += 1
        else:
            pairs.append([value, 1])
    return pairs
