"""Causes in a run: from what all hosts said when a test failed, stored, and first in every rendering, each sentence once."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from report_sample import HOSTILE, a_builder
from test_bundle_check import a_bundle

from harness.core.verdict import failed, passed
from harness.diagnosis.cause import Cause, Certainty
from harness.explain.run_explanation import causes, explain_run
from harness.pytest_plugin.run_evidence import MAX_STATES, RunEvidence, explain
from harness.report.html.html_report import html
from harness.report.junit import junit
from harness.report.record.run_record import CauseRecord, RunRecord, StateRecord
from harness.report.run_reader import load_record
from harness.report.run_record_builder import ReportBuilder
from harness.report.terminal_summary import summary

REASON = "expected: reaches the active node; seen: W5 (nothing listens on 10.20.1.11:1521 there)"


@pytest.fixture
def builder(tmp_path: Path) -> ReportBuilder:
    return a_builder(tmp_path / "reports")


def fails(builder: ReportBuilder, number: int = 0, *, disrupted: bool = False, state: bool = False) -> str:
    test = f"tests/a.py::test_{number}"
    builder.begin_test(test, f"Test {number} holds")
    if disrupted:
        builder.disruption("IP resource out", target="lknode01").undone()
    at = {"expected": "reaches the active node (W1: x)", "observed": REASON, "origin": "lkclient", "attempts": {"refused": 24}}
    builder.add_check(failed(REASON), path="client", service="listener", wire="W5", node="lknode01", **at)
    builder.end_test(failed(REASON))
    if state:
        keep(builder, test)
    return test


def keep(builder: ReportBuilder, test: str, path: str | None = None, during: str = "") -> None:
    """What hosts said: the probe is dropped by lknode01's own firewall, and its VIP has a wrong prefix."""
    if path is None:
        path = f"evidence/{test.rpartition('::')[2] or 'first'}-state.tar.gz"
        a_bundle(builder.run.directory / "evidence").replace(builder.run.directory / path)
    builder.run.record.states.append(StateRecord(path=path, test=test, during=during))


def told(builder: ReportBuilder) -> list[CauseRecord]:
    explain(builder.run)
    return builder.run.record.causes


def test_what_hosts_said_names_the_cause_and_the_tests_are_its_symptoms(builder: ReportBuilder) -> None:
    """The second test kept nothing of its own, and nothing was disturbed since the first."""
    tests = [fails(builder, 0, state=True), fails(builder, 1)]
    first = told(builder)[0]
    assert first.host == "lknode01" and "firewall drops" in first.says and first.tests == tests
    assert first.symptoms == ["Test 0 holds", "Test 1 holds"]
    assert any("prefix /24" in cause.says for cause in builder.run.record.causes)


