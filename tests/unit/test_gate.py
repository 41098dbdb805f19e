"""The gate: its file, budgets, skips, findings, the comparison with a baseline, refusals, and its part in a run's verdict."""

from __future__ import annotations

import math
import tomllib
from functools import partial
from pathlib import Path

import pytest
from measure_sample import add_to, once_worked_out, repeats
from report_sample import a_builder

from harness import cli
from harness.core import package_data
from harness.core.errors import BadUse
from harness.core.verdict import Outcome
from harness.gate import baseline_runs
from harness.gate.baseline_runs import baseline, judge_finished_run, load_gate
from harness.gate.gate_file import Gate, LoadedGate, load
from harness.gate.gate_verdict import judge_gate
from harness.gate.path_and_phase_figures import samples
from harness.gate.slowdown import slowdown
from harness.report.junit import junit
from harness.report.record.run_record import AuditRecord, ClusterKind, Judgement, RunRecord, RunState
from harness.report.record.run_verdict import judge
from harness.report.run_reader import load_record
from harness.report.statistics.comparability import why_not_comparable
from harness.report.terminal_summary import summary


def a_run(reports: Path, outs: list[float | None], disruption="switchover", kind=ClusterKind.LAB, skip="", **changes) -> RunRecord:
    builder = a_builder(reports, kind)
    add_to(builder, once_worked_out(tuple(outs), disruption))
    if skip:
        builder.begin_test("tests/a.py::test_power", "A power loss is survived")
        builder.skip(skip)
    if changes:
        builder.run.record.cluster = builder.run.record.cluster.model_copy(update=changes)
    builder.run.record.state = RunState.FINISHED
    builder.run.save()  # its pages are not looked at
    builder.run.close()
    return load_record(builder.run.directory)


def gate_of(text: str) -> LoadedGate:
    return LoadedGate(gate=Gate.model_validate(tomllib.loads(text)), path=Path("gate.toml"), sha256="0" * 64)


def found(record, about: str) -> list[str]:
    return [one.outcome for one in record.findings if one.about.startswith(about)]


FAST, SLOW = [1.00, 1.02, 1.01, 1.03, 0.99, 1.04, 1.05, 0.98], [1.31, 1.33, 1.30, 1.35, 1.29, 1.36, 1.32, 1.34]


def test_budgets_are_held_by_disruption_path_and_phase(tmp_path):
    run = a_run(tmp_path, [1.0, 1.2, 2.9])
    text = '[[budget]]\ndisruption = "switchover"\npath = "client"\nseconds = {}\n'
    assert judge_gate(gate_of(text.format(3)), run, []).outcome == "pass"
    over = judge_gate(gate_of(text.format(2)), run, [])
    assert over.outcome == "fail" and "1 of 3 over 2.00 s; 03-switchover, client path, took 2.90 s" in over.reason
    phases = {p.name for cut in run.measurements[0].phases for p in cut.phases}
    name = sorted(phases)[0]
    assert judge_gate(gate_of(f'[[budget]]\nphase = "{name}"\nseconds = 60'), run, []).outcome == "pass"
    assert judge_gate(gate_of(f'[[budget]]\nphase = "{name}"\nseconds = 0.000001'), run, []).outcome == "fail"
    unknown = judge_gate(gate_of('[[budget]]\nphase = "no such phase"\nseconds = 1'), run, [])
    assert unknown.outcome == "refused" and "has no such figure" in unknown.reason
    assert judge_gate(gate_of('disruptions = ["power loss"]'), run, []).outcome == "fail"
    assert "did not come back" in judge_gate(gate_of("[[budget]]\nseconds = 9"), a_run(tmp_path, [1.0, None]), []).reason


def test_skips_must_be_allowed_by_somebody_and_in_time(tmp_path):
    run = a_run(tmp_path, [1.0], skip="there is no [power] section")
    assert found(judge_gate(gate_of(""), run, []), "skipped") == ["fail"]
    assert found(judge_gate(gate_of('skips = "any"'), run, []), "skipped") == []
    allowed = '[[allowed_skip]]\ntest = "*power*"\nbecause = "no power commands"\nby = "J. Smith"\n'
    (kept,) = (one for one in judge_gate(gate_of(allowed), run, []).findings if one.about.startswith("skipped"))
    assert (kept.outcome, kept.reason) == ("pass", "allowed by J. Smith, because no power commands")
    assert found(judge_gate(gate_of(f"{allowed}until = 2020-01-01\n"), run, []), "skipped") == ["fail"]


