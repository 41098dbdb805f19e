"""summary.md: what a CI service shows of a run; what hosts say is text there, and nothing else."""

from __future__ import annotations

import re
import sys

import pytest
from measure_sample import add_to, repeats
from report_sample import HOSTILE, REFUSED, a_builder, fill

from harness.pytest_plugin import run_end
from harness.report.markdown_summary import markdown, plain


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
