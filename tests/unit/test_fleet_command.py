"""`lkharness fleet` with small child processes in the place of runs: all of them, some that fail, an interruption, what came back."""

from __future__ import annotations

import json
import lzma
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from history_sample import a_night

from harness import cli
from harness.commands.fleet import child_process, fleet, fleet_runs
from harness.commands.fleet.process_pool import Job, Pool
from harness.core import package_data
from harness.core.deadline import Deadline
from harness.recorder import incident_run

# A stand-in for `lkharness failover --cluster FILE --reports DIR`: the file's name says what becomes of it.
CHILD = """
import json, signal, sys, time
from pathlib import Path
file, reports = Path(sys.argv[sys.argv.index("--cluster") + 1]), Path(sys.argv[sys.argv.index("--reports") + 1])
what = file.stem
if what.startswith("unreachable"):
    print("lkharness: lknode01 (10.0.0.4) does not answer SSH", file=sys.stderr)
    sys.exit(4)
if what.startswith("killed"):
    signal.raise_signal(signal.SIGKILL)
if what.startswith("slow"):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    (reports / "began").touch()
    signal.sigwait({signal.SIGINT})
    (reports / "undone").touch()
fail = what.startswith("bad")
record = json.loads(Path(sys.argv[1]).read_text())
code = 1 if fail else 3 if what.startswith("slow") else 0
outcome = {0: "pass", 1: "fail", 3: "inconclusive"}[code]
record.update(exit_code=code, verdict={"outcome": outcome, "reason": f"{what} was looked at"}, command=sys.argv[1:])
run = reports / record["run_id"]
run.mkdir()
(run / "run.json").write_text(json.dumps(record))
(run / "report.html").write_text("a report")
sys.exit(code)
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Children are stand-ins; the current folder is an empty one."""
    night = a_night(tmp_path / "pattern", 0, [])
    monkeypatch.setattr(fleet, "PROGRAM", (sys.executable, "-S", "-c", CHILD, str(night / "run.json")))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def clusters(*names: str) -> list[str]:
    for name in names:
        Path(f"{name}.toml").touch()
    return [f"{name}.toml" for name in names]


def run(*names: str, options: tuple[str, ...] = ()) -> int:
    return cli.main(["fleet", *clusters(*names), *options, "--", "failover", "--disruption", "switchover"])


def test_all_passed(stand_in, capsys):
    assert run("one", "two", "three", options=("--at-once", "2")) == 0
    told = capsys.readouterr().out
    assert "two: passed" in told and told.endswith("3 clusters: 3 passed\npage: reports/fleet/fleet.html\n")
    page = Path("reports/fleet/fleet.html")
    assert page.stat().st_mode & 0o077 == 0 and "/report.html" in page.read_text() and "--disruption switchover" in page.read_text()
    (log,) = Path("reports/fleet/one").glob("*.log")
    assert log.read_text() == ""


def test_a_secret_with_a_blank_among_the_words_is_not_in_the_pages_title(stand_in):
    cli.main(["fleet", *clusters("one"), "--", "failover", "--disruption", "switchover", "-o", "password=two canaries"])
    page = Path("reports/fleet/fleet.html").read_text()
    assert "canaries" not in page and "password=[removed]" in page


def test_one_that_cannot_be_reached_is_named_and_the_rest_goes_on(stand_in, capsys):
    assert run("unreachable", "one", "killed", options=("--json",)) == 4
    told = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["exit_code"]) for one in told["clusters"]] == [("unreachable", 4), ("one", 0), ("killed", 3)]
    assert told["clusters"][0]["reason"] == "lknode01 (10.0.0.4) does not answer SSH" and told["exit_code"] == 4
    assert told["clusters"][2]["reason"] == "it was ended by SIGKILL"
    assert "does not answer SSH" in Path(told["page"]).read_text()


def test_only_runs_of_this_night_count(stand_in, capsys):
    Path("reports/fleet/one/20250101T000000.000Z-0001").mkdir(parents=True)
    Path("reports/fleet/one/20250101T000000.000Z-0001/run.json").write_text("{")
    assert run("one", "bad") == 1
    assert "2 clusters: 1 failed, 1 passed" in capsys.readouterr().out


def test_ctrl_c_is_handed_on_once_and_every_child_is_waited_for(stand_in, capsys):
    def interrupt() -> None:
        began = [Path(f"reports/fleet/{name}/began") for name in ("slow1", "slow2")]
        Deadline(120).wait_for(lambda: all(file.exists() for file in began), what="both children", every=0.01)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=interrupt)
    thread.start()
    assert run("slow1", "slow2", "never", options=("--at-once", "2")) == 3
    thread.join()
    told = capsys.readouterr().out
    assert all(Path(f"reports/fleet/{name}/undone").exists() for name in ("slow1", "slow2"))
    assert "waiting until these have undone" in told and "never: could not be judged" in told and "not begun" in told
    assert signal.getsignal(signal.SIGTERM) is before


