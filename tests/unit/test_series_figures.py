"""n, median, p95, maximum and interval of each series, in run.json itself."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import pytest
from measure_sample import add_to, repeats
from report_sample import a_builder

from harness.core.verdict import inconclusive
from harness.report.report_rendering import store_record
from harness.report.run_reader import load_record
from harness.report.statistics.percentiles import percentile
from harness.report.statistics.series_figures import median_ranks, series_of


def a_run(reports, made):
    builder = a_builder(reports)
    add_to(builder, made)
    builder.finish()
    builder.run.close()
    return builder.run.directory


def the_client(stored):
    return next(s for s in stored if s["path"] == "client" and s["kind"] == "new")


def test_a_finished_run_holds_the_figures_of_each_series(tmp_path):
    outs = [1.5, 1.1, 1.3, 1.2, 1.4, 2.9]
    folder = a_run(tmp_path, repeats(outs))
    found = the_client(json.loads((folder / "run.json").read_text())["series"])
    assert (found["n"], found["never"], found["left_out"]) == (6, 0, 0)
    assert found["values_s"] == outs  # in the order in which they were measured
    assert found["median_s"] == pytest.approx(1.35) and found["max_s"] == 2.9 and found["p95_s"] == 2.9
    low, high = found["interval_s"]
    assert 1.1 - 0.05 <= low <= 1.1 and 2.9 <= high <= 2.9 + 0.05  # of six, only the smallest and the largest hold it in 95 %


def test_what_never_came_back_is_longer_than_everything_and_no_number(tmp_path):
    folder = a_run(tmp_path, repeats([1.0, None, 1.2, None]))
    found = the_client(json.loads((folder / "run.json").read_text())["series"])
    assert (found["n"], found["never"], found["median_s"], found["max_s"], found["interval_s"]) == (4, 2, None, None, None)
    assert found["values_s"] == [1.0, 1.2]


def test_a_figure_whose_timing_cannot_be_relied_on_is_counted_and_left_out(tmp_path):
    made = repeats([1.0, 1.2, 9.0])
    made[2] = made[2].model_copy(update={"measured": replace(made[2].measured, timing=inconclusive("the client stalled"))})
    found = series_of(load_record(a_run(tmp_path, made)))
    assert {(s.n, s.left_out, s.max_s) for s in found if s.path == "client" and s.kind == "new"} == {(2, 1, 1.2)}


def test_a_run_judged_again_has_the_figures_of_the_new_judgement(tmp_path):
    folder = a_run(tmp_path, repeats([1.0, 1.2]))
    record = load_record(folder)
    record.measurements = record.measurements[:1]
    store_record(folder, record)
    assert {s.n for s in load_record(folder).series} == {1}


def test_no_two_records_are_of_the_same_series(tmp_path):
    found = series_of(load_record(a_run(tmp_path, repeats([1.0, 1.2]) + repeats([2.0], "power loss", first=3))))
    keys = [(s.disruption, s.before, s.target, s.path, s.service, s.kind) for s in found]
    assert len(keys) == len(set(keys)) and len({k[0] for k in keys}) == 2


def test_the_ranks_are_those_of_the_tables():
    """Of the binomial distribution with p = 1/2: none below 6; the 2nd and 9th of ten; the 6th and 15th of twenty."""
    assert [median_ranks(n) for n in (1, 5, 6, 8, 9, 10, 20)] == [None, None, (0, 5), (0, 7), (1, 7), (1, 8), (5, 14)]


def test_the_interval_holds_the_median_as_often_as_it_says():
    dice = random.Random(3)
    held = 0
    for _ in range(2000):
        ordered = sorted(dice.expovariate(1.0) for _ in range(12))
        low, high = median_ranks(12)
        held += ordered[low] <= math.log(2) <= ordered[high]
    assert held / 2000 >= 0.94


def test_a_percentile_is_a_value_that_was_measured():
    assert percentile([1.0, 2.0, 3.0], 0.95) == 3.0 and percentile([float(n) for n in range(1, 101)], 0.95) == 95.0
