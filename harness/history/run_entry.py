"""One finished run as the history keeps it: from its run.json, without its measurements' details."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from harness.core.errors import BadUse
from harness.core.files import stored
from harness.history.asked_disruptions import asked_disruptions
from harness.report.record.record_types import Record, Seconds, Text
from harness.report.record.run_record import ClusterSummary, Counts, Judgement, Moment, Result, RunState
from harness.report.record.series_record import SeriesRecord
from harness.report.run_reader import faults_in_words, load_data, load_record
from harness.report.statistics.series_figures import series_of
from harness.report.statistics.series_identity import cluster_key, context_of, identity_of, key_of, line_of


class TestHead(Record):
    """The part of a test that the history reads."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    id: Text
    verdict: Judgement


class RunHead(Record):
    """The part of run.json that the history reads; its measurements, which are most of it, are not looked at."""

    schema_version: Literal[2] = 2
    run_id: Text
    state: RunState
    harness_version: Text
    command: list[Text] = Field([])
    started: Moment
    seconds: Seconds = 0.0
    verdict: Judgement
    exit_code: int
    counts: Counts = Counts()
    cluster: ClusterSummary | None = None
    tests: list[TestHead] = Field([])
    series: list[SeriesRecord] = Field([])

    @property
    def asked(self) -> list[str]:
        """The disruptions that it set out to measure."""
        executed = [test.id for test in self.tests if test.verdict.outcome is not Result.SKIPPED]
        return asked_disruptions(executed, self.command, came_to_all=self.state is RunState.FINISHED)


@dataclass(frozen=True)
class Point:
    """The figures of one series in one run."""

    series: str
    """Its `key_of`, made of the line and the identity."""
    line: dict[str, str]
    identity: dict[str, str]
    figures: SeriesRecord


@dataclass(frozen=True)
class Entry:
    """A run with its points. `folder` is its name beside the store."""

    folder: str
    stamp: str
    """Changes whenever run.json is written again."""
    head: RunHead
    cluster: str
    """Empty for a run that never knew its cluster."""
    context: dict[str, str]
    points: tuple[Point, ...]


def stamp_of(run_dir: Path) -> str:
    """By run.json's time and size. Raises OSError when there is none."""
    status = stored(run_dir / "run.json").stat()
    return f"{status.st_mtime_ns}:{status.st_size}"


def read_entry(run_dir: Path) -> Entry | None:
    """The entry of a run's folder; None while the run goes on, or when it was killed. Raises BadUse for what is no run."""
    path = run_dir / "run.json"
    try:
        stamp = stamp_of(run_dir)
    except OSError as error:
        raise BadUse(f"{path}: cannot be read ({error.strerror or error}); name a run's directory, such as reports/latest") from error
    data = load_data(path)
    try:
        head = RunHead.model_validate(data)
    except ValidationError as error:
        raise BadUse(f"{path}: {faults_in_words(error)}; the file is damaged, choose another run") from None
    if head.state is RunState.RUNNING:
        return None
    if not head.series and data.get("measurements"):  # of a harness that did not store them yet
        head.series = series_of(load_record(run_dir))
    return entry_of(run_dir.name, stamp, head)


def entry_of(folder: str, stamp: str, head: RunHead) -> Entry:
    """A run's entry from what was read of it. Pure."""
    if head.cluster is None:
        return Entry(folder, stamp, head, "", {"harness": head.harness_version}, ())
    cluster = cluster_key(head.cluster)
    points = []
    for figures in head.series:
        line, identity = line_of(cluster, figures), identity_of(head.cluster, figures)
        points.append(Point(key_of({**line, **identity}), line, identity, figures))
    return Entry(folder, stamp, head, cluster, context_of(head.harness_version, head.cluster), tuple(points))
