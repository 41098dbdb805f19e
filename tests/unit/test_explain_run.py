"""`lkharness explain RUN`: from the folder alone, whoever wrote it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from measure_sample import add_to, records
from report_sample import HOSTILE, a_builder, fill

from harness.cli import main
from harness.core.verdict import failed
from harness.explain.run_explanation import explain_run
from harness.report.run_record_builder import ReportBuilder

KEYS = {"says", "host", "certainty", "evidence", "do", "else"}


@pytest.fixture
def builder(tmp_path: Path) -> ReportBuilder:
    return a_builder(tmp_path)


def test_every_outage_has_its_longest_phase_and_what_it_waited_for(builder: ReportBuilder, capsys) -> None:
    add_to(builder, records(3))
    builder.finish()
    assert main(["explain", str(builder.run.directory), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema_version"] == 2 and told["causes"] and all(set(cause) >= KEYS for cause in told["causes"])
    outages = sum(len(series.outages) for m in builder.run.record.measurements for series in m.measured.series)
    assert len(told["outages"]) == outages and all(o["longest"]["phase"] and o["longest"]["waited"] for o in told["outages"])


def test_what_failed_comes_first_and_the_exit_code_is_the_runs(builder: ReportBuilder, capsys) -> None:
    add_to(builder, records(1))
    builder.begin_test("t::reach", "Every path reaches the listener")
    builder.add_check(failed("refused"), path="client", expected="reaches the active node", observed="refused", wire="W5", node="lknode01")
    builder.end_test(failed("refused"))
    builder.finish()
    assert main(["explain", str(builder.run.directory)]) == 1
    said = capsys.readouterr().out
    first = said.splitlines()[0]
    assert first.startswith("certain") and "lknode01: lknode01 itself refused" in first and "(W5)" in first and "FAILED: run" in said


def test_what_follows_from_one_thing_is_told_once(builder: ReportBuilder) -> None:
    builder.audit("the cluster is healthy", failed("lknode01 refuses everything"), after="t::one")
    for number in range(5):
        builder.begin_test(f"t::{number}", f"Test {number}")
        builder.end_test(failed(f"not run, because the cluster was left broken: after t::one: lknode01 refuses everything{number}"))
    builder.finish()
    told = explain_run(builder.run.directory).causes
    assert len([one for one in told if "refuses everything" in one.cause.says]) == 1
    assert told[0].symptoms == ("the cluster is healthy", *(f"Test {n}" for n in range(5)))


def test_nothing_a_host_says_dresses_up_the_terminal(builder: ReportBuilder, capsys) -> None:
    fill(builder, HOSTILE)
    add_to(builder, records(2, text=HOSTILE))
    builder.finish()
    main(["explain", str(builder.run.directory)])
    said = capsys.readouterr().out
    assert "\x1b" not in said and "\u202e" not in said and "\x00" not in said


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema_version": 99}', '{"schema_version": 1}', "\x00" * 99, '{"a":' * 99_999])
def test_what_is_no_run_is_one_sentence(tmp_path: Path, capsys, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    assert main(["explain", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert not said.out and said.err.startswith("lkharness: ") and said.err.count("\n") == 1 and "Traceback" not in said.err
    assert main(["explain", str(tmp_path), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]


def test_a_pipe_or_a_giant_in_place_of_a_record_is_refused(tmp_path: Path, capsys) -> None:
    os.mkfifo(tmp_path / "run.json")
    assert main(["explain", str(tmp_path)]) == 2 and "no plain file" in capsys.readouterr().err
    (tmp_path / "run.json").unlink()
    with (tmp_path / "run.json").open("wb") as giant:
        giant.truncate(1 << 40)
    assert main(["explain", str(tmp_path)]) == 2 and "larger than" in capsys.readouterr().err


def test_a_verdict_that_quotes_hundreds_of_attempts_is_told_shortly(builder: ReportBuilder) -> None:
    builder.begin_test("t::one", "One")
    builder.end_test(failed("the beginning is not known; " + "; ".join(f"yet path {n} was out" for n in range(999))))
    builder.finish()
    says = explain_run(builder.run.directory).causes[0].cause.says
    assert says.startswith("the beginning is not known") and len(says) < 700 and "more like it in the report" in says


def test_a_long_verdict_of_one_clause_is_cut_between_words(builder: ReportBuilder) -> None:
    """Half a word may be half a secret, which no pattern knows."""
    builder.begin_test("t::one", "One")
    builder.end_test(failed(" ".join(["password"] * 200)))
    builder.finish()
    says = explain_run(builder.run.directory).causes[0].cause.says
    assert len(says) < 700 and says.endswith("password …")
