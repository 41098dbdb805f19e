"""run.json as the plugin builds it: true to its schema, whole at every moment, and never lost."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import jsonschema
import pytest
from report_sample import HOSTILE, REFUSED, a_builder, fill

from harness.commands.docs import schema as published
from harness.core import package_data
from harness.core.errors import ExitCode
from harness.core.verdict import failed, passed
from harness.report.record import run_directory
from harness.report.record.run_record import ClusterKind, RunRecord, RunState
from harness.report.record.run_schema import schema


@pytest.fixture
def builder(tmp_path: Path):
    builder = a_builder(tmp_path)
    yield builder
    builder.run.close()


def stored(builder) -> dict:
    return json.loads((builder.run.directory / "run.json").read_text())


def test_the_published_schema_is_that_of_the_model():
    path = package_data.document("run.schema.json")
    assert path.exists() and path.read_text(encoding="utf-8") == published.text("run"), f"run `{published.REGENERATE}` and commit {path}"


@pytest.mark.parametrize("text", ["", HOSTILE])
def test_every_run_json_satisfies_the_schema_at_every_moment(builder, text):
    validator = jsonschema.Draft202012Validator(schema())
    validator.validate(stored(builder))
    fill(builder, text)
    validator.validate(stored(builder))
    builder.finish()
    validator.validate(stored(builder))


def test_what_was_put_in_is_what_a_reader_gets(builder):
    fill(builder)
    finished = builder.finish()
    run = RunRecord.model_validate(stored(builder))
    assert finished.exit_code is ExitCode.FAILED
    assert run.exit_code == 1
    assert run == builder.run.record
    assert (run.counts.passed, run.counts.failed, run.counts.inconclusive, run.counts.skipped) == (1, 1, 1, 1)
    assert REFUSED in run.verdict.reason
    check = run.tests[0].checks[0]
    assert (check.path, check.wire, check.node, check.attempts.total) == ("client", "W1", "lknode01", 3)
    recovery = run.tests[1].disruptions[0].recoveries[0]
    assert (recovery.seconds, recovery.budget_s, recovery.period_s, recovery.verdict.outcome) == (1.21, 6, 0.05, "pass")
    assert [file.path for file in run.evidence] == ["evidence/journal.log"]
    assert [fault.name for fault in run.evidence_faults] == ["broken.log"]
    assert run.cluster.active_at_start == "lknode01"
    assert run.ended.at >= run.started.at


def test_settings_of_services_stay_out_of_the_report(builder):
    fill(builder)
    for path in builder.finish().files:
        assert "top-secret" not in path.read_text()


def test_moments_share_the_timeline_s_clock(builder):
    builder.begin_test("t", "title")
    disruption = builder.disruption("switchover", at=builder.run.record.started.at + 1)
    noted = builder.run.timeline.events[-1]
    assert disruption.record.began.at == pytest.approx(noted.at)
    assert disruption.record.began.epoch == pytest.approx(noted.wall, abs=0.5)


def test_a_killed_run_names_the_test_it_died_in(builder):
    builder.begin_test("tests/a.py::test_reach", "Every path reaches the listener")
    run = stored(builder)
    assert run["state"] == "running"
    assert run["tests"][0]["verdict"] == {"outcome": "inconclusive", "reason": "the run ended before this test did"}


def test_an_interrupted_run_closes_its_open_test_and_has_a_report(builder):
    builder.begin_test("one", "title")
    builder.end_test(passed("fine"))
    builder.begin_test("two", "title")
    finished = builder.finish(RunState.INTERRUPTED, "Ctrl-C")
    assert finished.exit_code is ExitCode.INCONCLUSIVE
    assert finished.verdict.reason == "the run was interrupted: Ctrl-C"
    assert [path.name for path in finished.files] == ["run.json", "report.html", "junit.xml", "summary.md"]


def test_an_interrupted_test_keeps_the_failure_it_had_already_seen(builder):
    builder.begin_test("one", "title")
    builder.add_check(failed("refused"), path="client", expected="reaches", observed="refused")
    assert builder.finish(RunState.INTERRUPTED).exit_code is ExitCode.FAILED


def test_set_up_that_died_has_a_report_without_a_cluster(builder):
    builder.run.record.cluster = None
    finished = builder.finish(RunState.UNUSABLE, "lknode01 did not answer on port 22; start sshd there")
    assert finished.exit_code is ExitCode.UNUSABLE
    page = finished.files[1].read_text()
    assert "start sshd there" in page
    assert "No test was executed" in page


def test_a_skip_does_not_hide_a_failed_check(builder):
    builder.begin_test("one", "title")
    builder.add_check(failed("refused"), path="client", expected="reaches", observed="refused")
    builder.skip("no [power] section")
    assert stored(builder)["tests"][0]["verdict"] == {"outcome": "fail", "reason": "refused"}


def test_a_failed_rendering_keeps_run_json_and_says_so_there(builder):
    fill(builder)
    (builder.run.directory / "report.html").mkdir()  # nothing can be renamed onto a folder
    finished = builder.finish()
    assert [path.name for path in finished.files] == ["run.json"]
    run = stored(builder)
    assert run["state"] == "finished"
    assert "cannot be written" in run["evidence_faults"][-1]["reason"]
    assert finished.exit_code is ExitCode.FAILED


def test_finishing_twice_changes_nothing(builder):
    first = builder.finish(RunState.INTERRUPTED, "Ctrl-C")
    assert builder.finish() is first
    assert stored(builder)["state"] == "interrupted"


def test_misuse_is_told_apart_from_a_finding(builder):
    with pytest.raises(ValueError, match="begin_test"):
        builder.end_test(passed("fine"))
    builder.begin_test("one", "title")
    with pytest.raises(ValueError, match="one has not ended"):
        builder.begin_test("two", "title")


def test_an_attached_cluster_is_named_as_such(tmp_path):
    builder = a_builder(tmp_path / "attached", ClusterKind.ATTACHED)
    builder.finish()
    builder.run.close()
    assert stored(builder)["cluster"]["kind"] == "attached"


def test_a_disk_that_is_full_for_a_time_ends_no_test(builder, monkeypatch):
    """It is told once, what was missed is stored with the next; only what must be on disk before a deed is not gone on without."""

    def full(path: Path, text: str) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(run_directory, "write_atomically", full)
        builder.begin_test("t::one", "one holds")
        with pytest.raises(OSError, match="No space"):
            builder.disturbed("it was disturbed")
        builder.end_test(passed("it holds"))
    builder.begin_test("t::two", "two holds")
    assert [one["id"] for one in stored(builder)["tests"]] == ["t::one", "t::two"]
    assert [f.name for f in builder.run.record.evidence_faults] == ["run.json"]
    assert "could not be written while the run went on: No space left" in builder.run.record.evidence_faults[0].reason
