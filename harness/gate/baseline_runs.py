"""The runs that a gate holds a run against, read from their folders, and the gate's word on a run."""

from __future__ import annotations

from pathlib import Path

from harness.core.errors import BadUse, HarnessError
from harness.core.files import expand_user
from harness.core.text.host_text import one_line
from harness.core.verdict import Outcome
from harness.gate.gate_file import LoadedGate, load
from harness.gate.gate_verdict import judge_gate
from harness.gate.path_and_phase_figures import repeats
from harness.gate.slowdown import FAIL, REFUSED
from harness.report.record.gate_record import GateRecord
from harness.report.record.run_record import RunRecord
from harness.report.record.run_verdict import judge
from harness.report.run_reader import load_record, runs_before
from harness.report.statistics.comparability import why_not_comparable


def load_gate(file: str | None) -> LoadedGate | None:
    """The gate that an option names, with the runs that it names looked at before anything is done for it. Raises BadUse."""
    if file is None:
        return None
    loaded = load(expand_user(file))
    _named_runs(loaded)
    return loaded


def judge_finished_run(loaded: LoadedGate, reports: Path, run: RunRecord) -> GateRecord:
    """The gate's word on a run that has just been made: what keeps it from one is a refusal with that reason, for the run is there."""
    try:
        return gate_record(loaded, run, reports)
    except HarnessError as error:
        why = str(error)
    except Exception as error:  # a fault of ours must not take the run's own verdict and report with it
        why = f"the gate could not be asked: {type(error).__name__}: {one_line(str(error))}"
    return GateRecord(file=loaded.path.name, sha256=loaded.sha256, outcome=REFUSED, reason=why)


def outdated(word: GateRecord) -> GateRecord:
    """What stands in the place of a gate's word on figures that have been judged again since."""
    reason = (
        f"the figures were judged again after it had said {word.outcome} ({word.reason}); ask it anew: lkharness judge RUN --write --gate"
    )
    return GateRecord(file=word.file, sha256=word.sha256, outcome=REFUSED, reason=f"{reason} {word.file}")


def gate_record(loaded: LoadedGate, run: RunRecord, reports: Path) -> GateRecord:
    """The gate's word on a stored run in the folder `reports`. Raises BadUse for a named baseline that must not be compared with it."""
    left_out: list[str] = []
    return judge_gate(loaded, run, baseline(loaded, run, reports, left_out), left_out)


def baseline(loaded: LoadedGate, run: RunRecord, reports: Path, left_out: list[str] | None = None) -> list[RunRecord]:
    """The runs that `run` is held against: those that the gate names, or the newest good ones in `reports` that are comparable and older.

    A sentence for each older run that is none goes into `left_out`. Raises BadUse for a named run that cannot be read, or must not be
    compared with this one.
    """
    reasons_left_out = left_out if left_out is not None else []
    named_runs = _named_runs(loaded)
    for older in named_runs:
        if reasons := why_not_comparable(older, run):
            raise BadUse(f"{loaded.path}: {older.run_id} is no baseline of {run.run_id}: {'; '.join(reasons)}")
    if named_runs or not loaded.gate.baseline.last_good:
        return named_runs
    good: list[RunRecord] = []
    for older in runs_before(run.run_id, reports, reasons_left_out):
        if len(good) >= loaded.gate.baseline.last_good:
            break
        if why := _why_none(older, run):
            reasons_left_out.append(f"{older.run_id}: {why}")
        else:
            good.append(older)
    return good


def _why_none(older: RunRecord, run: RunRecord) -> str:
    if not _is_good(older):
        return f"it did not pass ({older.verdict.reason})"
    if not older.measurements:
        return "nothing was measured in it"
    disruptions, disruptions_before = ({record.measured.disruption for record in repeats(which)} for which in (run, older))
    return "; ".join(why_not_comparable(older, run)) or (
        "" if disruptions & disruptions_before else "it measured no disruption that this run did"
    )


def _is_good(run: RunRecord) -> bool:
    """By its tests and audits, and not failed by a gate: a gate that had no baseline yet refuses, and the first nights make one."""
    verdict = judge(run.model_copy(update={"gate": None}))
    return verdict.outcome is Outcome.PASS and (run.gate is None or run.gate.outcome != FAIL)


def _named_runs(loaded: LoadedGate) -> list[RunRecord]:
    folder = loaded.path.parent
    runs = [load_record(folder / expand_user(name)) for name in loaded.gate.baseline.runs]
    ids = [run.run_id for run in runs]
    if twice := sorted({id for id in ids if ids.count(id) > 1}):
        raise BadUse(f"{loaded.path}: baseline.runs names {', '.join(twice)} twice; each run counts once")
    return runs
