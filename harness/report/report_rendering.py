"""Make report.html and junit.xml of a stored run, now or years later, from nothing but its directory."""

from __future__ import annotations

from pathlib import Path

from harness.core.errors import Unusable
from harness.core.files import write_atomically
from harness.report.record.run_exit_code import exit_code_of
from harness.report.record.run_record import Judgement, RunRecord
from harness.report.record.run_verdict import judge, tally
from harness.report.run_reader import load_record, load_timeline
from harness.report.statistics.series_figures import series_of


def render(run_dir: Path) -> list[Path]:
    """Write report.html, junit.xml and summary.md beside run.json and return their paths.

    Raises BadUse when there is no run.json that this harness can read, Unusable when the directory cannot be written to.
    """
    from harness.report.html.html_report import html  # jinja2 is not needed by anything else, and slow to load
    from harness.report.junit import junit
    from harness.report.markdown_summary import markdown

    run = load_record(run_dir)
    events, faults = load_timeline(run_dir)
    try:
        return [
            write_atomically(run_dir / "report.html", html(run, events, timeline_faults=faults)),
            write_atomically(run_dir / "junit.xml", junit(run)),
            write_atomically(run_dir / "summary.md", markdown(run)),
        ]
    except OSError as error:
        reason = error.strerror or error
        raise Unusable(f"{run_dir}: the report cannot be written there ({reason}); free space or change its rights") from error


def store_record(run_dir: Path, run: RunRecord) -> Path:
    """Judge a record as it stands and write it as the run's run.json, whole or not at all. Raises Unusable."""
    run.series = series_of(run)
    verdict = judge(run)
    code = exit_code_of(run, verdict)
    run.verdict, run.exit_code, run.counts = Judgement.of(verdict), code.value, tally(run.tests)
    try:
        return write_atomically(run_dir / "run.json", run.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise Unusable(f"{run_dir}: run.json cannot be written there ({error.strerror or error}); change its rights") from error
