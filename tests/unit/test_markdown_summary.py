"""summary.md: what a CI service shows of a run; what hosts say is text there, and nothing else."""

from __future__ import annotations

import re
import sys
from dataclasses import replace

import pytest
from measure_sample import add_to, repeats
from report_sample import HOSTILE, REFUSED, a_builder, fill

from harness.pytest_plugin import run_end
from harness.report.markdown_summary import markdown, plain
from harness.report.record.measurement_record import MeasurementRecord


def a_run(tmp_path, text=""):
    builder = a_builder(tmp_path)
    fill(builder, text)
    add_to(builder, repeats([1.0, 1.1, 1.2, 1.3, 1.4, None]))
    return builder


def test_it_has_the_verdict_what_failed_and_the_figures(tmp_path):
    builder = a_run(tmp_path)
    run_end.finish(builder, None, interrupted=False)
    said = (builder.run.directory / "summary.md").read_text()
    assert said.startswith("## ✗ FAILED: connectivity of the lab “demo”, design nat\n")
    assert plain(REFUSED) in said and "| switchover from lknode01 | client | listener | 6 | 1.25 s | never | never | " in said
    assert "- skipped 1 test: no \\[power\\] section" in said


def _rows(said: str, heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    table = said.split(f"### {heading}\n\n")[1].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def _measured_run(tmp_path, made):
    builder = a_builder(tmp_path)
    fill(builder, "")
    add_to(builder, made)
    builder.finish()
    return builder.run.record


def _as(record, **changes):
    return MeasurementRecord.of(replace(record.measured, **changes), id=record.id, test=record.test)


def test_each_path_stands_against_its_budget_and_the_worst_repeat_speaks(tmp_path):
    run = _measured_run(tmp_path, repeats([1.0, 3.0, 1.2]))
    rows = _rows(markdown(run), "Against the budget")
    assert [row[1:3] for row in rows] == [["switchover", path] for path in ("client", "inside", "standby")]
    mark, _, _, worst, budget, used, longest, _ = rows[0]
    assert (mark, budget, used) == ("✓", "6.00 s", "50 %") and worst.endswith("3.00 s")
    assert re.fullmatch(r"[a-z ]+ \d+\.\d\d s", longest)


def test_what_is_over_its_budget_or_never_came_back_is_first(tmp_path):
    late = repeats([9.0], "failback", first=4)
    run = _measured_run(tmp_path, [*repeats([1.0]), *late, *repeats([None], "node power loss", first=7)])
    rows = _rows(markdown(run), "Against the budget")
    assert [(row[0], row[1], row[5]) for row in rows if row[2] == "client"] == [
        ("✗", "failback", "150 %"),
        ("✗", "node power loss", "–"),
        ("✓", "switchover", "17 %"),
    ]
    assert next(row[3] for row in rows if row[1] == "node power loss") == "did not recover"


def test_a_path_that_may_not_be_out_has_no_budget_and_one_of_which_nothing_is_demanded_no_row(tmp_path):
    (record,) = repeats([1.0])
    expects = {"client": "untouched", "inside": "any", "standby": "recovers"}
    said = markdown(_measured_run(tmp_path, [_as(record, expects=expects)]))
    assert [(row[2], row[4], row[5]) for row in _rows(said, "Against the budget")] == [
        ("client", "no outage", "–"),
        ("standby", "6.00 s", "17 %"),
    ]
    assert {(row[1], row[8]) for row in _rows(said, "Measured")} == {("client", "no outage"), ("standby", "6.00 s")}


def test_a_phase_over_its_part_of_the_budget_is_named_although_the_path_kept_the_whole(tmp_path):
    made = repeats([1.0, 4.0, 4.1])
    tight = [_as(record, budget_because="takeover 0.5 + first probe 3 + margin 2.5 s") for record in made]
    for row in _rows(markdown(_measured_run(tmp_path, tight)), "Against the budget"):
        assert row[0] == "✓" and "of the budget's sum 0.50 s are for it" in row[7], row
        assert "of 3 repeats a phase was over its part" in row[7]
    wide = [_as(record, budget_because="takeover 5 + first probe 3 + margin 1 s") for record in made]
    assert {row[7] for row in _rows(markdown(_measured_run(tmp_path / "wide", wide)), "Against the budget")} == {"–"}


def test_every_row_has_the_columns_of_its_table_whatever_a_host_says(tmp_path):
    builder = a_run(tmp_path, HOSTILE + "| a | b | @team https://evil.example [x](y)\n# head")
    builder.finish()
    said = markdown(builder.run.record)
    assert not re.search(r"(?<!\\)<|(?<!\\)@|[^\\]://|\]\(|\x1b|\u202e|\x00", said)
    for table in re.findall(r"(?:^\|.*\n)+", said, re.MULTILINE):
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(columns) == 1, table


def test_it_is_appended_to_the_services_summary(tmp_path, monkeypatch):
    job = tmp_path / "job.md"
    job.write_text("before\n")
    monkeypatch.setenv(run_end.SERVICE_SUMMARY, str(job))
    builder = a_run(tmp_path / "reports")
    run_end.finish(builder, None, interrupted=False)
    assert job.read_text().startswith("before\n## ✗ FAILED")


@pytest.mark.parametrize("place", ["", "nowhere/job.md"])
def test_a_summary_that_cannot_be_appended_is_told_and_loses_nothing(tmp_path, monkeypatch, place):
    monkeypatch.setenv(run_end.SERVICE_SUMMARY, str(tmp_path / place))
    builder = a_run(tmp_path / "reports")
    assert run_end.finish(builder, None, interrupted=False).files
    assert any(run_end.SERVICE_SUMMARY in fault.name for fault in builder.run.record.evidence_faults)


def test_a_history_that_cannot_be_entered_is_told_and_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "harness.history.run_import", None)  # as where the harness was updated under the run
    builder = a_run(tmp_path)
    assert run_end.finish(builder, None, interrupted=False).files
    assert any("history" in fault.name for fault in builder.run.record.evidence_faults)
