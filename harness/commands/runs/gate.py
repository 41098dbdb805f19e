"""`lkharness gate RUN… --gate gate.toml`: does a stored run keep what the gate demands?"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.commands.runs.stored_run_arguments import add_judging, loaded_once
from harness.commands.shared_options import print_json

if TYPE_CHECKING:
    from harness.report.record.gate_record import GateRecord

RESULTS = "exit codes: 0 passed · 1 not passed · 2 bad use · 3 refuses to say"


def add_to(commands) -> None:
    """Adds the command to the parser."""
    about = "say whether stored runs keep what a gate file demands"
    gate = add_judging(commands, "gate", _gate, about, "lkharness gate reports/latest --gate gate.toml", RESULTS)
    gate.add_argument("runs", metavar="RUN", nargs="+", help="a run's folder; each is judged by itself")
    gate.add_argument(
        "--gate", metavar="FILE", default="gate.toml", help="the gate file (default: gate.toml; `lkharness init --gate` writes one)"
    )
    gate.add_argument("--signoff", action="store_true", help="write signoff.html beside each run's run.json, for the person who signs")


def _gate(arguments: argparse.Namespace) -> int:
    from harness.core.errors import ExitCode
    from harness.gate.baseline_runs import gate_record, load_gate

    loaded = load_gate(arguments.gate)
    assert loaded is not None
    records_by_run, pages = [], []
    for folder, run in loaded_once(arguments.runs):
        judged_record = gate_record(loaded, run, folder.parent)
        records_by_run.append((run.run_id, judged_record))
        if arguments.signoff:
            from harness.gate.signoff import write

            pages.append(str(write(folder, run, judged_record)))
    codes = {"pass": ExitCode.PASSED, "fail": ExitCode.FAILED}
    outcomes = {record.outcome for _, record in records_by_run}
    worst = next((outcome for outcome in ("fail", "refused") if outcome in outcomes), "pass")
    code = codes.get(worst, ExitCode.INCONCLUSIVE)
    if arguments.json:
        print_json(
            {
                "exit_code": int(code),
                "gates": [{"run_id": id, **record.model_dump(mode="json")} for id, record in records_by_run],
                "pages": pages,
            }
        )
    else:
        print("\n".join([*(_as_text(id, record) for id, record in records_by_run), *(f"to sign: {page}" for page in pages)]))
    return int(code)


def _as_text(run_id: str, record: GateRecord) -> str:
    from harness.core.text.host_text import one_line
    from harness.core.text.wording import count

    words = {"pass": "PASSED", "fail": "NOT PASSED"}
    lines = [f"{words.get(record.outcome, 'NO WORD')}: {run_id}: {record.reason}"]
    lines += [f"  {one_line(f'{MARKS.get(finding.outcome, chr(63))} {finding.about}: {finding.reason}')}" for finding in record.findings]
    if record.baseline:
        lines.append(f"  against {count(len(record.baseline), 'run')}: {', '.join(record.baseline)}")
    return "\n".join([one_line(lines[0]), *lines[1:]])


MARKS = {"pass": "✓", "fail": "✗"}
