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
    from harness.report.reevaluation import Budgets, Rejudged


def add_to(commands) -> None:
    """Adds the command to the parser."""
    description = "judge the stored recordings of a run again, without the cluster"
    judge = add(commands, "judge", _judge, description, "lkharness judge reports/latest --budget 5 --budget switchover=2.5")
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


def _judge(arguments: argparse.Namespace) -> int:
    from harness.explain.run_explanation import causes
    from harness.gate.baseline_runs import judge_finished_run, load_gate, outdated
    from harness.report.reevaluation import apply_results, exit_code, exit_code_with_gate, rejudge
    from harness.report.report_rendering import render, store_record
    from harness.report.run_reader import load_record

    folder = Path(arguments.run)
    if arguments.gate and not arguments.write:
        raise BadUse("--gate goes with --write; `lkharness gate RUN --gate FILE` asks a gate without writing anything")
    gate = load_gate(arguments.gate)
    budgets = _budgets(arguments.budget)
    record = load_record(folder)
    results = rejudge(folder, record, budgets)
    code, word = exit_code(results), None
    if arguments.write and results:
        apply_results(record, results)
        record.causes = causes(record, folder)
        if gate is not None:
            record.gate = word = judge_finished_run(gate, folder.resolve().parent, record)
        elif record.gate is not None and any(result.changes for result in results):
            record.gate = word = outdated(record.gate)
        store_record(folder, record)
        render(folder)
    if word is not None:
        code = exit_code_with_gate(code, word)
    if arguments.json:
        measurements = [_as_data(r) for r in results]
        gate_data = word.model_dump(mode="json") if word is not None else None
        written = bool(arguments.write and results)
        print_json({"exit_code": int(code), "written": written, "gate": gate_data, "measurements": measurements})
    else:
        print(_as_text(results, word, written=arguments.write))
    return int(code)


def _budgets(options: list[str]) -> Budgets:
    from harness.report.reevaluation import Budgets

    for_all: float | None = None
    by_name: dict[str, float] = {}
    for option in options:
        name, _, number = option.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise BadUse(f"--budget {option}: {number or 'nothing'} is no number of seconds; write 5 or switchover=2.5")
        if name:
            by_name[name] = value
        else:
            for_all = value
    return Budgets(for_all, by_name)


def _as_text(results: list[Rejudged], word: GateRecord | None, *, written: bool) -> str:
    from harness.core.text.host_text import one_line
    from harness.report.record.labels import MARK
    from harness.report.record.run_record import Result

    if not results:
        return "nothing was measured in this run, so there is nothing to judge again"
    lines = []
    for result in results:
        lines.append(one_line(f"{MARK[Result(result.verdict.outcome.value)]} {result.id}: {result.verdict.reason}"))
        lines += [f"    {one_line(change)}" for change in result.changes]
    change_count = sum(bool(result.changes) for result in results)
    lines.append(f"{change_count} of {len(results)} judged differently now" if change_count else f"all {len(results)} judged as before")
    if word is not None:
        outcome = {"pass": "passed", "fail": "not passed"}.get(word.outcome, "refuses to say")
        lines.append(one_line(f"gate {word.file} {outcome}: {word.reason}"))
    lines.append(
        "run.json, report.html, junit.xml and summary.md say so now" if written else "nothing was written; --write puts it into the report"
    )
    return "\n".join(lines)


def _as_data(result: Rejudged) -> dict[str, Any]:
    from dataclasses import asdict

    old_verdict = result.before.measured.verdict if result.before else None
    return {
        "id": result.id,
        "recording": result.recording,
        "test": result.after.test if result.after else (result.before.test if result.before else ""),
        "disruption": result.after.measured.disruption if result.after else (result.before.measured.disruption if result.before else None),
        "budget_s": result.after.measured.budget_s if result.after else None,
        "before": asdict(old_verdict) if old_verdict else None,
        "verdict": asdict(result.verdict),
        "changes": result.changes,
        "paths": _paths(result),
    }


def _paths(result: Rejudged) -> dict[str, Any]:
    from harness.report.record.run_record import PathName
    from harness.report.statistics.outage_statistics import worst_of

    if result.after is None:
        return {}
    figures = {path.value: worst_of(result.after, path) for path in PathName}
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