def test_a_path_that_no_cause_explains_is_told_by_how_it_travelled(builder: ReportBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    """What else is wrong with the cluster stands behind it, and is not passed off as the reason."""
    clocks = Cause("the clocks are apart", "lknode02", Certainty.CERTAIN, "set them")
    monkeypatch.setattr("harness.explain.run_explanation.FailureStates.causes", lambda self, test: [(clocks, ())])
    fails(builder, 0)
    first, second = told(builder)
    assert "(W5)" in first.says and second.says == "the clocks are apart"


def test_after_a_disruption_what_was_said_before_says_nothing(builder: ReportBuilder) -> None:
    fails(builder, 0, state=True)
    test = fails(builder, 1, disrupted=True)
    found = [cause for cause in told(builder) if test in cause.tests]
    assert found and all("(W5)" in cause.says for cause in found)


@pytest.mark.parametrize("path", ["../outside.tar.gz", "/etc/passwd", "evidence", "evidence/none.tar.gz", "run.json"])
def test_what_is_no_bundle_of_this_run_is_not_read(builder: ReportBuilder, path: str) -> None:
    a_bundle(builder.run.directory.parent).rename(builder.run.directory.parent / "outside.tar.gz")
    keep(builder, fails(builder, 0), path)
    assert [cause.says.rpartition(" ")[2] for cause in told(builder)] == ["(W5)"]


def test_what_was_said_during_a_disruption_blames_nobody(builder: ReportBuilder) -> None:
    keep(builder, test := fails(builder, 0))
    builder.run.record.states[0].during = "IP resource out"
    assert all("(W5)" in cause.says for cause in told(builder)) and told(builder)[0].tests == [test]


def test_causes_are_stored_as_commands_print_them(builder: ReportBuilder) -> None:
    fails(builder, 0, state=True)
    told(builder)
    builder.finish()
    stored = json.loads((builder.run.directory / "run.json").read_text())["causes"][0]
    assert {"says", "host", "certainty", "evidence", "do", "else", "symptoms", "tests"} <= set(stored) and "otherwise" not in stored
    again = load_record(builder.run.directory)
    assert again.causes == builder.run.record.causes and causes(again, builder.run.directory) == again.causes
    assert explain_run(builder.run.directory).causes[0].cause.says == stored["says"]


def test_every_rendering_says_the_cause_once_and_before_the_symptom(builder: ReportBuilder) -> None:
    for number in range(3):
        fails(builder, number, state=not number)
    (first, *_) = told(builder)
    builder.finish()
    run = builder.run.record
    said = " ".join(summary(run, builder.run.directory, width=1000).split())
    assert said.count(first.says) == 1 and REASON not in said and said.count("see 1") == 3
    page = html(run, [])
    assert page.index("own firewall drops") < page.index("nothing listens on 10.20.1.11:1521 there")
    messages = [f.get("message") for f in ET.fromstring(junit(run)).iter("failure")]
    assert messages == [first.sentence] * 3
    texts = [f.text or "" for f in ET.fromstring(junit(run)).iter("failure")]
    assert all("do: " in text and text.index("do: ") < text.index(REASON) for text in texts)


def test_without_causes_every_rendering_is_as_it_was(builder: ReportBuilder) -> None:
    fails(builder, 0)
    builder.finish()
    run = builder.run.record
    assert REASON in summary(run, builder.run.directory, width=1000)
    assert [f.get("message") for f in ET.fromstring(junit(run)).iter("failure")] == [REASON]


def test_a_host_s_words_in_a_cause_act_nowhere(builder: ReportBuilder) -> None:
    fails(builder, 0)
    builder.finish()
    hostile = {"says": HOSTILE, "host": HOSTILE, "certainty": "likely", "do": HOSTILE, "else": HOSTILE, "evidence": [HOSTILE]}
    run = RunRecord.model_validate({**json.loads(builder.run.record.model_dump_json()), "causes": [hostile]})
    page = html(run, [])
    assert "<script>alert" not in page and "<img src=x" not in page and "\x1b" not in summary(run, Path())
    ET.fromstring(junit(run))


def test_a_run_is_not_lost_to_its_explanation(builder: ReportBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    fails(builder, 0)
    monkeypatch.setattr("harness.pytest_plugin.run_evidence.run_explanation.causes", lambda *of: 1 / 0)
    explain(builder.run)
    assert builder.run.record.causes == [] and builder.run.record.evidence_faults[0].name == "causes"


class Gathered(RunEvidence):
    """Writes a file in place of asking hosts."""

    def _gather(self, path: Path, observe: bool) -> None:
        path.write_bytes(b"paths too" if observe else b"hosts only")


def test_the_state_is_kept_once_for_each_test_and_of_the_first_few(builder: ReportBuilder) -> None:
    evidence = Gathered(None, builder, {}, is_own_cluster=True)  # type: ignore[arg-type]
    for number in range(MAX_STATES + 2):
        for _ in range(2):
            evidence.collect_state(f"t::{number}")
    assert [s.test for s in builder.run.record.states] == [f"t::{n}" for n in range(MAX_STATES)]
    assert {(builder.run.directory / s.path).read_bytes() for s in builder.run.record.states} == {b"paths too"}


def test_a_stranger_s_cluster_is_not_kept_disturbed_for_it(builder: ReportBuilder) -> None:
    """It is asked when all is undone, and that is said."""
    evidence = Gathered(None, builder, {}, is_own_cluster=False)  # type: ignore[arg-type]
    builder.begin_test("t::one", "One")
    builder.disruption("power loss", target="lknode01")
    evidence.collect_state("t::one", "power loss")
    assert builder.run.record.states == []
    evidence.collect_state("t::one")
    (kept,) = builder.run.record.states
    assert (kept.test, kept.during) == ("t::one", "power loss")
    assert (builder.run.directory / kept.path).read_bytes() == b"hosts only", "what a disruption does to the paths names no cause"
    builder.end_test(passed("done"))