def test_a_skip_is_allowed_by_the_tests_own_id_though_brackets_are_a_set_of_characters_in_a_pattern(tmp_path):
    run = a_run(tmp_path, [1.0], skip="there is no [power] section")
    id = "tests/failover/test_disruptions.py::test_disruption[power loss]"
    run.tests[-1].id = id
    allowed = '[[allowed_skip]]\ntest = "{}"\nbecause = "no power commands"\nby = "J. Smith"\n'
    assert found(judge_gate(gate_of(allowed.format(id)), run, []), "skipped") == ["pass"]
    assert found(judge_gate(gate_of(allowed.format(id.replace("power", "flower"))), run, []), "skipped") == ["fail"]
    assert found(judge_gate(gate_of(allowed.format("*test_disruption[[]power*")), run, []), "skipped") == ["pass"]


def test_an_audit_that_could_not_be_judged_is_a_finding_as_a_test_is(tmp_path):
    run = a_run(tmp_path, [1.0])
    run.audits.append(AuditRecord(name="one active node", verdict=Judgement(outcome="inconclusive", reason="nobody answered")))
    said = judge_gate(gate_of(""), run, [])
    assert said.outcome == "fail" and "one active node: nobody answered" in said.reason
    assert judge_gate(gate_of("[findings]\nfail = []"), run, []).outcome == "pass"


def test_a_gate_that_lets_inconclusive_tests_pass_makes_no_pass_of_the_run(tmp_path, capsys):
    """As docs/gate.md says of the two."""
    (tmp_path / "gate.toml").write_text("[findings]\nfail = []\n")
    run = a_run(tmp_path, [1.0])
    run.tests[0].verdict = Judgement(outcome="inconclusive", reason="the capture was blind")
    run.gate = judge_finished_run(load(tmp_path / "gate.toml"), tmp_path, run)
    assert run.gate.outcome == "pass" and judge(run).outcome is Outcome.INCONCLUSIVE
    (tmp_path / run.run_id / "run.json").write_text(run.model_dump_json())
    assert cli.main(["gate", str(tmp_path / run.run_id), "--gate", str(tmp_path / "gate.toml")]) == 0


def test_findings_that_the_gate_names_fail_it(tmp_path):
    run = a_run(tmp_path, [1.0])
    run.tests[0].verdict = Judgement(outcome="inconclusive", reason="the capture was blind")
    assert judge_gate(gate_of(""), run, []).outcome == "fail"
    assert judge_gate(gate_of("[findings]\nfail = []"), run, []).outcome == "pass"


