"""The flight recorder's own program, part by part: what its guard replaces, and what an incident's file holds when the disk is full."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from harness.recorder.incident_files import incident
from harness.remote import script_transport

NAME = "incident-1790000000000"


@pytest.fixture(scope="module")
def program() -> ModuleType:
    """The script as its host runs it, without its last line, which starts it."""
    made, text = ModuleType("program"), script_transport.source("flight_recorder").decode()
    assert text.rstrip().endswith("\nrecord()")
    exec(compile(text.rstrip().removesuffix("record()"), "program", "exec"), made.__dict__)
    return made


def test_a_worker_is_replaced_however_it_ended_until_its_time_is_over_or_somebody_ends_it(tmp_path, program) -> None:
    plan = {"until": time.time() + 3600.0, "again": 0.0}
    assert program.begins_again(plan, str(tmp_path))
    assert not program.begins_again({"keep": 1.0}, str(tmp_path)), "only a recorder's"
    assert not program.begins_again({**plan, "until": time.time() - 1.0}, str(tmp_path))
    assert not program.begins_again({**plan, "again": 600.0}, str(tmp_path / "removed"))
    (tmp_path / "stop").touch()
    assert not program.begins_again({**plan, "again": 600.0}, str(tmp_path)), "a worker that is to be replaced later is not waited for"


@pytest.mark.parametrize(("signalled", "recorder", "lingers"), [("a signal", True, 0), ("", True, 1), ("a signal", False, 1)])
def test_a_recorder_that_a_signal_ended_holds_up_no_shutdown(tmp_path, program, monkeypatch, signalled, recorder, lingers) -> None:
    waited: list[str] = []
    monkeypatch.setattr(program, "linger", lambda folder, plan: waited.append(folder))
    monkeypatch.setattr(program, "signal", SimpleNamespace(SIGTERM=15, SIGINT=2, SIG_DFL=0, signal=lambda *_: None))

    def kind(plan: object, folder: object, guard: object) -> SimpleNamespace:
        return SimpleNamespace(stopping=signalled, run=lambda: None)

    kind.first = False  # type: ignore[attr-defined]
    plan = {"until": 1.0} if recorder else {}
    assert program.worker(kind, plan, str(tmp_path), guard=-1, tell=os.open(os.devnull, os.O_WRONLY))
    assert len(waited) == lingers


def test_a_recorder_takes_no_reserve_of_the_disk(program) -> None:
    assert not program.FlightRecorder.reserves and program.Agent.reserves


def disk(program: ModuleType, monkeypatch, free: list[int]) -> None:
    """Reports so many bytes free, the last one from then on."""

    def room(fd: int) -> SimpleNamespace:
        return SimpleNamespace(f_bavail=free[0] if len(free) == 1 else free.pop(0), f_frsize=1)

    monkeypatch.setattr(program, "os", SimpleNamespace(**{n: getattr(os, n) for n in dir(os) if not n.startswith("__")}, fstatvfs_=0))
    program.os.fstatvfs = room


def test_the_journal_has_whole_lines_also_on_a_full_disk(tmp_path: Path, program, monkeypatch) -> None:
    room = [1 << 20]
    writes = {"write": lambda fd, data: os.write(fd, data[: room[0]])}
    names = {n: getattr(os, n) for n in dir(os) if not n.startswith("__")}
    monkeypatch.setattr(program, "os", SimpleNamespace(**{**names, **writes}))
    recorder = SimpleNamespace(place=str(tmp_path), options={"journal": 1000})
    for room[0], line in ((99, "v 1\n"), (2, "v 2\n"), (99, "v 3\n")):
        program.FlightRecorder.note(recorder, line)
    assert (tmp_path / "journal").read_text() == "v 1\nv 3\n"


def control() -> ModuleType:
    made, text = ModuleType("control"), script_transport.source("recorder_control").decode()
    exec(compile(text.rstrip().removesuffix("main()"), "control", "exec"), made.__dict__)
    return made


@pytest.mark.parametrize(("left_s", "runs"), [(3600.0, True), (-1.0, False)])
def test_a_recorder_whose_guard_is_about_to_replace_its_worker_runs(tmp_path: Path, left_s: float, runs: bool) -> None:
    (tmp_path / "plan").write_text(json.dumps({"until": time.time() + left_s, "keep": 60.0}))
    place, guard = os.open(tmp_path, os.O_RDONLY), os.open(tmp_path, os.O_RDONLY)
    try:
        assert not control().status(str(tmp_path), place)["alive"]
        fcntl.flock(guard, fcntl.LOCK_EX)
        assert control().status(str(tmp_path), place)["alive"] is runs
    finally:
        os.close(guard)
        os.close(place)


def a_recorder(folder: Path, *, ended_s: float, files: tuple[str, ...] = ()) -> None:
    """What lies on a host: the time of its recorder was over so many seconds ago (negative: it is not), and it is kept for an hour."""
    folder.mkdir(mode=0o700)
    (folder / "plan").write_text(json.dumps({"until": time.time() - ended_s, "keep": 3600.0}))
    for name in ("program", "journal", *files):
        (folder / name).touch()


def asked(folder: Path, **plan: object) -> dict[str, object]:
    return control().do({"folders": [str(folder)], **plan})


@pytest.mark.parametrize("ended_s", [-600.0, 60.0])
def test_a_mark_on_a_recorder_that_does_not_run_leaves_nothing_and_says_so(tmp_path: Path, ended_s: float) -> None:
    """Its host was restarted without a unit, or its time is over."""
    a_recorder(tmp_path / "r", ended_s=ended_s)
    assert asked(tmp_path / "r", do="mark", text="users complain")["alive"] is False
    assert not (tmp_path / "r" / "mark").exists()
    guard = os.open(tmp_path / "r", os.O_RDONLY)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if ended_s < 0:  # it runs
            assert asked(tmp_path / "r", do="mark", text="users complain")["alive"] is True
            assert (tmp_path / "r" / "mark").read_text() == "users complain"
    finally:
        os.close(guard)


@pytest.mark.parametrize(("age_s", "stays"), [(600.0, False), (1.0, True)])
def test_a_mark_of_long_ago_makes_no_incident_of_the_moment_in_which_a_recorder_is_started_again(
    tmp_path: Path, program, monkeypatch, age_s: float, stays: bool
) -> None:
    mark = tmp_path / "mark"
    mark.write_text("users complain")
    os.utime(mark, (time.time() - age_s,) * 2)
    monkeypatch.setattr(program.Agent, "__init__", lambda *_: 1 / 0)  # what comes before it is looked at
    with pytest.raises(ZeroDivisionError):
        program.FlightRecorder({"recorder": {"tell": 1.0}, "series": [], "until": 1.0}, str(tmp_path), -1)
    assert mark.exists() is stays


@pytest.mark.parametrize("do", ["status", "start", "mark", "fetch"])
def test_one_that_nothing_removed_after_its_time_is_removed_by_who_finds_it(tmp_path: Path, do: str) -> None:
    a_recorder(tmp_path / "r", ended_s=7200.0)
    assert asked(tmp_path / "r", do=do, name="journal", text="") == {"missing": True} and not (tmp_path / "r").exists()


def test_what_nobody_has_fetched_of_it_is_not_and_goes_once_it_is_at_home(tmp_path: Path) -> None:
    a_recorder(tmp_path / "r", ended_s=7200.0, files=(NAME,))
    assert asked(tmp_path / "r", do="status")["over"] is True and (tmp_path / "r" / NAME).exists()
    assert asked(tmp_path / "r", do="forget", names=[NAME]) == {"missing": True} and not (tmp_path / "r").exists()


def test_one_whose_time_is_not_over_or_whose_guard_waits_to_remove_it_stays(tmp_path: Path) -> None:
    a_recorder(tmp_path / "r", ended_s=60.0)
    assert asked(tmp_path / "r", do="status")["over"] is False
    a_recorder(tmp_path / "s", ended_s=7200.0)
    guard = os.open(tmp_path / "s", os.O_RDONLY)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)
        assert asked(tmp_path / "s", do="status")["over"] is False
    finally:
        os.close(guard)


@pytest.mark.parametrize(
    ("journal", "wall"), [('m {"wall": 1}\nm {"wall": 2}\nm {"wal', 2), ('m {"wall": 1}\nm {"wm {"wall": 3}\nm 5', 1), ("m", None)]
)
def test_a_line_that_was_cut_keeps_no_status_from_being_told(journal: str, wall: int | None) -> None:
    assert control().last_told(journal).get("wall") == wall


HEADER = 'a {"t0": 1, "mono": 2, "wall": 1790000000, "series": ["c"], "why": "failed"}\n'


def test_an_incident_that_begins_on_a_full_disk_is_kept_from_when_there_is_room(tmp_path: Path, program, monkeypatch) -> None:
    disk(program, monkeypatch, [10, 1 << 30])
    one = program.Incident(str(tmp_path / NAME), 1000, HEADER)
    one.add("s 0 1000 2 a 3 \n")  # no room
    one.add("s 0 2000 2 a 3 \n")
    one.close()
    found = incident("h", NAME, (tmp_path / NAME).read_text())
    assert found is not None and len(found.samples["c"]) == 1 and one.lost == len("s 0 1000 2 a 3 \n")


def test_an_incident_of_which_nothing_could_be_written_leaves_no_file(tmp_path: Path, program, monkeypatch) -> None:
    disk(program, monkeypatch, [10])
    one = program.Incident(str(tmp_path / NAME), 1000, HEADER)
    one.add("s 0 1000 2 a 3 \n")
    one.close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_worker_left_open_is_closed_by_the_next_and_nothing_of_an_empty_one_stays(tmp_path: Path, program) -> None:
    (tmp_path / f"{NAME}.part").touch()
    (tmp_path / "incident-1790000000001.part").write_text(HEADER)
    program.close_parts(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["incident-1790000000001"]


def test_a_long_line_of_a_log_ends_at_a_blank(program) -> None:
    """What is in the middle of a secret would not be known for one."""
    told: list[str] = []
    log = program.Log(SimpleNamespace(event=lambda kind, text, **more: told.append(text)), "/nowhere")
    told.clear()  # that there is no such file
    start = "x" * (program.LONGEST_LINE - 20) + " login with"
    log.take(f"{start} Kn0wn-canary-of-some-length and more\nshort\n".encode())
    log.take(f"{start} Kn0wn-can".encode())  # and the rest of it comes later
    log.take(b"ary-of-some-length\n" + b"y" * 3000 + b"\n")
    assert told == [start, "short", start, "(3000 bytes without a blank left out here)"]
