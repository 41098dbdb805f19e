"""A fleet as a CI service shows it: one summary in Markdown and an annotation for each cluster that did not pass, in the place of those of
its runs, which would be as many summaries on one page, and annotations that lie in files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from harness.commands.fleet.fleet_outcome import WORDS, Outcome, fleet_code, sorted_worst_first, summary
from harness.report.ci_annotations import Clean, annotate
from harness.report.markdown_summary import plain
from harness.report.record.labels import MARK
from harness.report.record.run_record import Judgement, Result

FILE = "fleet.md"
SERVICE_VARIABLES = ("GITHUB_STEP_SUMMARY", "GITHUB_ACTIONS", "TF_BUILD")
"""By which a run knows that it may write a service's summary and annotations."""
MAX_ROWS = 1000  # a service takes 1 MiB of a step


def environment_of_runs() -> dict[str, str]:
    """This process's environment without what tells a run that it is a job of its own."""
    return {name: value for name, value in os.environ.items() if name not in SERVICE_VARIABLES}


def markdown(outcomes: Iterable[Outcome], notes: Sequence[str] = ()) -> str:
    """What became of the fleet, the worst first. Pure."""
    worst_first = sorted_worst_first(outcomes)
    rows = [f"| {MARK[one.tone]} | {plain(one.name)} | {WORDS[one.code]} | {plain(one.reason)} |" for one in worst_first[:MAX_ROWS]]
    more = [f"\n… and {len(worst_first) - MAX_ROWS} more on the page"] if len(worst_first) > MAX_ROWS else []
    head = [f"## {plain(summary(worst_first))}", "", f"exit code {int(fleet_code(worst_first))}", *(f"\n{plain(note)}" for note in notes)]
    return "\n".join([*head, "", "| | cluster | | reason |", "|---|---|---|---|", *rows, *more]) + "\n"


def fleet_annotations(outcomes: Iterable[Outcome], environment: Mapping[str, str], clean: Clean) -> list[str]:
    """A line for each cluster that did not pass, as many as a service shows. Pure."""
    verdicts = [(one.name, Judgement(outcome=one.tone, reason=f"{WORDS[one.code]}: {one.reason}")) for one in sorted_worst_first(outcomes)]
    return annotate([entry for entry in verdicts if entry[1].outcome is not Result.PASS], environment, clean)
