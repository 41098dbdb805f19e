"""One execution and its directory: reports/<run id>/ with run.json, timeline.jsonl and evidence/.

run.json exists from the first moment and is replaced as a whole, so that there is something to read however the run ends.
"""

from __future__ import annotations

import json
import os
import platform
import re
import secrets
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness import __version__
from harness.core.errors import Unusable
from harness.core.files import write_atomically
from harness.core.redaction.output_redaction import Cleaner
from harness.core.redaction.secrets_in_commands import secret_words
from harness.core.text.host_text import one_line, storable
from harness.core.timeline import Event, Timeline
from harness.core.verdict import inconclusive
from harness.report.record.run_exit_code import exit_code_of
from harness.report.record.run_record import (
    ClusterSummary,
    Environment,
    EvidenceFault,
    EvidenceFile,
    Judgement,
    Moment,
    RunRecord,
    RunState,
)
from harness.report.record.run_verdict import judge, tally

LATEST = "latest"
TEXTS = (".log", ".txt", ".json", ".jsonl", ".xml")  # suffixes of evidence; captures hold headers only
_MAX_NAME_LENGTH = 120


class Run:
    """A run's directory and record. Use `Run.create`."""

    def __init__(self, directory: Path, record: RunRecord, timeline: Timeline, cleaner: Cleaner) -> None:
        self.directory = directory
        self.cleaner = cleaner  # every text of the run's files passes it
        self.record = record
        self.timeline = timeline
        self._reserved_names: set[str] = set()
        self._lock = threading.Lock()

    @classmethod
    def create(cls, reports: Path, *, command: Sequence[str], cluster: ClusterSummary | None = None, readable: bool = False) -> Run:
        """Make the run's directory, write its first run.json (state "running") and point reports/latest at it.

        `cluster` may come later, into `record.cluster`: the run begins before its lab or cluster is known to be there.
        A run's folder is its owner's alone, because managers' logs and addresses are in it; `readable`: for everybody to read.
        Raises Unusable when nothing can be written there.
        """
        try:
            directory = _new_directory(reports, 0o755 if readable else 0o700)
            (directory / "evidence").mkdir()
            cleaner = Cleaner(secret_words(command))
            timeline = Timeline(directory / "timeline.jsonl", cleaner.data)
            run = cls(directory, _first_record(directory.name, command, cluster), timeline, cleaner)
            run.save()
        except OSError as error:
            reason = error.strerror or error
            advice = "make it a folder that you may write to, or name another one"
            raise Unusable(f"{reports}: no report can be written there ({reason}); {advice}") from error
        run.note("harness", "run", f"run {run.id} began")
        run._point_latest_here()
        return run

    @property
    def id(self) -> str:
        """The run's id, which is its folder's name."""
        return self.record.run_id

    def save(self) -> Path:
        """Judge the record as it stands and write run.json, whole or not at all. Raises OSError; the record is judged all the same."""
        self.judge()
        return write_atomically(self.directory / "run.json", self._cleaned() + "\n")

    def _cleaned(self) -> str:
        """The record as JSON, without secrets; laid out for people once the run is over, because that takes ten times as long."""
        indent = None if self.record.state is RunState.RUNNING else 1
        return json.dumps(self.cleaner.data(json.loads(self.record.model_dump_json())), indent=indent, ensure_ascii=False)

    def judge(self) -> None:
        """Sets the run's verdict and exit code from what its record says now."""
        verdict = judge(self.record)
        self.record.verdict = Judgement.of(verdict)
        self.record.exit_code = exit_code_of(self.record, verdict).value
        self.record.counts = tally(self.record.tests)

    def evidence(self, name: str) -> Path:
        """A path in evidence/ for `name`, made safe as a file name and never given twice."""
        safe = _safe_name(name)
        with self._lock:
            path, number = self.directory / "evidence" / safe, 1
            while path.name.lower() in self._reserved_names or path.exists():
                number += 1
                path = path.with_name(f"{Path(safe).stem}-{number}{Path(safe).suffix}")
            self._reserved_names.add(path.name.lower())
        return path

    def collect(self, name: str, collector: Callable[[Path], object]) -> Path | None:
        """Let `collector` write evidence `name` to the path it is handed. When it fails that is noted and the run goes on.

        Returns the path, or None when there is no such evidence.
        """
        path = self.evidence(name)
        try:
            collector(path)
            if not path.exists():
                raise FileNotFoundError("the collector wrote nothing")
            if path.suffix in TEXTS:
                _clean_file(path, self.cleaner)
        except Exception as error:
            self.evidence_fault(name, f"{type(error).__name__}: {error}")
            return None
        self.note("harness", "evidence", f"collected evidence/{path.name}", path=f"evidence/{path.name}")
        return path

    def evidence_fault(self, name: str, reason: str) -> None:
        """Note that evidence or a rendering called `name` is missing or incomplete, and why."""
        reason = one_line(reason)
        self.record.evidence_faults.append(EvidenceFault(name=name, reason=reason))
        self.note("harness", "evidence-fault", f"{name} could not be collected: {reason}", name=name)

    def list_evidence(self) -> list[EvidenceFile]:
        """The files that are in evidence/ now, by name."""
        return evidence_in(self.directory)

    def note(self, source: str, kind: str, text: str, *, at: float | None = None, **data: object) -> Event:
        """Put an event on the timeline. What hosts say may hold bytes that are no text; those are written out."""
        clean = {key: storable(value) if isinstance(value, str) else value for key, value in data.items()}
        return self.timeline.note(storable(source), storable(kind), storable(text), at=at, **clean)

    def close(self) -> None:
        """Closes the timeline."""
        self.timeline.close()

    def _point_latest_here(self) -> None:
        """A run whose `latest` cannot be moved is still a run: that is noted, not fatal."""
        latest = self.directory.parent / LATEST
        new_link = latest.with_name(f".{LATEST}-{self.id}")
        try:
            new_link.symlink_to(self.directory.name)
            new_link.replace(latest)
        except OSError as error:
            new_link.unlink(missing_ok=True)
            reason = error.strerror or error
            self.evidence_fault(f"reports/{LATEST}", f"{latest} does not point at this run ({reason}); remove what is in its way")


