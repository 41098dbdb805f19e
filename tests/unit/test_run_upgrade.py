"""A run that was stored with schema version 1 is read as before: its names are those of today, and its figures the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.report.record.run_record import SCHEMA_VERSION
from harness.report.record.run_upgrade import upgrade
from harness.report.report_rendering import render
from harness.report.run_reader import load_record

STORED = Path(__file__).parent / "stored" / "run-schema-1.json"


def test_every_figure_of_a_stored_run_is_kept(tmp_path: Path):
    shutil.copy(STORED, tmp_path / "run.json")
    (stored,) = json.loads(STORED.read_text())["measurements"]
    record = load_record(tmp_path)
    (found,) = record.measurements
    assert record.schema_version == SCHEMA_VERSION
    assert [one.id for one in found.measured.series] == [one["id"] for one in stored["measured"]["tracks"]]
    assert [one.recovered_after_s for one in found.measured.series] == [one["out_s"] for one in stored["measured"]["tracks"]]
    assert [one.longest_gap_s for one in found.measured.series] == [one["blind_s"] for one in stored["measured"]["tracks"]]
    outages = [outage for one in stored["measured"]["tracks"] for outage in one["outages"]]
    assert outages and [(o.series, o.min_s, o.max_s) for one in found.measured.series for o in one.outages] == [
        (o["track"], o["least_s"], o["most_s"]) for o in outages
    ]
    assert [one.name for one in found.measured.chart_rows] == [one["name"] for one in stored["measured"]["lanes"]]
    assert found.measured.observations == stored["measured"]["told"] != []
    assert [(one.series, one.outage) for one in found.phases] == [(one["track"], one["outage"]) for one in stored["phases"]]


def test_what_was_set_aside_is_read_as_well(tmp_path: Path):
    stored = json.loads(STORED.read_text())
    stored["set_aside"] = stored["measurements"]
    (tmp_path / "run.json").write_text(json.dumps(stored))
    (found,) = load_record(tmp_path).set_aside
    assert [one.id for one in found.measured.series] == [one["id"] for one in stored["measurements"][0]["measured"]["tracks"]]


def test_its_report_is_made(tmp_path: Path):
    shutil.copy(STORED, tmp_path / "run.json")
    render(tmp_path)
    assert "a held connection was closed by the balancer" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    "data", [{}, {"schema_version": 2}, {"schema_version": 1, "measurements": 7}, {"schema_version": 1, "measurements": [1]}]
)
def test_what_is_no_run_is_left_to_the_record_s_own_check(data):
    assert upgrade(data).get("measurements") in (None, [], [1])
