"""What a figure of the report means: whose it is, what it counts from, what is not known; constructed, with the right answer beside it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import fields, replace

import pytest
from measure_sample import a_measured, add_to, repeats
from recordings import A, Script, a_header, marks, play
from report_sample import a_builder

from harness import cli
from harness.core.verdict import failed, inconclusive, passed
from harness.measure.evaluation.recording_evaluation import evaluate
from harness.measure.measurement_result import Measured, Outage, SeriesResult
from harness.report.junit import junit
from harness.report.record.measurement_record import MeasurementRecord
from harness.report.record.run_record import Result, RunRecord
from harness.report.report_rendering import render
from harness.report.run_reader import load_record
from harness.report.statistics import outage_statistics
from harness.report.statistics.run_comparison import Change, compare
from harness.report.statistics.series_figures import series_of
from harness.report.terminal_summary import summary


def a_run(*records: MeasurementRecord, aside: tuple[MeasurementRecord, ...] = ()) -> RunRecord:
    return RunRecord.model_construct(measurements=list(records), set_aside=list(aside), calibration=None)


def a_series(seconds: float, *, service: str = "listener", kind: str = "new", verdict=None) -> SeriesResult:
    outage = Outage("t", 1000.0, 1000.0 + seconds, seconds, 0.01, {"silent": 9}, {}, "out")
    told = passed("in time") if verdict is None else verdict
    return SeriesResult(f"lkclient/{service}/{kind}", "client", "lkclient", service, kind, 0.01, [], [outage], seconds, told)


def a_record(*series: SeriesResult, id: str = "01-x", **changes) -> MeasurementRecord:
    base: Measured = replace(a_measured(), series=list(series), **changes)
    return MeasurementRecord.of(base, id=id, test="t")


@pytest.mark.parametrize("out", [0.25, 0.6, 0.9])
def test_a_path_is_as_long_out_as_its_new_connections(out):
    """The kept connection is given up after the harness's own second, whatever the failover took."""
    record = a_record(a_series(out), a_series(1.0, kind="pinned"))
    figure, kept = outage_statistics.worst_of(record, "client"), outage_statistics.longest_established(record, "client")
    assert figure and figure.series.recovered_after_s == out and kept and kept.series.recovered_after_s == 1.0
    run = a_run(record)
    assert (
        outage_statistics.worst_outages(run)["client"].series.recovered_after_s == out
        and outage_statistics.worst_established(run)["client"].series.recovered_after_s == 1.0
    )


def test_the_verdict_is_the_worst_and_the_seconds_are_the_longest():
    """One answer of the wrong node fails the listener (1.01 s); the database is out for 7.98 s of 8.1 and passes."""
    record = a_record(a_series(1.01, verdict=failed("the wrong node answered")), a_series(7.98, service="database"))
    figure = outage_statistics.worst_of(record, "client")
    assert figure and (figure.series.recovered_after_s, figure.result, figure.reason) == (7.98, Result.FAIL, "the wrong node answered")
    over = outage_statistics.worst_outages(a_run(a_record(a_series(9.0)), record))["client"]
    assert (over.series.recovered_after_s, over.result) == (9.0, Result.FAIL)


def test_a_path_of_which_nothing_is_demanded_is_shown_with_its_outage():
    """Out from +1 to +61 s, undone at +68: 61 s, and not the worst of the paths that had to be right."""
    script = Script([(0, A), (3.0, None), (63.0, A)], [(0, A)])
    header = a_header(disruption="shared disk full", moves=None, expects=dict.fromkeys(("client", "inside", "standby"), "any"))
    result = evaluate(marks(play(header, script, end=75.0), begin=2.0, undo_begin=70.0))
    record = MeasurementRecord.of(result, id="01-shared-disk-full", test="t")
    figure = outage_statistics.worst_of(record, "client")
    assert figure and "61.0" in figure.words and "nothing is demanded" in figure.sentence
    demanded = a_record(a_series(3.0))
    assert outage_statistics.worst_outages(a_run(record, demanded))["client"].series.recovered_after_s == 3.0


