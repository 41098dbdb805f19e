"""What failed, as the annotations of the CI service that a run is on: lines on its output, which the service shows on the job's page.

GitHub Actions takes workflow commands, Azure DevOps logging commands; both escape what would end one. What a host says is no command of
either: `host_text.visible` writes such words out wherever they are printed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from harness.core.text.host_text import one_line
from harness.report.record.run_record import Judgement, Result, RunRecord, RunState

MAX_SHOWN = 10  # of each kind; GitHub shows no more of a step
Clean = Callable[[str], str]


def ci_annotations(run: RunRecord, environment: Mapping[str, str], clean: Clean) -> list[str]:
    """A line for each test, audit and gate that failed or could not be judged, the failures first; none where no service that takes them is
    named in the environment. `clean` takes secrets out of a text. Pure."""
    return annotate(_remarkable(run), environment, clean)


def annotate(found: Sequence[tuple[str, Judgement]], environment: Mapping[str, str], clean: Clean) -> list[str]:
    """The same of any titles with their verdicts. Pure."""
    write = _github if environment.get("GITHUB_ACTIONS") == "true" else _azure if environment.get("TF_BUILD") == "True" else None
    if write is None:
        return []
    chosen = [entry for result in (Result.FAIL, Result.INCONCLUSIVE) for entry in [e for e in found if e[1].outcome is result][:MAX_SHOWN]]
    return [write(verdict.outcome is Result.FAIL, one_line(clean(title)), one_line(clean(verdict.reason))) for title, verdict in chosen]


def _remarkable(run: RunRecord) -> list[tuple[str, Judgement]]:
    """Titles and verdicts; that no test was begun is the run's own."""
    verdicts = [(test.title, test.verdict) for test in run.tests] + [(audit.name, audit.verdict) for audit in run.audits]
    if run.gate is not None and run.gate.outcome != "pass":
        outcome = Result.FAIL if run.gate.outcome == "fail" else Result.INCONCLUSIVE
        verdicts.append((f"gate {run.gate.file}", Judgement(outcome=outcome, reason=run.gate.reason)))
    if run.state is not RunState.FINISHED:
        verdicts.append(("the run", Judgement(outcome=Result.FAIL, reason=run.verdict.reason)))
    return verdicts


def _github(is_failure: bool, title: str, reason: str) -> str:
    """https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions"""
    escaped = _escape(title, {"%": "%25", ":": "%3A", ",": "%2C"})
    return f"::{'error' if is_failure else 'warning'} title={escaped}::{_escape(reason, {'%': '%25'})}"


def _azure(is_failure: bool, title: str, reason: str) -> str:
    """https://learn.microsoft.com/en-us/azure/devops/pipelines/scripts/logging-commands"""
    return f"##vso[task.logissue type={'error' if is_failure else 'warning'}]{_escape(f'{title}: {reason}', {'%': '%AZP25'})}"


def _escape(text: str, by: Mapping[str, str]) -> str:
    return "".join(by.get(character, character) for character in text)
