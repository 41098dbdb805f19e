"""`lkharness judge`: stored recordings judged again, with other budgets, cut off or damaged, without the cluster."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from recordings import a_switchover, store
from report_sample import a_builder

from harness import cli
from harness.core.verdict import Verdict, inconclusive, passed
from harness.measure.evaluation.recording_evaluation import evaluate
from harness.remote.recording.recording import read
from harness.report.record.gate_record import GateRecord
from harness.report.record.measurement_record import CalibrationRecord, MeasurementRecord
from harness.report.run_reader import load_record

ID = "01-switchover"
TEST = "tests/a.py::test_switchover"


def a_run(reports: Path, *, finished: bool = True, calibration: Verdict | None = None) -> Path:
    """One switchover, measured, judged and stored as a run does it."""
    verdict = passed("a known cut was measured within one period") if calibration is None else calibration
    builder = a_builder(reports)
    builder.calibration(CalibrationRecord(cut_s=0.3, measured_s=0.305, period_s=0.01, verdict=verdict))
    builder.begin_test(TEST, "After a switchover every path recovers")
    path = store(a_switchover(), builder.run.directory / "evidence" / ID / "recording.jsonl")
    result = evaluate(read(path), calibration=verdict)
    if finished:
        builder.measurement(MeasurementRecord.of(result, id=ID, test=TEST))
        builder.end_test(result.verdict)
        builder.finish()
    builder.run.close()
    return builder.run.directory


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Measured, judged and rendered once; every test has a copy of its own."""
    return a_run(tmp_path_factory.mktemp("stored"))