def test_the_interval_on_the_page_is_that_of_the_verdict():
    series = replace(a_series(8.29), min_s=8.04, max_s=8.30)
    figure = outage_statistics.worst_of(a_record(series), "client")
    assert figure and figure.words == "8.04 s to 8.30 s"
    outage = replace(a_series(0.2).outages[0], min_s=0.1, max_s=0.3)
    assert outage_statistics.outage_words(outage) == "0.10 s to 0.30 s"


def test_never_out_says_for_how_long_nobody_looked():
    series = replace(a_series(1.0), outages=[], recovered_after_s=0.0, min_s=0.0, max_s=0.06, longest_gap_s=0.06)
    figure = outage_statistics.worst_of(a_record(series), "client")
    assert figure and figure.words == "no outage longer than 0.060 s"


def test_junit_tells_never_from_not_known(tmp_path):
    """Neither is a zero, and neither is left out."""
    never = replace(a_series(5.0), recovered_after_s=None, outages=[replace(a_series(5.0).outages[0], end=None)], unknown="never came back")
    gone = replace(a_series(1.0, service="web"), recovered_after_s=None, outages=[], unknown="not measured for 35.00 s", unmeasured_s=35.0)
    builder = a_builder(tmp_path)
    add_to(builder, [a_record(never, gone)])
    builder.finish()
    builder.run.close()
    found = {p.get("name"): p.get("value") for p in ET.parse(builder.run.directory / "junit.xml").iter("property")}
    assert found["unknown.01-x.client.listener.new"] == "never came back"
    assert found["unknown.01-x.client.web.new"] == "not measured for 35.00 s"
    assert not any(name.startswith("recovered_after_s.") for name in found)
    stored = load_record(builder.run.directory).measurements[0].measured.series
    assert [t.unknown for t in stored] == ["never came back", "not measured for 35.00 s"]


def from_node(records: list[MeasurementRecord], node: str) -> list[MeasurementRecord]:
    return [r.model_copy(update={"measured": replace(r.measured, before=node, target=node)}) for r in records]


def to_and_fro(a: list[float | None], b: list[float | None]) -> list[MeasurementRecord]:
    """Repeats that go to and fro, as they do: each begins where the last one ended."""
    there, back = from_node(repeats(a), "lknode01"), from_node(repeats(b, first=len(a) + 1), "lknode02")
    return [record for pair in zip(there, back, strict=True) for record in pair]


def test_the_two_directions_are_not_pooled():
    """To B 3 s, to A 9 s: there is no failover of 6 s."""
    run = a_run(*to_and_fro([3.0, 3.1], [9.0, 9.1]))
    found = {g.name: [d.median for d in g.distributions if d.path == "client"] for g in outage_statistics.groups(run)}
    assert found == {"switchover from lknode01": [pytest.approx(3.05)], "switchover from lknode02": [pytest.approx(9.05)]}


def test_a_failover_that_got_slower_in_one_direction_is_found(tmp_path, capsys):
    """To B 3 s before and 6 s now, to A 9 s both times: five of each suffice (p = 0.016 for both directions), where all pooled do not."""
    to_a: list[float | None] = [9.0, 9.1, 9.2, 9.3, 9.4]
    folders = []
    for number, to_b in enumerate(([3.0, 3.1, 3.2, 3.3, 3.4], [6.0, 6.1, 6.2, 6.3, 6.4])):
        builder = a_builder(tmp_path / str(number))
        add_to(builder, to_and_fro(to_b, to_a))
        builder.finish()
        builder.run.close()
        folders.append(builder.run.directory)
    old, new = map(load_record, folders)
    rows = [r for r in compare(old, new).rows if (r.path, r.service, r.kind) == ("client", "listener", "new")]
    assert {r.before_node: r.change for r in rows} == {"lknode01": Change.SLOWER, "lknode02": Change.SAME}
    assert cli.main(["compare", *map(str, folders)]) == 1
    assert "switchover from lknode01:" in capsys.readouterr().out


def test_a_direction_that_only_one_run_measured_is_told():
    one, other = a_run(*from_node(repeats([1.0] * 4), "lknode01")), a_run(*to_and_fro([1.0] * 4, [1.0] * 4))
    for run in (one, other):
        run.cluster = None
    found = compare(one, other)
    assert found.rows and "switchover (nat) from lknode02 was measured in the second run only" in found.notes


