"""Measurements in the report: stored whole, shown in every rendering, unharmed by whatever hosts say, and small."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from measure_sample import a_measured, add_to, calibration, records, repeats
from report_sample import HOSTILE, a_builder, fill
from test_report_render import Page, html_of, words

from harness.core.verdict import failed, inconclusive, passed
from harness.measure.measurement_result import Boundary, Outage, Segment, TokenResult
from harness.report.html.chart_data import coarsen, picture
from harness.report.record.measurement_record import MeasurementRecord
from harness.report.record.run_record import Result, RunRecord
from harness.report.record.run_schema import schema
from harness.report.run_reader import load_record
from harness.report.statistics import outage_statistics
from harness.report.terminal_summary import summary


def a_run(reports: Path, made: list[MeasurementRecord], text: str = "") -> Path:
    builder = a_builder(reports)
    fill(builder, text)
    add_to(builder, made)
    builder.finish()
    builder.run.close()
    return builder.run.directory


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> Path:
    return a_run(tmp_path_factory.mktemp("measured"), [*records(3), *repeats([1.0, 1.4, 1.2, 2.0], first=4)])


def pictures(page: str) -> list[dict]:
    return [json.loads(data) for data in re.findall(r'<script type="application/json">(.*?)</script>', page, re.S)]


@pytest.mark.parametrize("text", ["", HOSTILE])
def test_what_was_measured_is_stored_whole_and_at_once(tmp_path, text):
    builder = a_builder(tmp_path)
    made = records(2, text=text)
    builder.calibration(calibration())
    builder.begin_test("t", "title")
    for number, record in enumerate(made, 1):
        builder.measurement(record)
        stored = json.loads((builder.run.directory / "run.json").read_text())
        assert [m["id"] for m in stored["measurements"]] == [m.id for m in made[:number]]
    jsonschema.Draft202012Validator(schema()).validate(stored)
    builder.run.close()
    again = load_record(builder.run.directory)
    assert again.measurements == builder.run.record.measurements
    assert again.calibration.measured_s == 0.507
    if not text:
        assert again.measurements[0].measured == made[0].measured
    assert made[0].recording == "evidence/01-switchover/recording.jsonl"


def test_every_outage_is_cut_into_phases_that_add_up_to_it():
    record = records(1)[0]
    assert len(record.phases) == 12
    for series in record.measured.series:
        outage = series.outages[0]
        phases = record.phases_of(series.id, 0)
        assert len(phases) > 3
        assert sum(p.seconds for p in phases) == pytest.approx(outage.seconds)
        assert [p.start for p in phases] == pytest.approx([outage.start + sum(p.seconds for p in phases[:n]) for n in range(len(phases))])


def test_a_test_does_not_pass_over_its_own_measurement(tmp_path):
    builder = a_builder(tmp_path)
    builder.begin_test("t", "title")
    bad = replace(a_measured(), verdict=failed("the client path was out for 9 s"))
    builder.measurement(MeasurementRecord.of(bad, id="01-x", test="t"))
    assert builder.end_test(passed("fine")).outcome is Result.FAIL
    builder.run.close()


def test_the_page_names_the_worst_outages_the_check_of_the_meter_and_the_distribution(measured):
    page = Page(html_of(measured))
    text = words(page)
    assert page.misplaced == []
    worst = outage_statistics.worst_outages(load_record(measured))
    for path in ("client", "inside", "standby"):
        assert worst[path].words in text
    assert "a cut of 0.50 s was measured as 0.50 s to 0.52 s" in text
    assert "All 7 measured disruptions passed." in text
    assert "672 acknowledged: none lost, none doubled" in text
    assert "switchover, 5 times" in text and "of fewer than 20 runs the p95 is the longest" in text
    assert "not observed" in text and "lknode02 could not be watched" in text


def test_the_picture_has_a_chart_row_for_every_series_and_state(measured):
    drawn = pictures(html_of(measured))
    assert len(drawn) == 7
    first = drawn[0]
    assert [chart_row["group"].split(" ")[0] for chart_row in first["chart_rows"]] == ["client"] * 4 + ["inside"] * 4 + ["standby"] * 4 + [
        "states"
    ] * 6
    assert {css for css, _ in first["states"]} >= {"node1", "node2", "silent", "refused", "reset", "unreachable", "gap", "up", "down"}
    for chart_row in first["chart_rows"]:
        assert len(chart_row["rows"]) % 3 == 0 and max(chart_row["rows"][2::3]) < len(first["states"])
    assert first["marks"][0][1] == "noticed"
    assert "vip moved" not in [name for _, name, _ in first["marks"]]  # not observed: no line for it


def test_nothing_a_host_says_acts_in_the_page_or_ends_the_data(tmp_path):
    run_dir = a_run(tmp_path, records(2, text=HOSTILE, logs=30), HOSTILE)
    source = html_of(run_dir)
    page = Page(source)
    assert page.misplaced == []
    assert [a.get("type") for a in page.all("script")] == ["application/json"] * 2 + [None]
    assert page.all("img") == []
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e\u2028\u2029]", source)
    said = [text for _, _, text in pictures(source)[0]["log"]]
    assert any("</script><script>alert(1)</script>\"'><img src=x" in text for text in said)
    assert "alert(1)</script>" not in re.sub(r"&lt;|&gt;", "", source)
    junit = ET.parse(run_dir / "junit.xml")
    assert any("alert(1)" in (p.get("value") or "") for p in junit.iter("property"))
    told = summary(load_record(run_dir), run_dir)
    assert "\x1b" not in told and "\u202e" not in told


def test_twenty_disruptions_of_twelve_series_fit_into_three_megabytes(tmp_path):
    builder = a_builder(tmp_path)
    builder.run.record.measurements = records(20, flaps=120, logs=1500)
    builder.finish()
    builder.run.close()
    assert (builder.run.directory / "report.html").stat().st_size <= 3_000_000


def test_a_series_that_never_rests_is_drawn_coarser_without_losing_a_fault():
    base = a_measured()
    rows = [Segment(base.start + n * 0.002, base.start + (n + 1) * 0.002, ("answered", "silent")[n % 2], None, 1) for n in range(2000)]
    rows[1001] = replace(rows[1001], outcome="refused")
    series = [replace(t, segments=rows) for t in base.series]
    drawn = picture(MeasurementRecord.of(replace(base, series=series), id="x", test="t"), ["lknode01", "lknode02"])
    assert drawn["coarse"] and len(drawn["chart_rows"][0]["rows"]) < 3 * 500
    assert "silent" in {drawn["states"][state][0] for state in drawn["chart_rows"][0]["rows"][2::3]}
    table = [("node1", "a"), ("refused", "r"), ("wrong", "w")]
    assert coarsen([(0, 1, 0), (1, 2, 1), (2, 3, 2), (3, 50, 0)], 10, table) == [(0, 3, 2), (3, 50, 0)]


def test_both_nodes_at_once_and_unknown_are_not_drawn_as_health():
    base = a_measured()
    chart_rows = [replace(base.chart_rows[2], spans=[(base.start, base.anchor, "both"), (base.anchor, base.end, "unknown")])]
    drawn = picture(MeasurementRecord.of(replace(base, chart_rows=chart_rows), id="x", test="t"), ["lknode01", "lknode02"])
    assert [drawn["states"][state][0] for state in drawn["chart_rows"][-1]["rows"][2::3]] == ["wrong", "gap"]


def test_junit_holds_node_outage_and_phases(measured):
    cases = {
        c.get("name"): {p.get("name"): p.get("value") for p in c.iter("property")}
        for c in ET.parse(measured / "junit.xml").iter("testcase")
    }
    found = cases["test_0"]
    record = load_record(measured).measurements[0]
    series = record.measured.series[0]
    assert (found["path"], found["disruption"], found["node"]) == ("client inside standby", "switchover", "lknode02")
    assert found["recovered_after_s.01-switchover.client.listener.new"] == f"{series.recovered_after_s:.3f}"
    assert found["outage_s.01-switchover.client.listener.new"] == f"{series.outages[0].seconds:.3f}"
    assert found["budget_s.01-switchover"] == "6.000"
    phases = {k: float(v) for k, v in found.items() if k.startswith("phase_s.01-switchover.client.listener.new.")}
    assert "phase_s.01-switchover.client.listener.new.balancer_switched" in phases
    assert sum(phases.values()) == pytest.approx(series.outages[0].seconds, abs=0.01)


def test_the_terminal_has_the_worst_per_path_and_a_line_per_disruption(measured):
    said = summary(load_record(measured), measured, width=400)
    worst = outage_statistics.worst_outages(load_record(measured))["client"]
    assert f"client path: at worst {worst.sentence}, 6.00 s allowed ({worst.record.measured.disruption}, {worst.series.service})" in said
    assert len(re.findall(r"^  ✓ (switchover, 5 times|failback|service crash): ", said, re.M)) == 3
    assert "✓ meter: a cut of 0.50 s was measured as 0.50 s to 0.52 s" in said


def test_a_path_that_did_not_come_back_is_never_a_figure(tmp_path):
    base = a_measured()
    start = base.anchor + 0.1
    never = Outage("lkclient/listener/new", start, None, 5.0, 0.01, {"silent": 500}, {"": 500}, "nobody answered")
    series = [
        replace(base.series[0], recovered_after_s=None, outages=[never], verdict=failed("the client path did not come back")),
        *base.series[1:],
    ]
    lost = TokenResult(9, 8, ["token 5 of lkclient, taken by lknode01"], [], [(start, start + 0.2)], failed("1 acknowledged token is lost"))
    timing = inconclusive("lkclient kept its ticks late")
    boundaries = [Boundary("noticed", None, "no log line said so")]
    made = replace(
        base, series=series, tokens=lost, timing=timing, boundaries=boundaries, verdict=failed("the client path did not come back")
    )
    run_dir = a_run(tmp_path, [MeasurementRecord.of(made, id="01-switchover", test="t")])
    text = words(Page(html_of(run_dir)))
    assert "did not recover" in text and "at least 5.00 s, still out at the end" in text
    assert "lost: token 5 of lkclient, taken by lknode01" in text
    assert "both nodes answered from +0.100 s to +0.300 s" in text
    assert "The timing cannot be relied on: lkclient kept its ticks late" in text
    assert "1 of 1 measured disruption failed." in text


def test_a_distribution_counts_what_never_came_back_as_longest():
    run = RunRecord.model_construct(measurements=repeats([1.0, 2.0, 3.0, None]))
    client = outage_statistics.groups(run)[0].distributions[0]
    assert (client.runs, client.never, client.median, client.p95, client.longest) == (4, 1, 2.5, None, None)
    twenty = outage_statistics.Distribution("client", tuple(float(n) for n in range(1, 21)), 0, 0.01, 6.0)
    assert (twenty.median, twenty.p95, twenty.longest) == (10.5, 19.0, 20.0)


@pytest.mark.parametrize(
    ("out", "period", "said"), [(1.21, 0.05, "1.16 s to 1.21 s"), (0.0, 0.01, "no outage"), (None, 0.01, "did not recover")]
)
def test_a_figure_is_an_interval(out, period, said):
    assert outage_statistics.interval(out, period) == said