def test_slower_fails_no_slower_passes_and_too_little_is_refused_with_the_reason(tmp_path):
    base, same, slow, few = a_run(tmp_path, FAST), a_run(tmp_path, FAST[::-1]), a_run(tmp_path, SLOW), a_run(tmp_path, SLOW[:4])
    gate = gate_of('[baseline]\nruns = ["x"]\n')
    passed = judge_gate(gate, same, [base])
    assert passed.outcome == "pass" and "would have been seen in 80 %" in passed.findings[-1].reason and passed.baseline == [base.run_id]
    failed = judge_gate(gate, slow, [base])
    assert failed.outcome == "fail" and set(found(failed, "slowdown: switchover, client")) == {"fail"}
    assert "slower by +0.31 s (+0." in failed.reason
    assert judge_gate(gate_of('[baseline]\nruns = ["x"]\n[slowdown]\nabsolute_s = 0.5'), slow, [base]).outcome == "pass"
    refused = judge_gate(gate, few, [base])
    assert refused.outcome == "refused" and "8 repeats of the baseline against 4" in refused.reason
    assert judge_gate(gate, slow, []).outcome == "refused"
    gate = gate_of('[baseline]\nruns = ["x"]\n[slowdown]\nmust_see_s = 0.5')
    rough = judge_gate(gate, a_run(tmp_path, [1, 9, 2, 8, 3, 7, 4, 6]), [a_run(tmp_path, [9, 1, 8, 2, 7, 3, 6, 4])])
    assert set(found(rough, "slowdown: switchover, client")) == {"refused"}
    assert any("scatter too much" in one.reason for one in rough.findings)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"manager": "pacemaker"}, "the cluster manager differs: lifekeeper and pacemaker"),
        ({"design": "floating"}, "the design differs: nat and floating"),
        ({"kind": ClusterKind.ATTACHED}, "what was measured differs: lab and attached"),
    ],
)
def test_what_must_not_be_compared_is_refused_by_compare_and_gate(tmp_path, capsys, changes, why):
    one, other = a_run(tmp_path, FAST), a_run(tmp_path, FAST, **changes)
    assert why_not_comparable(one, other) == [why]
    assert cli.main(["compare", str(tmp_path / one.run_id), str(tmp_path / other.run_id)]) == 2
    assert why in capsys.readouterr().err
    (tmp_path / "gate.toml").write_text(f'[baseline]\nruns = ["{one.run_id}"]\n')
    assert cli.main(["gate", str(tmp_path / other.run_id), "--gate", str(tmp_path / "gate.toml")]) == 2
    assert why in capsys.readouterr().err
    assert cli.main(["compare", str(tmp_path / one.run_id), str(tmp_path / one.run_id)]) == 2
    assert "the same run twice" in capsys.readouterr().err
    loaded = load_gate(str(tmp_path / "gate.toml"))
    assert (
        judge_finished_run(loaded, tmp_path, other).outcome == "refused"
    )  # at a run's end the run is there: nothing to refuse but the word


def test_a_failed_run_or_one_that_did_not_end_is_not_let_through_by_a_gate_that_demands_nothing(tmp_path):
    run, gate = a_run(tmp_path, FAST), gate_of("")
    assert judge_gate(gate, run, []).outcome == "pass"
    for change in ({"state": RunState.RUNNING}, {"tests": []}):
        assert judge_gate(gate, run.model_copy(update=change), []).outcome == "refused", change
    run.tests[0].verdict = Judgement(outcome="fail", reason="nobody answered")
    said = judge_gate(gate, run, [])
    assert said.outcome == "fail" and "nobody answered" in said.reason


def test_the_first_nights_make_a_baseline_though_the_gate_had_no_word_on_them(tmp_path):
    gate = gate_of("[baseline]\nlast_good = 3")
    builder = a_builder(tmp_path)
    add_to(builder, repeats(FAST))
    assert int(builder.finish(gate=partial(judge_finished_run, gate, tmp_path)).exit_code) == 3
    builder.run.close()
    failed = a_run(tmp_path, FAST)
    failed.tests[0].verdict = Judgement(outcome="fail", reason="nobody answered")
    (tmp_path / failed.run_id / "run.json").write_text(failed.model_dump_json())
    later = a_run(tmp_path, FAST)
    assert [one.run_id for one in baseline(gate, later, tmp_path)] == [builder.run.id]


def test_a_fault_of_the_gate_leaves_the_run_its_verdict(tmp_path, monkeypatch):
    monkeypatch.setattr(baseline_runs, "judge_gate", lambda *_: 1 / 0)
    said = judge_finished_run(gate_of(""), tmp_path, a_run(tmp_path, FAST))
    assert said.outcome == "refused" and "ZeroDivisionError" in said.reason


def test_a_baseline_that_did_not_recover_is_none(tmp_path):
    base, run = a_run(tmp_path, FAST), a_run(tmp_path, FAST)
    never = samples([base])
    for way, those in never["switchover"].by_direction.items():
        never["switchover"].by_direction[way] = [dict.fromkeys(one, math.inf) for one in those]
    said = slowdown(never, samples([run]), gate_of("").gate.slowdown, 1.0)
    assert said and {one.outcome for one in said} == {"refused"}


def test_the_last_good_nights_are_older_comparable_and_passed(tmp_path):
    good, other = a_run(tmp_path, FAST), a_run(tmp_path, FAST, manager="pacemaker")
    bad = a_run(tmp_path, FAST, skip="no power")
    (tmp_path / bad.run_id / "run.json").write_text("{")
    newer = a_run(tmp_path, FAST)
    run = a_run(tmp_path, SLOW)
    last = a_run(tmp_path, FAST)
    gate = gate_of("[baseline]\nlast_good = 5")
    assert [one.run_id for one in baseline(gate, run, tmp_path)] == [newer.run_id, good.run_id]
    assert [one.run_id for one in baseline(gate_of("[baseline]\nlast_good = 1"), run, tmp_path)] == [newer.run_id]
    assert other.run_id != last.run_id