def test_a_distribution_leaves_out_what_cannot_be_relied_on():
    records = repeats([1.0, 2.0, 3.0, 60.0])
    bad = records[3].model_copy(update={"measured": replace(records[3].measured, timing=inconclusive("the ticks came late"))})
    client = outage_statistics.groups(a_run(*records[:3], bad))[0].distributions[0]
    assert client.values == (1.0, 2.0, 3.0) and client.left_out == 1


def test_a_distribution_says_the_same_as_run_jsons_series():
    records = repeats([1.0, 2.0, 3.0, 4.0])
    unknown = [replace(s, recovered_after_s=None, outages=[]) for s in records[1].measured.series]
    records[1] = records[1].model_copy(update={"measured": replace(records[1].measured, series=unknown)})
    records[2] = records[2].model_copy(update={"measured": replace(records[2].measured, budget_s=2.0)})
    run = a_run(*records)
    shown = outage_statistics.groups(run)[0].distributions[0]
    stored = next(s for s in series_of(run) if (s.path, s.service, s.kind) == ("client", "listener", "new"))
    assert (shown.runs, shown.left_out, shown.budget_s, shown.median, shown.p95) == (3, 1, 2.0, 3.0, 4.0)
    assert (stored.n, stored.left_out, stored.budget_s, stored.median_s, stored.p95_s) == (3, 1, 2.0, 3.0, 4.0)


def test_junits_figures_have_run_jsons_names(tmp_path):
    builder = a_builder(tmp_path)
    add_to(builder, [a_record(a_series(1.0))])
    names = {p.get("name").split(".")[0] for p in ET.fromstring(junit(builder.run.record)).iter("property") if ".client." in p.get("name")}
    builder.run.close()
    assert {"recovered_after_s", "min_s", "max_s", "longest_gap_s", "stalled_s", "period_s"} <= names
    known = {field.name for field in fields(SeriesResult)} | {"outage_s", "phase_s"}
    assert names <= known


def test_what_was_set_aside_is_in_the_sentence(tmp_path):
    """Before one of the two a path was out for 2 s, with nothing done: it says so where all passed."""
    began = a_measured().anchor
    early, later = (replace(a_series(2.0).outages[0], start=began + at, end=began + at + 2.0) for at in (-3.0, 1.0))
    aside = (a_record(replace(a_series(2.0), outages=[early])), a_record(replace(a_series(2.0), outages=[later])))
    said = outage_statistics.sentence(a_run(a_record(a_series(1.0)), aside=aside))
    assert said == (
        "The one measured disruption passed. 2 more set aside because of noise; before that a path was out 1 time, for up to 2.00 s, "
        "with nothing done."
    )


def test_the_terminal_has_a_line_for_what_is_kept_open(tmp_path):
    builder = a_builder(tmp_path)
    add_to(builder, [a_record(a_series(0.6), a_series(1.0, kind="pinned"))])
    builder.finish()
    builder.run.close()
    said = summary(load_record(builder.run.directory), builder.run.directory, width=400)
    assert "client path: at worst recovered after 0.59 s to 0.60 s" in said
    assert "client path, established connection: at worst recovered after 0.99 s to 1.00 s" in said


def test_a_run_of_before_is_read_and_shown_as_it_was(tmp_path):
    """Its record has none of the newer fields, and its recording none of the newer marks of the header."""
    builder = a_builder(tmp_path)
    add_to(builder, [a_record(a_series(1.2), a_series(0.0, service="web"))])
    builder.finish()
    builder.run.close()
    stored = json.loads((builder.run.directory / "run.json").read_text())
    newer = {"min_s", "max_s", "counted_from", "unknown", "longest_gap_s", "stalled_s"}
    for series in stored["measurements"][0]["measured"]["series"]:
        for part in (series, *series["outages"]):
            for key in newer & set(part):
                del part[key]
    del stored["measurements"][0]["measured"]["noise"]
    (builder.run.directory / "run.json").write_text(json.dumps(stored))
    record = load_record(builder.run.directory)
    render(builder.run.directory)
    words = {f.series.service: f.words for f in outage_statistics.figures(record.measurements[0], "client")}
    assert words == {"listener": "1.19 s to 1.20 s", "web": "no outage"}
