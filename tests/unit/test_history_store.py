"""The history's store: what is entered is there once, whatever is killed; rebuilt from the runs' folders; faults are one sentence."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from history_sample import a_night, nights, some_figures
from measure_sample import add_to, repeats
from report_sample import a_builder

from harness.core.deadline import Deadline
from harness.core.errors import BadUse
from harness.history.run_entry import read_entry
from harness.history.run_import import catch_up, enter
from harness.history.store import FILE, Store
from harness.report.report_rendering import store_record
from harness.report.run_reader import load_record
from harness.report.statistics.series_identity import changes


def test_a_finished_run_is_entered_once_however_often(tmp_path):
    builder = a_builder(tmp_path)
    add_to(builder, repeats([1.0, 1.2]))
    assert not enter(builder.run.directory)  # it goes on
    builder.finish()
    builder.run.close()
    assert enter(builder.run.directory) and enter(builder.run.directory)
    with Store(tmp_path / FILE) as store:
        (run,), points = store.runs(), store.points()
        series = {s.id: s for s in store.series()}
    assert run.run_id == builder.run.id and run.kind == "lab"
    assert len(points) == len(series) == len(load_record(builder.run.directory).series)
    point = next(p for p in points if series[p.series].line["path"] == "client" and series[p.series].line["kind"] == "new")
    assert point.figures["median_s"] == pytest.approx(1.1) and series[point.series].identity["timer manager.heartbeat_s"]


def test_a_run_judged_again_replaces_what_was_entered(tmp_path):
    builder = a_builder(tmp_path)
    add_to(builder, repeats([1.0, 1.2]))
    builder.finish()
    builder.run.close()
    enter(builder.run.directory)
    record = load_record(builder.run.directory)
    record.measurements = record.measurements[:1]
    store_record(builder.run.directory, record)
    with Store(tmp_path / FILE) as store:
        assert catch_up(tmp_path, store).entered == 1
        assert {p.figures["n"] for p in store.points()} == {1}
        assert catch_up(tmp_path, store).entered == 0


def test_a_run_without_series_of_an_older_harness_is_read_from_its_measurements(tmp_path):
    builder = a_builder(tmp_path)
    add_to(builder, repeats([1.0, 1.2]))
    builder.finish()
    builder.run.close()
    file = builder.run.directory / "run.json"
    data = json.loads(file.read_text())
    now = data.pop("series")
    file.write_text(json.dumps(data))
    assert [p.figures.model_dump(mode="json") for p in read_entry(builder.run.directory).points] == now


def test_the_same_cluster_under_another_name_is_the_same_and_another_timer_a_new_series(tmp_path):
    one, renamed, slower = (
        read_entry(a_night(tmp_path, number, [some_figures([1.0])], **how))
        for number, how in enumerate(({}, {"name": "other"}, {"heartbeat": 5.0}))
    )
    assert one.cluster == renamed.cluster == slower.cluster
    assert one.points[0].series == renamed.points[0].series != slower.points[0].series
    assert one.points[0].line == slower.points[0].line
    assert changes(one.points[0].identity, slower.points[0].identity) == ["timer manager.heartbeat_s 0.2 → 5"]


def test_rebuilt_from_the_folders_it_is_as_it_was_and_keeps_the_figures_of_folders_that_are_gone(tmp_path):
    made = nights(tmp_path, 5)
    with Store(tmp_path / FILE) as store:
        assert catch_up(tmp_path, store).entered == 5
        before = store.runs(), store.series(), store.points()
        shutil.rmtree(made[0])
        assert catch_up(tmp_path, store, anew=True).entered == 4
        assert (store.runs(), store.series(), store.points()) == before
    (tmp_path / FILE).unlink()
    with Store(tmp_path / FILE) as store:
        assert catch_up(tmp_path, store, anew=True).entered == 4


def test_only_folders_of_runs_are_looked_at_and_what_cannot_be_read_is_told(tmp_path):
    good, broken, other, killed = nights(tmp_path, 4)
    (broken / "run.json").write_text("{")
    other.rename(tmp_path / "release-1")
    data = json.loads((killed / "run.json").read_text())
    (killed / "run.json").write_text(json.dumps({**data, "state": "running"}))
    (tmp_path / "latest").symlink_to(good.name)
    (tmp_path / "20260101T000000.000Z-beef").symlink_to(tmp_path / "release-1")
    with Store(tmp_path / FILE) as store:
        caught = catch_up(tmp_path, store)
    assert (caught.entered, caught.unfinished, len(caught.unreadable)) == (1, [killed.name], 1)
    assert "is not JSON" in caught.unreadable[0]


@pytest.mark.parametrize("what", ["text", "foreign", "newer", "cut"])
def test_a_file_that_is_no_history_is_one_sentence_and_left_as_it_is(tmp_path, what):
    file = tmp_path / FILE
    if what == "text":
        file.write_text("no database at all, but longer than the head of one is" * 20)
    elif what == "foreign":
        with sqlite3.connect(file) as other:
            other.execute("create table customers (name text)")
    elif what == "newer":
        with Store(file):
            pass
        with sqlite3.connect(file) as other:
            other.execute("pragma user_version = 99")
    else:
        nights(tmp_path, 20)
        with Store(file) as store:
            catch_up(tmp_path, store)
        file.write_bytes(file.read_bytes()[:9000])
    before = file.read_bytes()
    with pytest.raises(BadUse, match=r"history\.db: (is|was) ") as told, Store(file) as store:
        store.points(), store.runs()
    assert "\n" not in str(told.value) and file.read_bytes() == before


ENTER = """
import sys
from pathlib import Path
from harness.history.run_import import enter
print("ready", flush=True)
sys.stdin.readline()
for folder in sys.argv[1:]:
    enter(Path(folder))
    print(folder, flush=True)
