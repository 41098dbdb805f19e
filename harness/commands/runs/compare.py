"""`lkharness compare RUN_A RUN_B`: did failover get slower?"""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from harness.commands.runs.stored_run_arguments import add_judging, loaded_once
from harness.commands.shared_options import print_json
from harness.core.errors import BadUse

if TYPE_CHECKING:
    from harness.report.statistics.run_comparison import Comparison, Row

RESULTS = "exit codes: 0 not slower · 1 slower · 2 bad use · 3 cannot tell"


def add_to(commands) -> None:
    """Adds the command to the parser."""
    description = "say whether failover got slower from one run to another"
    compare = add_judging(commands, "compare", _compare, description, "lkharness compare reports/release-1 reports/latest", RESULTS)
    compare.add_argument("before", metavar="RUN_A", help="the folder of the run that is the yardstick")
    compare.add_argument("after", metavar="RUN_B", help="the folder of the run that may be slower")


def _compare(arguments: argparse.Namespace) -> int:
    from harness.report.statistics.comparability import why_not_comparable
    from harness.report.statistics.run_comparison import compare

    (_, before), (_, after) = loaded_once([arguments.before, arguments.after])
    if reasons := why_not_comparable(before, after):
        raise BadUse(f"{arguments.before} and {arguments.after} must not be compared: {'; '.join(reasons)}")
    comparison = compare(before, after)
    if arguments.json:
        print_json(_as_data(comparison))
    else:
        print(_as_text(comparison))
    return int(comparison.exit_code)


def _as_text(comparison: Comparison) -> str:
    from itertools import groupby

    from harness.core.text.host_text import one_line

    lines = [comparison.sentence]
    for disruption, rows in groupby(comparison.rows, key=lambda row: row.name):
        lines += [f"{one_line(disruption)}:", *_lines(list(rows))]
    return "\n".join([*lines, *(one_line(note) for note in comparison.notes)])


def _lines(rows: list[Row]) -> list[str]:
    """One line per series; a single one where nothing can be told of any, for the same reason."""
    from harness.core.text.host_text import one_line
    from harness.core.text.wording import count
    from harness.report.statistics.run_comparison import Change

    first = rows[0]
    if all(row.change is Change.TOO_FEW and (len(row.before), len(row.after)) == (len(first.before), len(first.after)) for row in rows):
        sizes = f"{len(first.before)} against {count(len(first.after), 'run')}"
        return [f"  {first.change.value}: {sizes} can never reach p < 0.05, on any of {count(len(rows), 'series')}"]
    return [f"  {row.change.value:<12}  {one_line(f'{_row_name(row)}: {row.reason}')}" for row in rows]


def _row_name(row: Row) -> str:
    return f"{row.path} path, {row.service}" + ("" if row.kind == "new" else ", established connection")


def _as_data(comparison: Comparison) -> dict[str, Any]:
    return {
        "exit_code": int(comparison.exit_code),
        "sentence": comparison.sentence,
        "notes": comparison.notes,
        "comparisons": [_row(row) for row in comparison.rows],
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "disruption": row.disruption,
        "from": row.before_node or None,
        "path": row.path,
        "service": row.service,
        "kind": row.kind,
        "change": row.change.value,
        "reason": row.reason,
        "before_s": [_number(value) for value in row.before],
        "after_s": [_number(value) for value in row.after],
        "period_s": row.period_s,
        "u": row.test.u if row.test else None,
        "p": row.p if row.test else None,
        "shift_s": _number(row.test.shift) if row.test else None,
        "exact": row.test.exact if row.test else None,
    }


def _number(value: float) -> float | None:
    """JSON has no infinity: null is a path that did not come back."""
    return value if math.isfinite(value) else None
