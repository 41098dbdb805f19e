"""`lkharness history`: every run that a folder of reports holds, what changed from night to night, and one page of it."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands.runs import history_keep
from harness.commands.shared_options import add, print_json

if TYPE_CHECKING:
    from harness.history.nightly_lines import ClusterHistory, History, Line
    from harness.history.run_import import ImportResult

ABOUT = "show what changed from run to run, and write index.html beside the runs"
PAGE = "index.html"
MAX_CHANGES = 10  # that the terminal tells of a cluster


def add_to(commands) -> None:
    """Adds the command to the parser."""
    history = add(commands, "history", _history, ABOUT, "lkharness history; lkharness history --rebuild")
    history.add_argument(
        "reports", metavar="REPORTS", nargs="?", default="reports", help="the folder that holds the runs (default: reports)"
    )
    history.add_argument("--rebuild", action="store_true", help="read every run's folder anew; figures of folders that are gone stay")
    history_keep.add_options(history)


def _history(arguments: argparse.Namespace) -> int:
    from harness.core.errors import BadUse, ExitCode, Unusable
    from harness.core.files import expand_user, folder_exists, stored, write_atomically
    from harness.history.nightly_lines import history
    from harness.history.page.history_page import html
    from harness.history.run_import import catch_up
    from harness.history.store import FILE, Store

    reports = expand_user(arguments.reports)
    if not folder_exists(reports):
        raise BadUse(f"{reports}: is no folder; name the one that holds the runs, such as reports")
    with Store(reports / FILE) as store:
        caught = catch_up(reports, store, anew=arguments.rebuild)
        cleaning = None
        if arguments.keep or arguments.keep_failed or arguments.yes:
            cleaning = history_keep.clean(arguments, reports, store)
            catch_up(reports, store)  # what was packed is the same run
        run_history = history(store.runs(), store.series(), store.points())
    folders = [run.folder for run in run_history.runs]
    with_report = {folder for folder in folders if (reports / folder / "report.html").is_file()}
    with_record = {folder for folder in folders if stored(reports / folder / "run.json").is_file()}
    try:
        page = write_atomically(reports / PAGE, html(run_history, with_report, with_record))
    except OSError as error:
        raise Unusable(f"{reports}: {PAGE} cannot be written there ({error.strerror or error}); free space or change its rights") from error
    if arguments.json:
        print_json({**_as_data(run_history, caught, page), **({"kept": cleaning} if cleaning is not None else {})})
    else:
        print(_as_text(run_history, caught, page))
    return int(ExitCode.UNUSABLE) if cleaning is not None and cleaning["faults"] else 0


def _as_text(run_history: History, caught: ImportResult, page: Path) -> str:
    from harness.core.text.host_text import one_line
    from harness.core.text.wording import count
    from harness.history.stability import State

    settled = (State.STEADY, State.UNMEASURED)
    lines = [f"{count(len(run_history.runs), 'run')}, {caught.entered} of them entered now"]
    lines += [f"left out: {sentence}" for sentence in caught.unreadable]
    if caught.unfinished:
        lines.append(f"{count(len(caught.unfinished), 'run')} not ended, or killed: {', '.join(caught.unfinished[:5])}")
    for cluster in run_history.clusters:
        unsteady = [line for line in cluster.lines if line.stability.state not in settled]
        steady_count = sum(line.stability.state is State.STEADY for line in cluster.lines)
        changed = sorted(
            ((p, line) for line in cluster.lines for p in line.change_points), key=lambda point_and_line: -point_and_line[0].run
        )
        steady = f"{steady_count} of {count(len(cluster.lines), 'line')} steady, {count(len(changed), 'change')}"
        lines.append(f"{'the lab' if cluster.kind == 'lab' else cluster.name}: {steady}")
        lines += [f"  {words}" for words in (*_last_run(cluster, run_history), *_unmeasured(cluster, run_history))]
        lines += [f"  {line.stability.state.value}: {line.name}: {line.stability.sentence}" for line in unsteady]
        lines += [f"  {run_history.runs[p.run].iso[:10]} {line.name}: {p.sentence}" for p, line in changed[:MAX_CHANGES]]
        if len(changed) > MAX_CHANGES:
            lines.append(f"  … and {count(len(changed) - MAX_CHANGES, 'more change')} on the page")
    if clusterless := [run for run in run_history.runs if not run.cluster]:
        last = clusterless[-1]
        lines.append(f"{count(len(clusterless), 'run')} ended before the cluster was known, the last {last.iso[:10]}: {last.reason}")
    return "\n".join(one_line(line) if not line.startswith("  ") else f"  {one_line(line.strip())}" for line in [*lines, f"page: {page}"])


def _last_run(cluster: ClusterHistory, run_history: History) -> list[str]:
    """The cluster's last run in a sentence, where it is no pass: good nights before it must not hide that."""
    last = run_history.runs[cluster.last]
    words = {"pass": "", "fail": "failed"}.get(last.outcome, "could not be judged")
    return [f"last run, {last.iso[:10]}, {words}: {last.reason}"] if words else []


def _unmeasured(cluster: ClusterHistory, run_history: History) -> list[str]:
    """What the last nights were to measure and did not: a sentence for each disruption, not for each of its many lines."""
    from harness.core.text.wording import count
    from harness.history.stability import State

    silent: dict[tuple[str, int, int], int] = {}
    for line in cluster.lines:
        if line.stability.state is State.UNMEASURED and line.stability.since is not None:
            key = line.disruption, len(line.columns) - line.stability.since, line.columns[-1].run
            silent[key] = silent.get(key, 0) + 1
    return [
        f"not measured: {disruption} in the last {'night' if nights == 1 else f'{nights} nights'} ({count(number, 'line')}); "
        f"in the last of them because {run_history.runs[run].reason}"
        for (disruption, nights, run), number in silent.items()
    ]


def _as_data(run_history: History, caught: ImportResult, page: Path) -> dict[str, Any]:
    return {
        "page": str(page),
        "entered": caught.entered,
        "unfinished": caught.unfinished,
        "unreadable": caught.unreadable,
        "runs": [
            {"run_id": r.run_id, "folder": r.folder, "started": r.iso, "outcome": r.outcome, "exit_code": r.exit_code, "context": r.context}
            for r in run_history.runs
        ],
        "clusters": [
            {"key": c.key, "name": c.name, "kind": c.kind, "lines": [_line(line, run_history) for line in c.lines]}
            for c in run_history.clusters
        ],
    }


def _line(line: Line, run_history: History) -> dict[str, Any]:
    return {
        "disruption": line.disruption,
        "from": line.before,
        "path": line.path,
        "service": line.service,
        "kind": line.kind,
        "state": line.stability.state.value,
        "reason": line.stability.sentence,
        "changes": [
            {
                "run_id": run_history.runs[point.run].run_id,
                "shift_s": point.by if point.by is not None and math.isfinite(point.by) else None,
                "because": list(point.because),
                "new_series": point.new_series,
                "sentence": point.sentence,
            }
            for point in line.change_points
        ],
        "nights": [
            {
                "run_id": run_history.runs[c.run].run_id,
                "series": c.series,
                "n": c.n,
                "median_s": c.median,
                "min_s": c.least,
                "max_s": c.most,
                "budget_s": c.budget,
                "outcome": c.outcome,
                "measured": c.measured,
            }
            for c in line.columns
        ],
    }
