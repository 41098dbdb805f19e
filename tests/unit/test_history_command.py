"""`lkharness history`: its words, its JSON, its page, and bad input in one sentence."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from history_sample import a_night, a_night_without_figures, nights, some_figures

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


MEASURED = "tests/failover/test_disruptions.py::test_disruption"


@pytest.mark.parametrize(
    "night",
    [
        {},
        {"command": ("pytest", "/x/harness/suites/failover", "--disruption", "disruption 1")},
        {"command": ("pytest", "tests/failover", "--disruption=disruption 1", "--repeat", "2")},
        {"command": ("pytest",), "state": "finished", "tests": (f"{MEASURED}[disruption 1]", f"{MEASURED}[disruption 1 2]")},
        {"command": ("pytest",), "state": "finished", "tests": (f"{MEASURED}[disruption 1 120 ms after a probe]",)},
    ],
)
def test_nights_that_measured_nothing_are_not_steady(tmp_path, capsys, night):
    nights(tmp_path, 8)
    for number in range(8, 13):
        a_night_without_figures(tmp_path, number, **night)
    assert cli.main(["history", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "demo: 0 of 3 lines steady, 0 changes\n  last run, 2026-01-13, could not be judged: lknode01 could not be reached\n" in told
    assert (
        "  not measured: disruption 1 in the last 5 nights (3 lines); in the last of them because lknode01 could not be reached\n" in told
    )
    page = (tmp_path / "index.html").read_text()
    assert "passed in all 8 nights; nothing was measured in the last 5 nights" in page and "ppppppppnnnnn" in page
    a_night(tmp_path, 13, [some_figures([1.5], path=path, disruption="disruption 1") for path in ("client", "inside", "standby")])
    assert cli.main(["history", str(tmp_path), "--json"]) == 0
    for line in json.loads(capsys.readouterr().out)["clusters"][0]["lines"]:  # measured again: steady, and the nights between are seen
        assert line["state"] == "steady" and [one["measured"] for one in line["nights"]] == [True] * 8 + [False] * 5 + [True]


@pytest.mark.parametrize(
    "night",
    [
        {"command": ("pytest", "tests/acceptance")},
        {"command": ("pytest", "tests/failover", "--disruption", "power loss")},
        {"command": ("pytest", "tests/failover", "--for", "8h")},
        {"state": "finished", "tests": ("tests/acceptance/test_paths.py::test_client",)},
    ],
)
def test_a_run_of_something_else_is_no_night_of_a_line(tmp_path, capsys, night):
    nights(tmp_path, 8)
    a_night_without_figures(tmp_path, 8, **night)
    assert cli.main(["history", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "demo: 3 of 3 lines steady" in told and "last run, 2026-01-09, could not be judged" in told and "not measured" not in told


def test_a_run_for_everything_misses_only_what_is_usually_measured(tmp_path, capsys):
    """What destroys something is measured where it is named, once; a night for all that could not begin does not miss it."""
    a_night(tmp_path, 0, [some_figures([1.0], disruption="destroyed")])
    for number in range(1, 5):
        a_night(tmp_path, number, [some_figures([1.0])])
    a_night_without_figures(tmp_path, 5)
    assert cli.main(["history", str(tmp_path), "--json"]) == 0
    (cluster,) = json.loads(capsys.readouterr().out)["clusters"]
    assert {line["disruption"]: line["state"] for line in cluster["lines"]} == {"destroyed": "steady", "switchover": "not measured"}


def test_a_run_that_never_knew_its_cluster_is_told(tmp_path, capsys):
    nights(tmp_path, 2)
    folder = a_night_without_figures(tmp_path, 2)
    data = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**data, "cluster": None}))
    assert cli.main(["history", str(tmp_path)]) == 0
    words = "1 run ended before the cluster was known, the last 2026-01-03: lknode01 could not be reached"
    assert words in capsys.readouterr().out and words in (tmp_path / "index.html").read_text()


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


def page_data_of(reports) -> dict:
    return json.loads((reports / "index.html").read_text().split('id="data">')[1].split("</script>")[0])


def test_a_night_without_its_page_says_how_to_make_it_and_one_without_its_folder_that_it_is_gone(tmp_path):
    with_page, without, gone = nights(tmp_path, 3)
    (with_page / "report.html").touch()
    assert cli.main(["history", str(tmp_path)]) == 0
    (without / "run.json").rename(without / "run.json.xz")  # as it is packed; whether it can be read is asked when it is
    shutil.rmtree(gone)
    assert cli.main(["history", str(tmp_path)]) == 0
    assert [run[1:] for run in page_data_of(tmp_path)["runs"]] == [[with_page.name, "p", 1], [without.name, "p", 2], [gone.name, "p", 0]]


def test_a_line_whose_nights_are_all_older_than_the_page_has_no_strip(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.history.page.history_chart_data.MAX_POINTS", 5)
    a_night(tmp_path, 0, [some_figures([1.0], disruption="given up"), some_figures([1.0])])
    for number in range(1, 6):
        a_night(tmp_path, number, [some_figures([1.0])])
    assert cli.main(["history", str(tmp_path)]) == 0
    page = (tmp_path / "index.html").read_text()
    drawn = [int(part.split('"')[0]) for part in page.split('data-line="')[1:]]
    lines = page_data_of(tmp_path)["lines"]
    assert len(lines) == 2 and [bool(line["r"]) for line in lines] == [False, True] and drawn == [1]
    assert "given up" in page and "all of its nights are older than what is drawn here" in page


def test_a_change_of_very_many_lines_names_the_first_of_them(tmp_path):
    for number in range(8):
        figures = [some_figures([1.0], disruption=f"disruption {place}") for place in range(60)]
        a_night(tmp_path, number, figures, heartbeat=5.0 if number > 3 else 0.2)
    assert cli.main(["history", str(tmp_path)]) == 0
    page = (tmp_path / "index.html").read_text()
    (news,) = page.split('<ul class="news">')[1].split("</ul></details></li>\n</ul>")[:1]
    assert ", and 59 more" in news and "… and 40 more" in news and news.count("client path") == 21


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
