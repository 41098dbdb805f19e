"""A run's directory: there from the first moment, whole at every moment, and honest when it cannot be written."""

from __future__ import annotations

import json
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.core.errors import ExitCode, Unusable
from harness.core.files import write_atomically
from harness.report.record.run_directory import Run


@pytest.fixture
def run(tmp_path: Path):
    run = Run.create(tmp_path / "reports", command=["pytest", "tests/acceptance"])
    yield run
    run.close()


def stored(run: Run) -> dict:
    return json.loads((run.directory / "run.json").read_text())


def test_a_run_can_be_read_from_its_first_moment(run):
    record = stored(run)
    assert record["state"] == "running"
    assert record["exit_code"] == ExitCode.INCONCLUSIVE
    assert record["command"] == ["pytest", "tests/acceptance"]
    assert "killed" in record["verdict"]["reason"]
    assert (run.directory / "evidence").is_dir()
    assert f"run {run.id} began" in (run.directory / "timeline.jsonl").read_text()


def test_the_id_is_the_time_in_utc_and_sorts_by_it(tmp_path):
    runs = [Run.create(tmp_path, command=[]) for _ in range(2)]
    for run in runs:
        run.close()
        assert re.fullmatch(r"\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{4}", run.id)
        assert run.id[:8] == run.record.started.iso[:10].replace("-", "")
    assert runs[0].id[:19] <= runs[1].id[:19]


def test_latest_always_points_at_the_newest(tmp_path):
    for _ in range(3):
        run = Run.create(tmp_path, command=[])
        run.close()
        assert (tmp_path / "latest").readlink() == Path(run.id)
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_something_in_the_way_of_latest_is_noted_and_the_run_goes_on(tmp_path):
    (tmp_path / "latest").mkdir()
    run = Run.create(tmp_path, command=[])
    run.close()
    assert "remove what is in its way" in run.record.evidence_faults[0].reason
    assert (tmp_path / "latest").is_dir()
    assert not list(tmp_path.glob(".latest*"))


def test_a_place_that_cannot_hold_a_folder_is_one_clear_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unusable, match=r"no report can be written there .*; make it a folder that you may write to") as caught:
        Run.create(tmp_path / "file" / "reports", command=[])
    assert "\n" not in str(caught.value)


def test_a_folder_without_write_permission_is_one_clear_sentence(tmp_path):
    """As an ordinary user: root may write anywhere, so root becomes `nobody` in a child first."""
    tmp_path.chmod(0o555)
    try:
        child = os.fork()
        if child == 0:
            os._exit(_refused_for_an_ordinary_user(tmp_path))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        tmp_path.chmod(0o755)


def _refused_for_an_ordinary_user(folder: Path) -> int:
    os.chdir(folder)  # root's temporary folders lie where `nobody` could not walk to
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    try:
        Run.create(Path(), command=[])
    except Unusable as error:
        return 0 if "Permission denied" in str(error) else 1
    return 2


def test_a_file_system_that_takes_no_folders_is_one_clear_sentence():
    with pytest.raises(Unusable, match="no report can be written there"):
        Run.create(Path("/proc/reports"), command=[])


def test_a_failed_write_leaves_the_old_content_and_nothing_else(tmp_path):
    path = write_atomically(tmp_path / "a.json", "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "new \ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "run.json"
    whole = {letter * 200_000 for letter in "ab"}
    write_atomically(path, min(whole))
    stop = threading.Event()

    def read() -> set[str]:
        seen = set()
        while not stop.is_set():
            seen.add(path.read_text())
        return seen

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        try:
            for text in sorted(whole) * 10:
                write_atomically(path, text)
        finally:
            stop.set()
        assert reading.result() <= whole


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", ".hidden", "a/b\\c", "näme\n\x1b[0m", "", "..", "x" * 999 + ".log", "-rf"]
)
def test_evidence_stays_in_its_folder_under_a_plain_name(run, name):
    path = run.evidence(name)
    assert path.parent == run.directory / "evidence"
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,119}", path.name)
    path.write_text("can be written")


def test_evidence_of_one_name_is_never_given_twice(run):
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: run.evidence("10.20.1.11 journal.log"), range(50)))
    assert len({p.name for p in paths}) == 50
    assert {p.suffix for p in paths} == {".log"}
    assert run.evidence("10.20.1.11 JOURNAL.log").name.lower() not in {p.name for p in paths}


def test_a_failing_collector_is_noted_and_the_rest_go_on(run):
    def broken(path: Path) -> None:
        raise ConnectionError("lknode02 is gone\nfor good")

    assert run.collect("journal.log", broken) is None
    assert run.collect("nothing.log", lambda path: None) is None
    kept = run.collect("state.txt", lambda path: path.write_text("ISP"))
    run.save()
    assert kept.read_text() == "ISP"
    faults = {fault["name"]: fault["reason"] for fault in stored(run)["evidence_faults"]}
    assert faults == {
        "journal.log": "ConnectionError: lknode02 is gone for good",
        "nothing.log": "FileNotFoundError: the collector wrote nothing",
    }
    assert [event.kind for event in run.timeline.events].count("evidence-fault") == 2
    assert [(f.path, f.bytes) for f in run.list_evidence()] == [("evidence/state.txt", 3)]


def test_ctrl_c_in_a_collector_is_not_swallowed(run):
    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.collect("journal.log", interrupted)
