"""One figure of the benchmarks, and how it is printed."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from typing import Any

from harness.report.record.run_directory import load_average

Row = dict[str, Any]
HEAD = f"{'median':>10} {'':7} {'least':>9} {'most':>9} {'runs':>4} {'load':>5} {'bar':>5}  what"


def row(what: str, unit: str, values: Sequence[float], bar: str = "", **more: Any) -> Row:
    """The median of `values`, their spread, and the load at the time; without a value all three are None. `more` is stored beside them."""
    load = load_average()
    return {
        "what": what,
        "unit": unit,
        "median": round(statistics.median(values), 3) if values else None,
        "least": round(min(values), 3) if values else None,
        "most": round(max(values), 3) if values else None,
        "runs": len(values),
        "bar": bar,
        "load": load[0] if load else None,
        "user": user(),
        **more,
    }


def user() -> str:
    """Labs of an ordinary user are made in a user namespace, which costs more: figures of both stand side by side."""
    return "root" if os.geteuid() == 0 else "ordinary"


def line(r: Row) -> str:
    """A row for a person. A row without a figure says why."""
    figures = [_figure(r[name]) for name in ("median", "least", "most")]
    load = "-" if r["load"] is None else f"{r['load']:.2f}"
    why = f" ({r['note']})" if r.get("note") else ""
    return f"{figures[0]:>10} {r['unit']:7} {figures[1]:>9} {figures[2]:>9} {r['runs']:>4} {load:>5} {r['bar']:>5}  {r['what']}{why}"


def _figure(value: float | None) -> str:
    return "-" if value is None else str(value)