def test_incidents_of_a_recorder_take_no_nights_place_in_a_baseline_and_are_compared_with_nothing(tmp_path):
    night = a_run(tmp_path, FAST)
    incident, other = (a_run(tmp_path, FAST, disruption="incident") for _ in range(2))
    run = a_run(tmp_path, FAST)
    left_out: list[str] = []
    assert [one.run_id for one in baseline(gate_of("[baseline]\nlast_good = 1"), run, tmp_path, left_out)] == [night.run_id]
    assert len(left_out) == 2 and "measured no disruption that this run did" in left_out[0]
    said = judge_gate(gate_of('[[budget]]\ndisruption = "incident"\nseconds = 9\n[baseline]\nlast_good = 1'), other, [incident])
    assert found(said, "slowdown") == ["refused"] and found(said, "budget") == ["pass"] and "no repeats of one thing" in said.reason


def test_the_gate_is_part_of_the_runs_verdict_exit_code_and_renderings(tmp_path):
    for text, code in (("[[budget]]\nseconds = 9", 0), ("[[budget]]\nseconds = 0.1", 1), ("[baseline]\nlast_good = 3", 3)):
        builder = a_builder(tmp_path / str(code))
        add_to(builder, repeats([1.0, 1.2]))
        finished = builder.finish(gate=partial(judge_finished_run, gate_of(text), tmp_path / str(code)))
        builder.run.close()
        run = load_record(builder.run.directory)
        assert int(finished.exit_code) == run.exit_code == code
        assert ("gate gate.toml" in summary(run, builder.run.directory)) and 'name="passed"' in junit(run)
        assert "Gate gate.toml" in (builder.run.directory / "report.html").read_text()
        assert (code == 0) == ("the gate gate.toml" not in run.verdict.reason)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("budget = 3", "budget: "),
        ("[[budget]]\nseconds = -1", "budget.0.seconds: input should be greater than 0"),
        ("[slowdown]\nrelativ = 1", "slowdown.relativ: extra inputs are not permitted"),
        ("[[allowed_skip]]\ntest = 'x'\nbecause = ''\nby = 'me'", "allowed_skip.0.because"),
        ("[baseline]\nruns = ['a']\nlast_good = 3", "give runs or last_good, not both"),
        ("[baseline]\nruns = ['nowhere']", "nowhere/run.json: cannot be read"),
        ("schema_version = 2", "schema_version"),
        ("][", "is not TOML"),
    ],
)
def test_a_bad_gate_file_is_one_sentence_and_exit_2(tmp_path, capsys, text, why):
    file = tmp_path / "gate.toml"
    file.write_text(text)
    assert cli.main(["gate", str(tmp_path), "--gate", str(file)]) == 2
    told = capsys.readouterr().err
    assert why in told and told.count("\n") == 1
    assert cli.main(["gate", str(tmp_path), "--gate", str(tmp_path / "none.toml")]) == 2


def test_the_example_is_a_gate_that_names_everything_a_gate_may_hold(tmp_path):
    written = tmp_path / "gate.toml"
    assert cli.main(["init", "--gate", str(written)]) == 0
    assert load(written).gate.budget[1].phase == "vip moved"
    assert cli.main(["init", "--gate", str(written)]) == 2  # not over what is there
    text = package_data.document("gate.example.toml").read_text()
    for table in (Gate, *(field.annotation for field in (Gate.model_fields["slowdown"], Gate.model_fields["baseline"]))):
        for name in table.model_fields:
            assert name in text, name
    with pytest.raises(BadUse):
        load(tmp_path / "none.toml")


def test_a_run_that_did_not_end_by_itself_gets_no_word(tmp_path):
    run = a_run(tmp_path, FAST).model_copy(update={"state": RunState.INTERRUPTED, "state_reason": "Ctrl-C"})
    assert judge_gate(gate_of(""), run, []).outcome == "refused"