@pytest.fixture
def run_dir(stored: Path, tmp_path: Path) -> Path:
    shutil.copytree(stored.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / stored.name


def judge(capsys, *words: object) -> tuple[int, str]:
    code = cli.main(["judge", *map(str, words)])
    return code, capsys.readouterr().out


def content(run_dir: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in run_dir.rglob("*") if p.is_file()}


def test_the_same_budget_gives_the_same_judgement_and_writes_nothing(run_dir, capsys):
    before = content(run_dir)
    code, said = judge(capsys, run_dir)
    assert code == 0
    assert f"✓ {ID}: " in said and "all 1 judged as before" in said
    assert content(run_dir) == before


@pytest.mark.parametrize("budget", ["1", "switchover=1", f"{ID}=1"])
def test_a_smaller_budget_fails_what_passed(run_dir, capsys, budget):
    before = content(run_dir)
    code, said = judge(capsys, run_dir, "--budget", budget)
    assert code == 1
    assert "budget 8.10 s → 1.00 s" in said and "verdict pass → fail: " in said
    assert content(run_dir) == before


def test_the_budget_of_a_name_goes_before_that_of_all(run_dir, capsys):
    assert judge(capsys, run_dir, "--budget", 1, "--budget", "switchover=5")[0] == 0
    assert judge(capsys, run_dir, "--budget", 5, "--budget", "switchover=1")[0] == 1


def test_write_puts_it_into_the_report_and_back(run_dir, capsys):
    code, said = judge(capsys, run_dir, "--budget", 1, "--write")
    assert code == 1 and "say so now" in said
    record = load_record(run_dir)
    assert (record.exit_code, record.tests[0].verdict.outcome, record.measurements[0].measured.budget_s) == (1, "fail", 1.0)
    assert "FAILED" in (run_dir / "report.html").read_text() and "<failure" in (run_dir / "junit.xml").read_text()
    assert judge(capsys, run_dir, "--write")[0] == 0
    record = load_record(run_dir)
    assert (record.exit_code, record.tests[0].verdict.outcome, record.measurements[0].measured.budget_s) == (0, "pass", 8.1)


def test_write_does_not_keep_a_gates_word_on_what_was_judged_before(run_dir, capsys):
    record = load_record(run_dir)
    record.gate = GateRecord(file="gate.toml", sha256="0" * 64, outcome="pass", reason="all 2 demands of the gate kept")
    (run_dir / "run.json").write_text(record.model_dump_json())
    assert judge(capsys, run_dir, "--write")[0] == 0 and load_record(run_dir).gate.outcome == "pass"  # nothing changed
    code, told = judge(capsys, run_dir, "--budget", 5, "--write")
    assert code == 3 and "gate gate.toml refuses to say: the figures were judged again" in told
    said = load_record(run_dir)
    assert (said.gate.outcome, said.exit_code) == ("refused", 3)
    assert "judged again after it had said pass" in said.gate.reason and "refuses to say" in (run_dir / "report.html").read_text()
    (run_dir.parent / "gate.toml").write_text("[[budget]]\nseconds = 0.5\n")
    code, told = judge(capsys, run_dir, "--write", "--gate", run_dir.parent / "gate.toml")
    assert code == 1 and "gate gate.toml not passed: " in told and "summary.md say so now" in told
    assert "gate gate" in (run_dir / "summary.md").read_text().replace("\\", "").lower()
    said = load_record(run_dir)
    assert (said.gate.outcome, said.exit_code) == ("fail", 1) and "over 0.50 s" in said.gate.reason
    (run_dir.parent / "gate.toml").write_text("[[budget]]\nseconds = 60\n")
    code, told = judge(capsys, run_dir, "--write", "--gate", run_dir.parent / "gate.toml", "--json")
    assert code == 0 and json.loads(told)["gate"]["outcome"] == "pass"
    assert (
        judge(capsys, run_dir, "--budget", 1, "--write", "--gate", run_dir.parent / "gate.toml")[0] == 1
    )  # a gate that passes mends no failure
    assert cli.main(["judge", str(run_dir), "--gate", "gate.toml"]) == 2


def test_write_leaves_a_test_alone_that_failed_for_another_reason(run_dir, capsys):
    data = json.loads((run_dir / "run.json").read_text())
    data["tests"][0]["verdict"] = {"outcome": "fail", "reason": "the old node still answered the probe"}
    (run_dir / "run.json").write_text(json.dumps(data))
    assert judge(capsys, run_dir, "--write")[0] == 0
    assert load_record(run_dir).tests[0].verdict.reason == "the old node still answered the probe"


def test_json_for_other_programs(run_dir, capsys):
    code, said = judge(capsys, run_dir, "--budget", 1, "--json")
    data = json.loads(said)
    one = data["measurements"][0]
    assert code == data["exit_code"] == 1 and data["written"] is False
    assert (one["id"], one["test"], one["before"]["outcome"], one["verdict"]["outcome"]) == (ID, TEST, "pass", "fail")
    assert one["paths"]["client"]["recovered_after_s"] == pytest.approx(1.7, abs=0.02)


def test_a_killed_run_is_judged_as_far_as_it_goes(tmp_path, capsys):
    """The harness died while it measured: run.json says running and knows nothing of the recording, which ends in the middle of a line."""
    run_dir = a_run(tmp_path, finished=False)
    recording = run_dir / "evidence" / ID / "recording.jsonl"
    recording.write_bytes(recording.read_bytes()[: recording.stat().st_size // 2])
    assert load_record(run_dir).state == "running"
    code, said = judge(capsys, run_dir)
    assert code == 3
    assert f"? {ID}: " in said and "the harness was killed while it was measured" in said
    assert judge(capsys, run_dir, "--write")[0] == 3
    record = load_record(run_dir)
    assert [(m.id, m.test) for m in record.measurements] == [(ID, TEST)]
    assert (run_dir / "report.html").exists()


@pytest.mark.parametrize(
    ("damage", "says"), [(b"", "it is empty"), (b'{"is":"h","disru', "cut off in its first line"), (None, "cannot be read")]
)
def test_a_recording_that_is_no_use_is_inconclusive(run_dir, capsys, damage, says):
    recording = run_dir / "evidence" / ID / "recording.jsonl"
    recording.unlink()
    if damage is not None:
        recording.write_bytes(damage)
    code, said = judge(capsys, run_dir, "--write")
    assert code == 3 and says in said
    assert load_record(run_dir).measurements[0].measured.verdict.outcome == "pass"  # what was known before is kept


def test_a_recording_outside_the_run_is_not_read(run_dir, capsys):
    data = json.loads((run_dir / "run.json").read_text())
    data["measurements"][0]["recording"] = "../../../etc/passwd"
    (run_dir / "run.json").write_text(json.dumps(data))
    assert "it lies outside the run's directory" in judge(capsys, run_dir)[1]


def test_the_meter_s_check_of_itself_counts_again(tmp_path, capsys):
    run_dir = a_run(tmp_path, calibration=inconclusive("a known cut was not seen"))
    code, said = judge(capsys, run_dir)
    assert code == 3 and "a known cut was not seen" in said


def test_a_run_that_measured_nothing_proves_nothing(tmp_path, capsys):
    builder = a_builder(tmp_path)
    builder.finish()
    builder.run.close()
    code, said = judge(capsys, builder.run.directory)
    assert code == 3 and "nothing was measured" in said


@pytest.mark.parametrize(
    ("budget", "says"),
    [
        ("soon", "soon is no number of seconds"),
        ("0", "0 is no"),
        ("inf", "inf is no"),
        ("switchover=", "nothing is no"),
        ("flood=1", "flood"),
    ],
)
def test_a_budget_that_is_none_is_one_sentence(run_dir, capsys, budget, says):
    assert cli.main(["judge", str(run_dir), "--budget", budget]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1