"""


def _killed_at_random(reports: Path, processes: int, each: int, seed: int) -> None:
    made = nights(reports, processes * each)
    dice = random.Random(seed)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", ENTER, *made[i::processes]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
        )
        for i in range(processes)
    ]
    for one in running:
        assert one.stdout.readline() == "ready\n"
    for one in running:
        one.stdin.write("\n")
        one.stdin.flush()
    told: list[str] = []
    doomed = set(dice.sample(range(processes), processes * 3 // 4))
    deadline = Deadline(240)
    for number in doomed:  # each after it has entered some, in the midst of another
        told += [running[number].stdout.readline().strip() for _ in range(dice.randrange(each))]
        time.sleep(dice.uniform(0, 0.02))  # the moment of death is what is varied, nothing is waited for
        running[number].send_signal(signal.SIGKILL)
    for number, one in enumerate(running):
        told += one.communicate(timeout=deadline.remaining())[0].split()
        assert one.returncode == 0 or (number in doomed and one.returncode == -signal.SIGKILL)
    with sqlite3.connect(reports / FILE) as file:
        assert file.execute("pragma integrity_check").fetchone() == ("ok",)
        assert file.execute("pragma foreign_key_check").fetchall() == []
    with Store(reports / FILE) as store:
        runs = [run.folder for run in store.runs()]
        assert len(runs) == len(set(runs)) and set(runs) >= {Path(name).name for name in told}  # what was told to be in is in
        whole = {run: sum(p.run_id == run for p in store.points()) for run in runs}
        assert set(whole.values()) <= {3}  # no run by halves
        catch_up(reports, store)  # what a killed one did not get to
        assert sorted(run.folder for run in store.runs()) == [folder.name for folder in made]
        assert len(store.points()) == 3 * len(made)


def test_some_processes_that_enter_at_once_and_are_killed_lose_and_double_nothing(tmp_path):
    _killed_at_random(tmp_path, 3, 5, seed=1)


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(5))
def test_twenty_processes_that_enter_at_once_and_are_killed_lose_and_double_nothing(tmp_path, seed):
    _killed_at_random(tmp_path, 20, 8, seed)


def test_a_file_of_the_format_before_keeps_its_figures_and_is_read_again_where_folders_are_there(tmp_path):
    """As a harness left it that did not store what a run set out to measure; a folder has gone since."""
    gone, there = nights(tmp_path, 2)
    data = json.loads((there / "run.json").read_text())
    (there / "run.json").write_text(json.dumps({**data, "state": "unusable", "command": ["pytest", "tests/failover"]}))
    with Store(tmp_path / FILE) as store:
        catch_up(tmp_path, store)
        points = store.points()
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("ALTER TABLE run DROP COLUMN asked")
        database.execute("PRAGMA user_version = 1")
    shutil.rmtree(gone)
    with Store(tmp_path / FILE) as store:
        assert catch_up(tmp_path, store).entered == 1
        assert [run.asked for run in store.runs()] == [[], ["*"]] and len(store.points()) == len(points)
        assert catch_up(tmp_path, store).entered == 0


def test_a_file_of_an_unknown_older_format_is_left_as_it_is_and_told(tmp_path, monkeypatch):
    nights(tmp_path, 2)
    with Store(tmp_path / FILE) as store:
        catch_up(tmp_path, store)
    before = (tmp_path / FILE).read_bytes()
    monkeypatch.setattr("harness.history.store.FORMAT", 3)
    with (
        pytest.raises(BadUse, match=r"older harness \(format 2\); move it away, then `lkharness history --rebuild`"),
        Store(tmp_path / FILE),
    ):
        pass
    assert (tmp_path / FILE).read_bytes() == before
