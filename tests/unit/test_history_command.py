"""`lkharness history`: its words, its JSON, its page, and bad input in one sentence."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from history_sample import a_night, nights, some_figures

from harness import cli


def test_it_tells_what_changed_and_writes_the_page(tmp_path, capsys):
    nights(tmp_path, 12, slower_from=8, heartbeat=5.0)
    assert cli.main(["history", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert (
        told.startswith("12 runs, 12 of them entered now\ndemo: 3 of 3 lines steady, 3 changes\n")
        and "timer manager.heartbeat_s 0.2 → 5" in told
    )
    assert (tmp_path / "index.html").is_file() and (tmp_path / "index.html").stat().st_mode & 0o077 == 0
    assert cli.main(["history", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("12 runs, 0 of them entered now")
    assert cli.main(["history", str(tmp_path), "--rebuild"]) == 0
    assert capsys.readouterr().out.startswith("12 runs, 12 of them entered now")


def test_its_json_has_every_night_of_every_line(tmp_path, capsys):
    made = nights(tmp_path, 6)
    a_night(tmp_path, 6, [some_figures([1.0, 2.0], disruption="disruption 1", failed=1)], outcome="fail")
    (made[0] / "run.json").write_text("{")
    assert cli.main(["history", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema_version"] == 2 and len(told["runs"]) == 6 and len(told["unreadable"]) == 1
    (line,) = (one for one in told["clusters"][0]["lines"] if one["path"] == "client")
    assert [night["outcome"] for night in line["nights"]] == ["pass"] * 5 + ["fail"]
    assert line["state"] == "new failure" and line["nights"][-1]["max_s"] == 2.0


def test_a_folder_without_runs_is_an_empty_history(tmp_path, capsys):
    assert cli.main(["history", str(tmp_path)]) == 0
    assert "No run has been entered yet" in (tmp_path / "index.html").read_text() and "0 runs" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["absent", "file", "damaged"])
def test_bad_input_is_one_sentence_and_exit_2(tmp_path, capsys, what):
    if what == "file":
        (tmp_path / "runs").write_text("")
    if what == "damaged":
        (tmp_path / "runs").mkdir()
        (tmp_path / "runs" / "history.db").write_text("text " * 500)
    assert cli.main(["history", str(tmp_path / "runs")]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("lkharness: ") and told.err.count("\n") == 1


def test_nothing_else_loads_the_stores_library():
    """`check`, `--help` and the plug-in of a run do without it until a run has ended."""
    asked = "import sys, harness.cli, harness.pytest_plugin.plugin; harness.cli._parser(); sys.exit('peewee' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked]).returncode == 0