def _clean_file(path: Path, cleaner: Cleaner) -> None:
    """Nothing stays of a text that its collector wrote with secrets in it. Raises OSError."""
    text = path.read_text(encoding="utf-8", errors="backslashreplace")
    if (clean := cleaner.text(text)) != text:
        write_atomically(path, clean)


def evidence_in(directory: Path) -> list[EvidenceFile]:
    """The files that are in a run's evidence/ now, by name."""
    files = sorted(p for p in (directory / "evidence").rglob("*") if p.is_file())
    return [EvidenceFile(path=p.relative_to(directory).as_posix(), bytes=p.stat().st_size) for p in files]


def load_average() -> list[float] | None:
    """The machine's load over 1, 5 and 15 minutes, where the system tells it."""
    try:
        return [round(load, 2) for load in os.getloadavg()]
    except (AttributeError, OSError):  # Windows has no such figure
        return None


def _new_directory(reports: Path, mode: int) -> Path:
    reports.mkdir(parents=True, exist_ok=True)
    while True:
        moment = datetime.now(UTC)
        directory = reports / f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z-{secrets.token_hex(2)}"
        try:
            directory.mkdir(mode=0o700)
            directory.chmod(mode)
        except FileExistsError:
            continue
        return directory


def _first_record(run_id: str, command: Sequence[str], cluster: ClusterSummary | None) -> RunRecord:
    return RunRecord(
        run_id=run_id,
        harness_version=__version__,
        command=list(command),
        started=Moment.now(),
        verdict=Judgement.of(inconclusive("the run has only begun")),
        exit_code=3,
        cluster=cluster,
        environment=Environment(
            python=platform.python_version(), platform=platform.platform(), cpus=os.cpu_count(), load_at_start=load_average()
        ),
    )


def _safe_name(name: str) -> str:
    """Letters, digits, dot, dash and underscore only; never hidden, never empty, never longer than file systems take."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name)
    return safe[-_MAX_NAME_LENGTH:].strip("-.") or "evidence"
