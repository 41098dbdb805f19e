"""The renderings: complete, offline, unharmed by whatever hosts say, and one sentence for every run that cannot be rendered."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_sample import HOSTILE, REFUSED, a_builder, fill

from harness.core.errors import BadUse, ExitCode, Unusable
from harness.core.verdict import failed, passed
from harness.report.html.html_report import bars, evidence_link
from harness.report.lab_disclaimer import LAB_DOES_NOT_SHOW
from harness.report.record.run_record import ClusterKind, EvidenceFile, RunState
from harness.report.report_rendering import render
from harness.report.run_reader import load_record, load_timeline
from harness.report.terminal_summary import summary

_VOID = {"meta", "input", "img", "br", "link", "rect", "line", "circle", "path"}


class Page(HTMLParser):
    """What a browser would make of the page: tags, links, text; and whether every element is closed in order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.misplaced: list[str] = []
        self.feed(source)
        self.close()
        self.misplaced += self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if self._open and self._open[-1] == tag:
            self._open.pop()
        else:
            self.misplaced.append(tag)

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def a_run(reports: Path, text: str = "", kind: ClusterKind = ClusterKind.LAB) -> Path:
    builder = a_builder(reports, kind)
    fill(builder, text)
    builder.finish()
    builder.run.close()
    return builder.run.directory


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    return a_run(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    return a_run(tmp_path_factory.mktemp("hostile"), HOSTILE)


def html_of(run_dir: Path) -> str:
    return (run_dir / "report.html").read_text(encoding="utf-8")


def words(page: Page) -> str:
    return " ".join(" ".join(page.text).split())


def test_the_page_says_what_a_gate_needs(plain):
    page = Page(html_of(plain))
    text = words(page)
    assert page.misplaced == []
    assert "✗ FAILED" in text and REFUSED in text
    assert "Worst recovery: 1.16 s to 1.21 s, 6.00 s allowed (switchover)" in text
    assert "through the ILB, arrived at a node's private address (W1)" in text
    assert "no [power] section" in text
    assert "Missing: broken.log: ZeroDivisionError" in text
    assert "3 attempts: 2 answered, 1 silent" in text
    assert {"href": "evidence/journal.log"} in page.all("a")


def test_failures_come_first_and_open_passes_are_folded(plain):
    cards = [a for a in Page(html_of(plain)).all("details") if a["class"] != "card log"]
    assert [(a["class"], "open" in a) for a in cards] == [("card fail", True), ("card inconclusive", True), ("card pass", False)]


def test_the_page_needs_nothing_from_anywhere(plain):
    page = Page(html_of(plain))
    assert [a["src"] for _, a in page.tags if "src" in a] == []
    assert [a for a in page.all("a") if re.match(r"[a-z]+:|/", a["href"])] == []
    assert page.all("link") == []
    assert not re.search(r"@import|url\((?!#)", html_of(plain))
    assert "http://" not in html_of(plain) and "https://" not in html_of(plain)


def test_the_script_runs_under_the_page_s_own_policy(plain):
    import base64
    import hashlib

    source = html_of(plain)
    script = re.search(r"<script>(.*?)</script>", source, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(a["content"] for a in Page(source).all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_nothing_a_host_says_acts_in_the_page(plain, hostile):
    ours, theirs = Page(html_of(plain)), Page(html_of(hostile))
    assert theirs.misplaced == []
    assert [tag for tag, _ in theirs.tags if tag in ("script", "img")] == ["script"]
    assert {name for _, a in theirs.tags for name in a} == {name for _, a in ours.tags for name in a}
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", html_of(hostile))
    text = words(theirs)
    assert "<script>alert(1)</script>" in text  # shown, not run
    assert "{{ 7*7 }}" in text and "\\x1b[2J\\x00\\u202e\\udc80" in text


def test_junit_and_terminal_survive_the_same_text(hostile):
    cases = ET.parse(hostile / "junit.xml").findall(".//testcase")
    assert "<script>alert(1)</script>" in cases[0].find("failure").get("message")
    assert not re.search("[\x1b\u202e]", (hostile / "junit.xml").read_text()), "a page of CI shows it as it is"
    said = summary(load_record(hostile), hostile)
    assert "\x1b" not in said and "\u202e" not in said and "\x00" not in said
    said.encode()


def test_a_lab_run_says_what_it_does_not_show(plain, tmp_path):
    text = words(Page(html_of(plain)))
    assert "stand-in for LifeKeeper" in text
    assert all(line in text for line in LAB_DOES_NOT_SHOW)
    assert "stand-in" in summary(load_record(plain), plain)
    attached = a_run(tmp_path, kind=ClusterKind.ATTACHED)
    assert "stand-in" not in html_of(attached) + summary(load_record(attached), attached) + (attached / "junit.xml").read_text()


def test_evidence_links_lead_into_evidence_only():
    def link(path: str) -> str | None:
        return evidence_link(EvidenceFile(path=path, bytes=1))

    assert link("evidence/a b?.log") == "evidence/a%20b%3F.log"
    for path in (
        "javascript:alert(1)",
        "javascript:a/b",
        "/etc/passwd",
        "evidence/../../x",
        "evidence//x",
        "evidence",
        "evidence/..\\x",
        "//host/evidence/x",
    ):
        assert link(path) is None


def test_bars_share_a_scale_and_mark_the_budget(plain):
    disruption = load_record(plain).tests[1].disruptions[0]
    client, standby = bars(disruption)
    assert client.budget == standby.budget < 100
    assert 0 < client.certain < client.length < standby.length < standby.budget
    disruption.recoveries[0].seconds = 12.0
    over, other = bars(disruption)
    assert over.budget < over.length <= 100 and other.length < standby.length


def test_junit_holds_every_case_with_its_path_and_figures(plain):
    suite = ET.parse(plain / "junit.xml").getroot().find("testsuite")
    assert {k: suite.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
    }
    cases = {case.get("name"): case for case in suite.findall("testcase")}
    assert REFUSED in cases["test_reach"].find("failure").get("message")
    assert cases["test_reach"].get("classname") == "tests.a"
    assert cases["test_capture"].find("error").get("type") == "inconclusive"
    assert cases["test_power"].find("skipped") is not None
    found = {p.get("name"): p.get("value") for p in cases["test_switchover"].iter("property")}
    assert found["recovery_s.switchover.client.listener"] == "1.210"
    assert found["budget_s.switchover.standby"] == "6.000"
    found = {p.get("name"): p.get("value") for p in cases["test_reach"].iter("property")}
    assert (found["path"], found["node"], found["design"], found["rack"]) == ("client inside", "lknode01", "nat", "r1")


def test_every_case_of_junit_has_a_name_of_its_own_night_after_night(tmp_path):
    def names(reports: Path) -> list[tuple[str | None, str | None]]:
        builder = a_builder(reports)
        for test in (
            "tests/acceptance/test_a.py::test_there",
            "tests/acceptance/test_a.py::test_back[web]",
            "tests/acceptance/test_b.py::test_there",
        ):
            builder.audit("the cluster is healthy", passed("it is"), after=test)
        builder.audit("the cluster is as it was found", passed("it is"))
        builder.finish()
        builder.run.close()
        return [(c.get("classname"), c.get("name")) for c in ET.parse(builder.run.directory / "junit.xml").iter("testcase")]

    first = names(tmp_path / "one")
    assert len(set(first)) == len(first) >= 4 and first == names(tmp_path / "two")
    assert ("audit.tests.acceptance.test_a", "the cluster is healthy after test_back[web]") in first


def test_junit_is_never_green_for_a_run_that_is_not(tmp_path):
    builder = a_builder(tmp_path)
    builder.finish(RunState.UNUSABLE, "lknode01 did not answer")
    builder.run.close()
    suite = ET.parse(builder.run.directory / "junit.xml").getroot().find("testsuite")
    assert (suite.get("tests"), suite.get("errors")) == ("1", "1")
    assert "lknode01 did not answer" in suite.find("testcase/error").get("message")


def test_a_failed_audit_is_a_case_of_its_own(tmp_path):
    builder = a_builder(tmp_path)
    builder.begin_test("tests/a.py::test_one", "title")
    builder.end_test(passed("fine"))
    builder.audit("one active node", failed("both are active"), after="tests/a.py::test_one")
    finished = builder.finish()
    builder.run.close()
    assert finished.exit_code is ExitCode.FAILED
    assert (
        ET.parse(finished.files[2]).find(".//testcase[@name='one active node after test_one']/failure").get("message") == "both are active"
    )
    assert "audit: one active node: both are active" in summary(builder.run.record, builder.run.directory)


def test_the_terminal_names_findings_recoveries_skips_and_the_report(plain):
    said = summary(load_record(plain), plain, width=400)
    assert said.splitlines()[0].startswith("FAILED: “Every path") or said.startswith("FAILED: 1 of 3 tests failed")
    for part in (
        f"✗ Every path reaches the listener: {REFUSED}",
        "? No packet leaves any NIC: the capture was blind",
        "client path: worst recovery 1.16 s to 1.21 s, 6.00 s allowed (switchover)",
        "skipped 1 test: no [power] section",
        "missing: broken.log: ZeroDivisionError",
        f"report: {plain / 'report.html'}",
    ):
        assert part in said
    assert max(map(len, summary(load_record(plain), Path("r"), width=80).splitlines())) <= 80


def test_a_stored_run_can_be_rendered_again(plain):
    before = {name: (plain / name).read_text() for name in ("report.html", "junit.xml", "summary.md")}
    for name in before:
        (plain / name).unlink()
    assert [path.name for path in render(plain)] == list(before)
    assert (plain / "junit.xml").read_text() == before["junit.xml"]
    assert words(Page(html_of(plain))) == words(Page(before["report.html"]))


def test_a_killed_run_is_still_readable(tmp_path):
    builder = a_builder(tmp_path)
    builder.begin_test("tests/a.py::test_one", "Every path reaches the listener")
    builder.run.close()
    with (builder.run.directory / "timeline.jsonl").open("a") as file:
        file.write('{"at": 12.5, "wall": 17')
    render(builder.run.directory)
    text = words(Page(html_of(builder.run.directory)))
    assert "the run has not ended, or was killed" in text
    assert re.search(r"timeline.jsonl: 1 of \d+ lines cannot be read", text)


def test_a_missing_timeline_is_said_in_the_report(tmp_path):
    run_dir = a_run(tmp_path)
    (run_dir / "timeline.jsonl").unlink()
    render(run_dir)
    assert "timeline.jsonl cannot be read (No such file or directory)" in words(Page(html_of(run_dir)))


@pytest.mark.parametrize(
    "line", ["[]", "null", '{"at": NaN, "wall": 1, "source": "a", "kind": "b", "text": "c"}', '{"at": "x"}', "[" * 100_000]
)
def test_a_line_that_is_no_event_is_counted(tmp_path, line):
    good = '{"at": 2, "wall": 1, "source": "a", "kind": "b", "text": "c", "data": [1]}'
    (tmp_path / "timeline.jsonl").write_text(f"{line}\n{good}\n")
    events, faults = load_timeline(tmp_path)
    assert [event["data"] for event in events] == [{"data": [1]}]
    assert faults == ["timeline.jsonl: 1 of 2 lines cannot be read (line 1)"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "no schema_version"),
        ('{"schema_version": true}', "no schema_version"),
        ('{"schema_version": 3, "what": "ever"}', "written by a newer harness (schema 3, this one reads up to 2); update lkharness"),
        ('{"schema_version": 1}', "run_id: field required and "),
    ],
)
def test_a_run_json_that_cannot_be_used_is_one_sentence(tmp_path, content, said):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(BadUse) as caught:
        render(tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code is ExitCode.BAD_USE


def test_fields_of_a_newer_harness_are_ignored(plain, tmp_path):
    data = json.loads((plain / "run.json").read_text())
    data["tests"][0]["phases"] = data["chart_rows"] = [1, 2]
    (tmp_path / "run.json").write_text(json.dumps(data))
    assert load_record(tmp_path) == load_record(plain)


def test_a_place_that_cannot_be_written_is_one_sentence(plain, tmp_path):
    (tmp_path / "run.json").write_text((plain / "run.json").read_text())
    (tmp_path / "report.html").mkdir()
    with pytest.raises(Unusable, match="the report cannot be written there"):
        render(tmp_path)


def test_jinja2_is_not_loaded_before_it_is_needed():
    import subprocess
    import sys

    modules = "harness.report.run_record_builder, harness.report.report_rendering, harness.report.terminal_summary"
    code = f"import sys, {modules}; print('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout.strip() == "False"
