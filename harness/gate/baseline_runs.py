"""The runs that a gate holds a run against, read from their folders, and the gate's word on a run."""

from __future__ import annotations

from pathlib import Path

from harness.core.errors import BadUse, HarnessError
from harness.core.files import expand_user
from harness.core.text import one_line
from harness.core.verdict import Outcome
from harness.gate.gate_file import LoadedGate, load
from harness.gate.gate_verdict import judge_gate
from harness.gate.samples import repeats
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
    _named(loaded)
    return loaded


def judged(loaded: LoadedGate, reports: Path, run: RunRecord) -> GateRecord:
    """The gate's word on a run that has just been made: what keeps it from one is a refusal with that reason, for the run is there."""
    try:
        return gate_record(loaded, run, reports)
    except HarnessError as error:
        reason = str(error)
    except Exception as error:  # a fault of ours must not take the run's own verdict and report with it
        reason = f"the gate could not be asked: {type(error).__name__}: {one_line(str(error))}"
    return GateRecord(file=loaded.path.name, sha256=loaded.sha256, outcome=REFUSED, reason=reason)


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
    said = left_out if left_out is not None else []
    named = _named(loaded)
    for one in named:
        if reasons := why_not_comparable(one, run):
            raise BadUse(f"{loaded.path}: {one.run_id} is no baseline of {run.run_id}: {'; '.join(reasons)}")
    if named or not loaded.gate.baseline.last_good:
        return named
    found: list[RunRecord] = []
    for one in runs_before(run.run_id, reports, said):
        if len(found) >= loaded.gate.baseline.last_good:
            break
        if why := _why_none(one, run):
            said.append(f"{one.run_id}: {why}")
        else:
            found.append(one)
    return found


def _why_none(one: RunRecord, run: RunRecord) -> str:
    if not _is_good(one):
        return f"it did not pass ({one.verdict.reason})"
    if not one.measurements:
        return "nothing was measured in it"
    mine, theirs = ({record.measured.disruption for record in repeats(which)} for which in (run, one))
    return "; ".join(why_not_comparable(one, run)) or ("" if mine & theirs else "it measured no disruption that this run did")


def _is_good(run: RunRecord) -> bool:
    """By its tests and audits, and not failed by a gate: a gate that had no baseline yet refuses, and the first nights make one."""
    own = judge(run.model_copy(update={"gate": None}))
    return own.outcome is Outcome.PASS and (run.gate is None or run.gate.outcome != FAIL)


def _named(loaded: LoadedGate) -> list[RunRecord]:
    folder = loaded.path.parent
    found = [load_record(folder / expand_user(name)) for name in loaded.gate.baseline.runs]
    ids = [one.run_id for one in found]
    if twice := sorted({id for id in ids if ids.count(id) > 1}):
        raise BadUse(f"{loaded.path}: baseline.runs names {', '.join(twice)} twice; each run counts once")
    return found
