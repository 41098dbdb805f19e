"""Azure's own view of the balancer's members as chart rows beside a measurement's. Pure.

It is shown and never judged: Azure's word may be minutes late (facts API-05). Before its first word a chart row says `unknown`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from harness.measure.measurement_result import ChartRow

KIND = "ilb-health"  # of the timeline's events (harness.azure.backend_health)


def chart_rows(events: Iterable[Mapping[str, Any]], start: float, end: float) -> list[ChartRow]:
    """One chart row for each node that Azure said something of before `end`; times on the harness's monotonic clock."""
    states_by_node: dict[str, list[tuple[float, str]]] = {}
    for event in events:
        data = event.get("data")
        if event.get("kind") == KIND and isinstance(data, Mapping) and "state" in data and event.get("at", end) < end:
            states_by_node.setdefault(str(event.get("source")), []).append((float(event["at"]), str(data.get("reason") or data["state"])))
    return [ChartRow(f"Azure on {node}", _spans(sorted(states), start, end)) for node, states in sorted(states_by_node.items())]


def _spans(states: list[tuple[float, str]], start: float, end: float) -> list[tuple[float, float, str]]:
    bounds = [(start, "unknown"), *states, (end, "")]
    rows = ((max(start, begin), min(end, end_of_state), state) for (begin, state), (end_of_state, _) in pairwise(bounds))
    return [row for row in rows if row[1] > row[0]]
