"""Failures as a CI service's annotations, and that nothing a host says is a command of such a service."""

from __future__ import annotations

import json

import pytest
from report_sample import a_builder

from harness.core.redaction.output_redaction import Cleaner
from harness.core.text.host_text import one_line, visible
from harness.core.verdict import Verdict, failed, inconclusive, passed
from harness.report.ci_annotations import MAX_SHOWN, ci_annotations
from harness.report.record.gate_record import GateRecord
from harness.report.record.run_record import RunRecord, RunState

GITHUB, AZURE = {"GITHUB_ACTIONS": "true"}, {"TF_BUILD": "True"}


def a_run(tmp_path, *verdicts: Verdict) -> RunRecord:
    builder = a_builder(tmp_path)
    for number, verdict in enumerate(verdicts):
        builder.begin_test(f"t{number}", f"path {number}: 100 %, always")
        builder.end_test(verdict)
    record = builder.run.record
    record.state = RunState.FINISHED
    builder.run.close()
    return record


def test_failures_come_first_and_what_would_end_a_command_is_escaped(tmp_path) -> None:
    run = a_run(tmp_path, passed("fine"), inconclusive("noise"), failed("50 % lost\n::error::mine"))
    assert ci_annotations(run, GITHUB, str) == [
        "::error title=path 2%3A 100 %25%2C always::50 %25 lost \\u003a:error::mine",
        "::warning title=path 1%3A 100 %25%2C always::noise",
    ]
    first, second = ci_annotations(run, AZURE, str)
    assert first.startswith("##vso[task.logissue type=error]path 2: 100 %AZP25, always: 50 %AZP25 lost ")
    assert second == "##vso[task.logissue type=warning]path 1: 100 %AZP25, always: noise"
    assert ci_annotations(run, {}, str) == ci_annotations(run, {"GITHUB_ACTIONS": "", "TF_BUILD": "0"}, str) == []


def test_of_many_the_first_are_told_and_a_gate_and_a_run_that_did_not_begin_are(tmp_path) -> None:
    many = a_run(tmp_path / "many", *(failed("late") for _ in range(30)))
    assert len(ci_annotations(many, GITHUB, str)) == MAX_SHOWN
    gated = a_run(tmp_path / "gated", passed("fine"))
    gated.gate = GateRecord(file="gate.toml", sha256="0", outcome="refused", reason="too few runs")
    assert ci_annotations(gated, GITHUB, str) == ["::warning title=gate gate.toml::too few runs"]
    none = a_run(tmp_path / "none")
    none.state, none.verdict.reason = RunState.UNUSABLE, "the environment was not usable: lknode01 does not answer"
    assert ci_annotations(none, GITHUB, str) == ["::error title=the run::the environment was not usable: lknode01 does not answer"]


def test_no_secret_is_in_one(tmp_path) -> None:
    run = a_run(tmp_path, failed("it said password=hunter2hunter2 and knownsecret"))
    (line,) = ci_annotations(run, GITHUB, Cleaner(["knownsecret"]).text)
    assert "hunter2" not in line and "knownsecret" not in line and "it said" in line


@pytest.mark.parametrize(
    "said",
    [
        "##vso[task.setvariable variable=PATH]/tmp/mine",
        "it failed: ##vso[task.prependpath]/tmp/mine",
        "##[command]rm",
        "it said ##teamcity[publishArtifacts '/etc/passwd']",
        "::add-mask::x",
        "  ::error file=a,line=1::x",
        "all is well\n::stop-commands::x",
        "it said ::warning::x",  # a wrapped line may begin with it
    ],
)
def test_what_a_host_says_is_no_command_of_a_ci_service(said: str) -> None:
    for shown in (visible(said), one_line(said), Cleaner([]).for_terminal(said)):
        assert not any(words in shown for words in ("##vso[", "##[", "##teamcity["))
        assert not any(line.lstrip().startswith("::") for part in shown.split(" ") for line in part.splitlines()), shown
        assert "\\u0023#" in shown or "\\u003a:" in shown, "it can still be read"
    assert json.loads(visible(json.dumps({"said": said}))) == {"said": said}


@pytest.mark.parametrize(
    "text", ["::1", "[::1]:22", "::ffff:10.20.1.11", "fe80::1", "a::b", "from ::1 to ::2", "# note", "## heading", "a ## [x]"]
)
def test_what_is_none_stays_as_it_is(text: str) -> None:
    assert visible(text) == text