UNDOING = """
import signal, sys, time
from pathlib import Path
here = Path(sys.argv[1])
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
(here / "began").touch()
signal.sigwait({signal.SIGINT})
(here / "undoing").touch()
while not (here / "go").exists():
    signal.sigtimedwait({signal.SIGUSR1}, 0.01)
sys.exit(1 if signal.sigpending() else 0)
"""


def test_a_second_ctrl_c_does_not_reach_a_child_that_undoes(tmp_path):
    heard = []

    def interrupted(running: list[int]) -> None:
        heard.append(running)
        if len(heard) == 2:
            (tmp_path / "go").touch()

    def interrupt() -> None:
        for moment in ("began", "undoing"):
            Deadline(120).wait_for((tmp_path / moment).exists, what=moment, every=0.01)
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    pool = Pool(1, on_begin=lambda index: None, on_end=lambda index, end: None, on_interrupt=interrupted)
    (end,) = pool.run([Job("one", (sys.executable, "-S", "-c", UNDOING, str(tmp_path)), tmp_path / "log")])
    thread.join()
    assert end.returned == 0 and heard == [[0], [0]]


def test_a_program_that_cannot_be_started_is_an_outcome(tmp_path):
    pool = Pool(1, on_begin=lambda index: None, on_end=lambda index, end: None, on_interrupt=lambda running: None)
    (end,) = pool.run([Job("one", (str(tmp_path / "absent"),), tmp_path / "log")])
    assert end.returned is None and end.fault == "it could not be started (No such file or directory)"


