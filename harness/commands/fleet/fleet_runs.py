"""Runs of a fleet as they lie in folders: which came back, and what each says."""

from __future__ import annotations

from collections.abc import Container, Sequence
from datetime import datetime
from pathlib import Path

from pydantic import Field, ValidationError

from harness.commands.fleet.fleet_clusters import Member
from harness.commands.fleet.fleet_outcome import Outcome, Stored
from harness.core.errors import BadUse, ExitCode
from harness.core.files import file_exists, folder_exists, stored
from harness.core.redaction.output_redaction import Cleaner
from harness.core.text.host_text import one_line
from harness.report.record.record_types import Record, Seconds, Text
from harness.report.record.run_folders import is_run_folder, run_folders
from harness.report.record.run_record import ClusterSummary, Judgement, Moment
from harness.report.run_reader import faults_in_words, load_data

MAX_CLOCK_ERROR_S = 600.0
"""By so many seconds the clocks of the machine that planned and of one that ran may differ; another night is further away."""
INCIDENT_COMMAND = ("lkharness", "record", "fetch")
"""What an incident's run.json names as its command."""
MAX_LOG_BYTES = 64 * 1024  # of a process's output, from its end


class FleetHead(Record):
    """The part of run.json that a fleet reads."""

    run_id: Text = ""
    started: Moment | None = None
    command: list[Text] = Field([])
    seconds: Seconds = 0.0
    verdict: Judgement
    exit_code: ExitCode
    cluster: ClusterSummary | None = None


def folders_in(reports: Path) -> set[str]:
    """The names of the runs' folders; none where the folder is not there."""
    return {folder.name for folder in run_folders(reports)} if folder_exists(reports) else set()


def new_runs(reports: Path, before: Container[str]) -> list[Stored]:
    """What the runs say that came into the folder since. One that cannot be read says that."""
    return [_stored(reports / name) for name in sorted(folders_in(reports)) if name not in before]


def _stored(folder: Path) -> Stored:
    try:
        head = _head(folder)
    except BadUse as error:
        return Stored(folder, ExitCode.INCONCLUSIVE, str(error), 0.0)
    return Stored(folder, head.exit_code, head.verdict.reason, head.seconds)


def _head(folder: Path) -> FleetHead:
    """Raises BadUse."""
    try:
        return FleetHead.model_validate(load_data(folder / "run.json"))
    except ValidationError as error:
        raise BadUse(f"{folder / 'run.json'}: {faults_in_words(error)}; the file is damaged, choose another run") from None


def last_words(log: Path, cleaner: Cleaner) -> str:
    """The last line that a process said, without secrets."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - MAX_LOG_BYTES))
            output_end = file.read().decode("utf-8", "backslashreplace")
    except OSError as error:
        return f"its output cannot be read ({error.strerror or error})"
    lines = [line for line in map(one_line, output_end.splitlines()) if line]
    return cleaner.text(lines[-1]).removeprefix("lkharness: ") if lines else ""


def came_back(run_paths: Sequence[str], expected: Sequence[Member], planned: datetime | None = None) -> list[Outcome]:
    """The outcome of every RUN that was given and of every cluster that was expected; what did not come back is named.

    A RUN is a run's folder, or a folder that holds runs: its newest. One that is given twice, be it by `latest` or as a copy, counts once.
    One that began before `planned` is of another night. Raises BadUse where there is no run and none was expected.
    """
    outcomes, missing = list[Outcome](), list[Outcome]()
    run_ids: set[str] = set()
    for path in map(Path, run_paths):
        run = _run_of(path)
        if run is None:
            missing.append(Outcome(path.name, str(path), ExitCode.INCONCLUSIVE, f"it did not come back: {path} holds no run"))
            continue
        run_id, outcome = _outcome(run, expected, planned)
        if run_id not in run_ids:
            outcomes.append(outcome)
        run_ids.add(run_id)
    if not outcomes and not expected:
        raise BadUse(f"{', '.join(run_paths)}: no run is there; name runs' folders, or folders that hold runs")
    names = {listed_outcome.name for listed_outcome in outcomes}
    missing = [listed_outcome for listed_outcome in missing if listed_outcome.name not in {member.name for member in expected}]
    for member in expected:
        if member.name not in names:
            missing.append(Outcome(member.name, member.cluster, ExitCode.INCONCLUSIVE, "it did not come back: no run of it was given"))
    return [*outcomes, *missing]


def _run_of(path: Path) -> Path | None:
    """The run that a path stands for: itself, or the newest that it holds. An incident that a flight recorder's `fetch` put there is no
    night's run."""
    if file_exists(stored(path / "run.json")):
        return path.resolve()
    nights = (path / name for name in sorted(folders_in(path), reverse=True))
    newest = next((folder for folder in nights if not _is_incident(folder)), None)
    return newest.resolve() if newest else None


def _is_incident(folder: Path) -> bool:
    try:
        return tuple(_head(folder).command) == INCIDENT_COMMAND
    except BadUse:  # a night's run that cannot be read is told of as that
        return False


def _outcome(run: Path, expected: Sequence[Member], planned: datetime | None) -> tuple[str, Outcome]:
    """The run's id, or its folder where that cannot be read, and what became of it."""
    try:
        head = _head(run)
    except BadUse as error:
        member = _expected("", run, expected)
        return str(run), Outcome(member.name if member else run.parent.name, str(run), ExitCode.INCONCLUSIVE, str(error), run)
    file = cluster_file_of(head.command)
    member = _expected(file, run, expected)
    folder = run.parent.name if is_run_folder(run) else run.name
    name = member.name if member else head.cluster.name if head.cluster else Path(file).stem or folder
    cluster = member.cluster if member else file
    if planned is not None and head.started is not None and head.started.epoch < planned.timestamp() - MAX_CLOCK_ERROR_S:
        when = f"its newest run began at {head.started.iso}, before {planned.isoformat(timespec='seconds')}, and is of another night"
        return head.run_id or str(run), Outcome(name, cluster, ExitCode.INCONCLUSIVE, f"it did not come back: {when}", run)
    return head.run_id or str(run), Outcome(name, cluster, head.exit_code, head.verdict.reason, run, head.seconds)


def _expected(file: str, run: Path, expected: Sequence[Member]) -> Member | None:
    """Which one it is: by its cluster file, else by the name of the folder that holds its runs."""
    of_file = next((member for member in expected if file and member.cluster == file), None)
    return of_file or next((member for member in expected if member.name == run.parent.name), None)


def cluster_file_of(command: Sequence[str]) -> str:
    """The file behind --cluster, as it was written; empty where there is none."""
    for word, after in zip(command, [*command[1:], ""], strict=True):
        if word == "--cluster":
            return after
        if word.startswith("--cluster="):
            return word.removeprefix("--cluster=")
    return ""
