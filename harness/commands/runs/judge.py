"""`lkharness judge RUN`: judge the stored recordings of a run again, without the cluster."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands.shared_options import add, print_json
from harness.core.errors import BadUse

if TYPE_CHECKING:
    from harness.report.record.gate_record import GateRecord
    from harness.report.reevaluate import Budgets, Rejudged


def add_to(commands) -> None:
    """Adds the command to the parser."""
    about = "judge the stored recordings of a run again, without the cluster"
    judge = add(commands, "judge", _judge, about, "lkharness judge reports/latest --budget 5 --budget switchover=2.5")
    judge.add_argument("run", metavar="RUN", nargs="?", default="reports/latest", help="the run's folder (default: reports/latest)")
    judge.add_argument(
        "--budget",
        metavar="[NAME=]SECONDS",
        action="append",
        default=[],
        help="judge by this budget instead of the stored one: of all disruptions, or of the named one; can be given several times",
    )
    judge.add_argument("--write", action="store_true", help="put the new judgement into run.json, report.html, junit.xml and summary.md")
    judge.add_argument(
        "--gate", metavar="FILE", help="with --write: ask this gate file, whose word on the old judgement is none on the new"
    )


def _judge(given: argparse.Namespace) -> int:
    from harness.explain.run_explanation import causes
    from harness.gate.baseline_runs import judged, load_gate, outdated
    from harness.report.reevaluate import exit_code, put_into, rejudge, with_gate
    from harness.report.render import render, store_record
    from harness.report.run_reader import load_record

    folder = Path(given.run)
    if given.gate and not given.write:
        raise BadUse("--gate goes with --write; `lkharness gate RUN --gate FILE` asks a gate without writing anything")
    gate = load_gate(given.gate)
    budgets = _budgets(given.budget)
    record = load_record(folder)
    found = rejudge(folder, record, budgets)
    code, word = exit_code(found), None
    if given.write and found:
        put_into(record, found)
        record.causes = causes(record, folder)
        if gate is not None:
            record.gate = word = judged(gate, folder.resolve().parent, record)
        elif record.gate is not None and any(one.changes for one in found):
            record.gate = word = outdated(record.gate)
        store_record(folder, record)
        render(folder)
    if word is not None:
        code = with_gate(code, word)
    if given.json:
        measurements = [_as_data(r) for r in found]
        gate_data = word.model_dump(mode="json") if word is not None else None
        print_json({"exit_code": int(code), "written": bool(given.write and found), "gate": gate_data, "measurements": measurements})
    else:
        print(_as_text(found, word, written=given.write))
    return int(code)


def _budgets(given: list[str]) -> Budgets:
    from harness.report.reevaluate import Budgets

    for_all: float | None = None
    by_name: dict[str, float] = {}
    for words in given:
        name, _, number = words.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise BadUse(f"--budget {words}: {number or 'nothing'} is no number of seconds; write 5 or switchover=2.5")
        if name:
            by_name[name] = value
        else:
            for_all = value
    return Budgets(for_all, by_name)


def _as_text(found: list[Rejudged], word: GateRecord | None, *, written: bool) -> str:
    from harness.core.text import one_line
    from harness.report.record.labels import MARK
    from harness.report.record.run_record import Result

    if not found:
        return "nothing was measured in this run, so there is nothing to judge again"
    lines = []
    for one in found:
        lines.append(one_line(f"{MARK[Result(one.verdict.outcome.value)]} {one.id}: {one.verdict.reason}"))
        lines += [f"    {one_line(change)}" for change in one.changes]
    changed = sum(bool(one.changes) for one in found)
    lines.append(f"{changed} of {len(found)} judged differently now" if changed else f"all {len(found)} judged as before")
    if word is not None:
        said = {"pass": "passed", "fail": "not passed"}.get(word.outcome, "refuses to say")
        lines.append(one_line(f"gate {word.file} {said}: {word.reason}"))
    lines.append(
        "run.json, report.html, junit.xml and summary.md say so now" if written else "nothing was written; --write puts it into the report"
    )
    return "\n".join(lines)


def _as_data(one: Rejudged) -> dict[str, Any]:
    from dataclasses import asdict

    before = one.before.measured.verdict if one.before else None
    return {
        "id": one.id,
        "recording": one.recording,
        "test": one.after.test if one.after else (one.before.test if one.before else ""),
        "disruption": one.after.measured.disruption if one.after else (one.before.measured.disruption if one.before else None),
        "budget_s": one.after.measured.budget_s if one.after else None,
        "before": asdict(before) if before else None,
        "verdict": asdict(one.verdict),
        "changes": one.changes,
        "paths": _paths(one),
    }


def _paths(one: Rejudged) -> dict[str, Any]:
    from harness.report.record.run_record import PathName
    from harness.report.statistics.outage_statistics import worst_of

    if one.after is None:
        return {}
    figures = {path.value: worst_of(one.after, path) for path in PathName}
    return {
        path: {
            "series": f.series.id,
            "recovered_after_s": f.series.recovered_after_s,
            "min_s": f.series.min_s,
            "max_s": f.series.max_s,
            "counted_from": f.series.counted_from,
            "unknown": f.series.unknown,
            "period_s": f.series.period_s,
            "outcome": f.result.value,
        }
        for path, f in figures.items()
        if f
    }