def test_a_reader_that_is_gone_does_not_end_it(stand_in):
    """The output of the fleet is closed after its first line; its children are waited for all the same."""
    program = f"import sys; from harness import cli; from harness.commands.fleet import fleet; fleet.PROGRAM = {fleet.PROGRAM!r}; "
    words = ["fleet", *clusters("one", "two"), "--at-once", "1", "--", "failover"]
    process = subprocess.Popen([sys.executable, "-c", f"{program}sys.exit(cli.main({words!r}))"], stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline().startswith("one: began")
    process.stdout.close()
    assert process.wait(timeout=300) == 0
    assert len(list(Path("reports/fleet").glob("*/2*/run.json"))) == 2


@pytest.mark.parametrize(
    "words",
    [
        "fleet",
        "fleet one.toml",
        "fleet one.toml -- lab up",
        "fleet one.toml one.toml -- failover",
        "fleet absent.toml -- failover",
        "fleet one.toml --at-once 0 -- failover",
        "fleet one.toml --at-once x -- failover",
        "fleet one.toml -- failover --cluster two.toml",
        "fleet matrix absent.toml",
        "fleet merge absent",
        "fleet merge absent --expected one.toml",
        "fleet merge absent --expected absent.json",
        "fleet merge one.toml --within tonight",
        "fleet merge one.toml --within 999999999d",
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(stand_in, capsys, words):
    clusters("one")
    assert cli.main(words.split()) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("lkharness: ") and told.err.count("\n") == 1
    assert not Path("reports").exists()


@pytest.mark.parametrize("words", ["fleet matrix one.toml gate.toml", "fleet one.toml gate.toml -- failover"])
def test_a_gate_beside_the_cluster_files_is_no_cluster(stand_in, capsys, words):
    """As a pattern takes it along (*.toml)."""
    clusters("one")
    Path("gate.toml").write_text(package_data.document("gate.example.toml").read_text())
    assert cli.main(words.split()) == 2
    told = capsys.readouterr()
    assert told.err.startswith("lkharness: gate.toml: is no cluster file") and told.out == "" and not Path("reports").exists()


def test_an_example_of_a_cluster_file_is_one(stand_in, capsys):
    Path("example.toml").write_bytes((package_data.REPOSITORY / "cluster.example.toml").read_bytes())
    assert cli.main(["fleet", "matrix", "example.toml"]) == 0


def test_what_names_an_incident_is_what_a_fetch_writes():
    assert fleet_runs.INCIDENT_COMMAND == incident_run.COMMAND


def test_a_packed_night_comes_back_and_an_incident_stands_for_none(stand_in, capsys):
    """After `history --keep` there is run.json.xz; after `record fetch --reports back/one` the newest folder is no night's."""
    night = a_night(Path("back/one"), 1, [])
    with lzma.open(night / "run.json.xz", "wb") as file:
        file.write((night / "run.json").read_bytes())
    (night / "run.json").unlink()
    incident = a_night(Path("back/one"), 2, [], outcome="fail")
    data = json.loads((incident / "run.json").read_text())
    (incident / "run.json").write_text(json.dumps({**data, "command": list(incident_run.COMMAND)}))
    for path in (str(night), "back/one"):
        assert cli.main(["fleet", "merge", path, "--json"]) == 0
        (told,) = json.loads(capsys.readouterr().out)["clusters"]
        assert Path(told["run"]).name == night.name
    assert cli.main(["fleet", "merge", str(incident)]) == 1  # where it is named itself, it counts


def test_a_fleet_tells_a_ci_service_itself_and_its_runs_do_not(stand_in, capsys, monkeypatch, tmp_path):
    job = tmp_path / "job.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(job))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setattr(fleet, "PROGRAM", (*fleet.PROGRAM[:3], f"import os; print(sorted(os.environ))\n{CHILD}", *fleet.PROGRAM[4:]))
    assert run("bad", "unreachable", "one") == 1
    told = capsys.readouterr().out
    assert "\n::error title=bad::failed: bad was looked at\n" in told
    assert "\n::warning title=unreachable::not reachable or not usable: lknode01 (10.0.0.4) does not answer SSH\n" in told
    assert told.count("\n::") == 2, "what is said of a cluster besides is no command of the service"
    summary = job.read_text()
    assert summary == Path("reports/fleet/fleet.md").read_text()
    assert summary.startswith("## 3 clusters: 1 failed, 1 not reachable or not usable, 1 passed\n\nexit code 1\n")
    assert "| ✗ | bad | failed | bad was looked at |\n" in summary
    output = Path("reports/fleet/one/output.log").read_text()
    assert "PATH" in output and "GITHUB_ACTIONS" not in output and "GITHUB_STEP_SUMMARY" not in output
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "nowhere" / "job.md"))
    assert run("two", options=("--json",)) == 0
    (note,) = json.loads(capsys.readouterr().out)["notes"]
    assert note.startswith("the summary in GITHUB_STEP_SUMMARY was not written: ")


def test_forks_of_the_fleet_have_no_job_of_their_own_either(monkeypatch):
    """The process that they are forked from was begun without."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "x")
    begun: list[dict[str, str]] = []
    monkeypatch.setattr(child_process.subprocess, "Popen", lambda words, env=None, **more: begun.append(env or dict(os.environ)))
    child_process._begin_server()[0].close()
    assert "PATH" in begun[0] and "GITHUB_STEP_SUMMARY" not in begun[0]


def test_a_matrix_and_what_came_back_of_it(stand_in, capsys):
    """As a CI does it: each job has one entry; one did not come back, one is damaged."""
    files = clusters("one", "two", "three")
    assert cli.main(["fleet", "matrix", *files, "--json"]) == 0
    said = capsys.readouterr().out
    assert json.loads(said)["include"][1] == {"index": 1, "cluster": "two.toml", "name": "two"}
    Path("matrix.json").write_text(json.dumps({**json.loads(said), "planned": "2026-01-01T00:00:00+00:00"}))
    a_night(Path("back/one"), 1, [])
    a_night(Path("back/one"), 2, [], outcome="fail")  # the newest counts
    (a_night(Path("back/two"), 3, []) / "run.json").write_text("{")
    assert cli.main(["fleet", "merge", "back/one", "back/two", "--expected", "matrix.json", "--json"]) == 1
    told = {one["name"]: one for one in json.loads(capsys.readouterr().out)["clusters"]}
    assert {name: one["exit_code"] for name, one in told.items()} == {"one": 1, "two": 3, "three": 3}
    assert "damaged" in told["two"]["reason"] and told["three"]["reason"] == "it did not come back: no run of it was given"
    assert "did not come back" in Path("reports/fleet/fleet.html").read_text()


def test_a_run_of_another_night_is_not_tonights_and_one_run_counts_once(stand_in, capsys):
    assert cli.main(["fleet", "matrix", *clusters("one"), "--json"]) == 0
    Path("matrix.json").write_text(capsys.readouterr().out)
    night = a_night(Path("back/one"), 1, [])
    assert cli.main(["fleet", "merge", "back/one", "--expected", "matrix.json"]) == 3
    told = capsys.readouterr().out
    assert "one: could not be judged: it did not come back: its newest run began at 2026-" in told and told.count("one: ") == 1
    Path("back/one/latest").symlink_to(night.name)
    shutil.copytree(night, "copy")
    assert cli.main(["fleet", "merge", str(night), "back/one/latest", "back/one", "copy"]) == 0
    assert "1 cluster: 1 passed" in capsys.readouterr().out


def test_a_matrix_that_serves_every_night_counts_what_is_of_tonight(stand_in, capsys):
    """As a CronJob's, which is made once: without --within last night's run would stand for one that did not begin tonight."""
    Path("matrix.json").write_text(
        json.dumps({"planned": "2025-01-01T00:00:00+00:00", "include": [{"index": 0, "cluster": "a", "name": "one"}]})
    )
    night = a_night(Path("back/one"), 1, [])
    words = ["fleet", "merge", "back/one", "--expected", "matrix.json"]
    assert cli.main(words) == 0
    data = json.loads((night / "run.json").read_text())
    for hours, code in ((13, 3), (11, 0)):
        data["started"]["epoch"] = time.time() - hours * 3600
        (night / "run.json").write_text(json.dumps(data))
        assert cli.main([*words, "--within", "12h"]) == code
        assert ("is of another night" in capsys.readouterr().out) == bool(code)


def test_runs_are_merged_without_a_list(stand_in, capsys):
    night = a_night(Path("back/one"), 1, [])
    assert cli.main(["fleet", "merge", str(night), "gone"]) == 3
    told = capsys.readouterr().out
    assert "demo: passed" in told and "gone: could not be judged: it did not come back" in told
    assert cli.main(["fleet", "merge", str(night)]) == 0
