"""signoff.html: one page for the person who signs: what was run on what, how often, the verdict, deviations, versions, hashes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.core.errors import Unusable
from harness.core.files import stored, write_atomically
from harness.core.text import wording
from harness.report.html.page_environment import page_environment, style
from harness.report.lab_disclaimer import is_lab, lab_stands_in
from harness.report.record.gate_record import GateRecord
from harness.report.record.labels import LABEL, MARK, cluster_in_words, skipped_by_reason
from harness.report.record.run_record import Result, RunRecord
from harness.report.record.run_verdict import judge

_TEMPLATES = Path(__file__).with_name("templates")
FILE = "signoff.html"
GONE = "no longer there"


def write(run_dir: Path, run: RunRecord, gate: GateRecord) -> Path:
    """Write the page beside the run's run.json. Raises Unusable."""
    try:
        return write_atomically(run_dir / FILE, html(run, gate, hashes(run_dir, run)))
    except OSError as error:
        raise Unusable(f"{run_dir}: {FILE} cannot be written there ({error.strerror or error}); free space or change its rights") from error


def hashes(run_dir: Path, run: RunRecord) -> list[tuple[str, str]]:
    """Name and SHA-256 of run.json and of each file of evidence, as they lie there now; packed ones under their packed name."""
    rows = []
    for name in ["run.json", *(file.path for file in run.evidence)]:
        path = stored(run_dir / name)
        if not path.resolve().is_relative_to(run_dir.resolve()) or not path.is_file():
            rows.append((name, GONE))
            continue
        with path.open("rb") as file:
            rows.append((path.relative_to(run_dir).as_posix(), hashlib.file_digest(file, "sha256").hexdigest()))
    return rows


def html(run: RunRecord, gate: GateRecord, files: list[tuple[str, str]]) -> str:
    """The page. Pure.

    Its word is that of the gate it is written for, which includes the run's tests and audits. What another gate said when the run ended is
    a deviation, and no part of that word.
    """
    environment = page_environment(_TEMPLATES)
    environment.filters.update(
        seconds=wording.seconds,
        perhaps=lambda value: "never" if value is None else wording.seconds(value),
        label=lambda outcome: LABEL[outcome],
        mark=lambda outcome: MARK[outcome],
    )
    outcome = {"pass": Result.PASS, "fail": Result.FAIL}.get(gate.outcome, Result.INCONCLUSIVE)
    own = judge(run.model_copy(update={"gate": None}))
    return environment.get_template("signoff.html.j2").render(
        run=run,
        gate=gate,
        word=LABEL[outcome],
        tone=outcome.value,
        own=own.reason,
        at_run_end=run.gate if run.gate is not None and run.gate.outcome != "pass" else None,
        where=cluster_in_words(run.cluster),
        lab=lab_stands_in(run) if is_lab(run) else "",
        unkept=[finding for finding in gate.findings if finding.outcome != "pass"],
        failed=[
            (name, verdict)
            for name, verdict in [*((t.title, t.verdict) for t in run.tests), *((a.name, a.verdict) for a in run.audits)]
            if verdict.outcome in (Result.FAIL, Result.INCONCLUSIVE)
        ],
        skipped=skipped_by_reason(run),
        series=[series for series in run.series if series.kind == "new"],
        files=files,
        style=style(),
    )
