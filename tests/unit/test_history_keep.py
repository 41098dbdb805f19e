"""How long evidence is kept: what is packed and removed, that nothing else is touched, and that everything can still be read."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from history_sample import a_night, some_figures
from recordings import a_switchover, store

from harness import cli
from harness.core.errors import BadUse
from harness.core.files import open_text, write_atomically
from harness.core.time_span import DAY_S, parse_time_span
from harness.history import run_removal
from harness.history.retention_plan import DEFAULT_SPANS, Keep, Step, StoredFolder, plan
from harness.history.run_removal import carry_out, own_file
from harness.remote.recording.recording import read
from harness.report.run_reader import load_record, load_timeline

KEEP = Keep(*(parse_time_span("--keep", span) for span in DEFAULT_SPANS))  # the bar of a year is of the default


@pytest.mark.parametrize("words", [("--keep", "3m"), ("--keep", "23h"), ("--keep", "90d", "--keep-failed", "3m")])
def test_what_was_meant_as_months_is_refused(tmp_path, words, capsys):
    a_night(tmp_path, 0, [some_figures([1.0])])
    assert cli.main(["history", str(tmp_path), *words, "--yes"]) == 2
    assert "is too short; write 1d or more" in capsys.readouterr().err


def a_folder(age: float, *, passed=True, entered=True, newest=False) -> StoredFolder:
    files = {"run.json": 9, "report.html": 5, "timeline.jsonl": 4, "evidence/01-x/lknode01.pcapng": 7, "evidence/s.tar.gz": 3}
    return StoredFolder("a", passed, age * DAY_S, entered, newest, files)


@pytest.mark.parametrize(
    ("run", "removed", "packed"),
    [
        (a_folder(0.5), 0, 0),
        (a_folder(2), 0, 3),  # run.json, the timeline, the capture; an archive is packed already
        (a_folder(91), 4, 1),
        (a_folder(31), 1, 3),  # the page
        (a_folder(91, passed=False), 1, 3),
        (a_folder(366, passed=False), 4, 1),
        (a_folder(999, entered=False), 0, 0),
        (a_folder(999, newest=True), 0, 0),
    ],
)
def test_what_is_planned_by_age_and_outcome(run, removed, packed):
    steps = plan([run], KEEP)
    assert [sum(not s.pack for s in steps), sum(s.pack for s in steps)] == [removed, packed]
    assert not any(s.file == "run.json" and not s.pack for s in steps)


def nights_with_evidence(reports: Path) -> list[Path]:
    """Nights of 400, 100, 10 and 0 days ago, with a recording, and with what is not the harness's own."""
    first = datetime(2026, 1, 1, 2, 0, tzinfo=UTC)
    made = []
    for age in (400, 100, 10, 0):
        number = (datetime.now(UTC) - first - timedelta(days=age)).days
        folder = a_night(reports, number, [some_figures([1.0, 1.1])])
        (folder / "evidence" / "01-switchover").mkdir(parents=True)
        store(a_switchover(), folder / "evidence" / "01-switchover" / "recording.jsonl")
        (folder / "evidence" / "01-switchover" / "lknode01.pcapng").write_bytes(b"packets " * 5000)
        data = json.loads((folder / "run.json").read_text())
        found = [p for p in (folder / "evidence").rglob("*") if p.is_file()]
        data["evidence"] = [{"path": p.relative_to(folder).as_posix(), "bytes": p.stat().st_size} for p in found]
        (folder / "run.json").write_text(json.dumps(data))
        for name in ("report.html", "timeline.jsonl", "my-notes.txt", "evidence/mine.txt"):
            (folder / name).write_text("x" * 100)
        made.append(folder)
    return made


def listing(reports: Path) -> dict[str, bytes]:
    return {p.relative_to(reports).as_posix(): p.read_bytes() for p in sorted(reports.rglob("*")) if p.is_file() and p.parent != reports}


def test_a_folder_of_evidence_that_was_emptied_goes_with_all_above_it(tmp_path, capsys):
    """Whichever of its files is looked at first."""
    oldest, *_ = nights_with_evidence(tmp_path)
    (oldest / "evidence" / "mine.txt").unlink()
    deep = oldest / "evidence" / "02-power-loss" / "more"
    deep.mkdir(parents=True)
    for name in ("lknode01-manager.log", "02-power-loss/lknode01.log", "02-power-loss/more/x.log"):
        (oldest / "evidence" / name).write_text("x")
    data = json.loads((oldest / "run.json").read_text())
    found = [p for p in (oldest / "evidence").rglob("*") if p.is_file()]
    data["evidence"] = [{"path": p.relative_to(oldest).as_posix(), "bytes": p.stat().st_size} for p in found]
    (oldest / "run.json").write_text(json.dumps(data))
    assert cli.main(["history", str(tmp_path), "--keep", "300d", "--yes"]) == 0, capsys.readouterr()
    assert not (oldest / "evidence").exists() and (oldest / "my-notes.txt").exists()


def test_nothing_is_done_without_a_yes(tmp_path, capsys):
    nights_with_evidence(tmp_path)
    before = listing(tmp_path)
    assert cli.main(["history", str(tmp_path), "--keep", "90d"]) == 0
    told = capsys.readouterr().out
    assert "remove 4 files" in told and "nothing was done; --yes does it" in told
    assert cli.main(["history", str(tmp_path), "--keep", "90d", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kept"]["done"] is False
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "oldest_failed", "old_passed"),
    [(["--keep", "default"], True, True), (["--keep", "default", "--keep-failed", "2y"], False, True), (["--keep", "2y"], False, False)],
)
def test_the_default_is_90_days_and_a_year_of_what_failed(tmp_path, capsys, words, oldest_failed, old_passed):
    oldest, old, *_ = nights_with_evidence(tmp_path)  # 400 and 100 days old
    data = json.loads((oldest / "run.json").read_text())
    (oldest / "run.json").write_text(json.dumps({**data, "verdict": {"outcome": "fail", "reason": "out"}, "exit_code": 1}))
    assert cli.main(["history", str(tmp_path), *words, "--json"]) == 0
    steps = json.loads(capsys.readouterr().out)["kept"]["steps"]
    gone = {step["file"].partition("/")[0] for step in steps if not step["pack"] and "/evidence/" in step["file"]}
    assert gone == {folder.name for folder, goes in ((oldest, oldest_failed), (old, old_passed)) if goes}


def test_old_evidence_goes_the_rest_is_packed_and_everything_can_be_read_as_before(tmp_path, capsys):
    oldest, old, packed, newest = nights_with_evidence(tmp_path)
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "precious.pcapng").write_text("precious")
    (oldest / "evidence" / "linked").symlink_to(outside)
    data = json.loads((oldest / "run.json").read_text())
    data["evidence"] += [
        {"path": p, "bytes": 1} for p in ("evidence/linked/precious.pcapng", "evidence/../../x", "../x", "/etc/passwd", "my-notes.txt")
    ]
    (oldest / "run.json").write_text(json.dumps(data))
    copied = tmp_path / "20200101T000000.000Z-beef"  # by another name than its own
    shutil.copytree(old, copied)
    untouched = listing(newest), listing(copied)
    recording = read(packed / "evidence" / "01-switchover" / "recording.jsonl")
    record = load_record(packed).model_dump()
    assert cli.main(["history", str(tmp_path), "--keep", "90d", "--keep-failed", "1y", "--yes"]) == 0
    assert (outside / "precious.pcapng").read_text() == "precious"
    assert (listing(newest), listing(copied)) == untouched
    for folder in (oldest, old):
        assert {p.name for p in folder.iterdir()} == {"run.json.xz", "my-notes.txt", "evidence"}
        assert (folder / "evidence" / "mine.txt").exists() and not (folder / "evidence" / "01-switchover").exists()
        assert not (folder / "report.html").exists() and load_record(folder).run_id == folder.name
    assert not (packed / "run.json").exists() and load_record(packed).model_dump() == record
    assert read(packed / "evidence" / "01-switchover" / "recording.jsonl") == recording
    assert load_timeline(packed)[1] == ["timeline.jsonl: 1 of 1 lines cannot be read (line 1)"]  # as it was written above
    assert (packed / "report.html").exists() and (packed / "evidence" / "01-switchover" / "lknode01.pcapng.xz").stat().st_size < 1000
    capsys.readouterr()
    assert cli.main(["history", str(tmp_path), "--keep", "90d", "--keep-failed", "1y", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["kept"]["steps"] == [] and len(told["runs"]) == 4  # a second time there is nothing to do; the figures are there


def test_a_packed_file_that_is_damaged_is_one_sentence(tmp_path):
    (tmp_path / "run.json.xz").write_bytes(b"\xfd7zXZ\x00 and nothing more")
    with pytest.raises(BadUse, match="cannot be read"):
        load_record(tmp_path)
    with pytest.raises(OSError, match="damaged"):
        open_text(tmp_path / "run.json").read()


def test_what_changed_since_it_was_listed_is_left_and_told(tmp_path):
    folder = tmp_path / "a"
    (folder / "evidence").mkdir(parents=True)
    (tmp_path / "other").write_text("precious")
    (folder / "evidence" / "x").symlink_to(tmp_path / "other")
    (told,) = carry_out(tmp_path, [Step("a", "evidence/x", 1, pack=False)])
    assert "was left" in told and os.path.lexists(folder / "evidence" / "x") and (tmp_path / "other").exists()
    assert own_file(folder, "../other") is None and own_file(folder, "") is None and own_file(folder, str(tmp_path / "other")) is None


@pytest.mark.parametrize("words", [["--keep", "soon"], ["--keep", "1y", "--keep-failed", "90d"], ["--keep-failed", "1y"], ["--yes"]])
def test_bad_use_is_one_sentence_and_exit_2(tmp_path, capsys, words):
    assert cli.main(["history", str(tmp_path), *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_year_of_nights_stays_below_two_gigabytes_with_the_sizes_that_were_measured():
    """Bytes a measured disruption of the lab (three services and paths, 10 ms), as made and packed: captures and recording, run.json, page.

    A night is 88 of them (22 disruptions, four times: 110 MB), one in ten fails.
    """
    evidence, small = 569_952 + 683_892, 62_000 + 62_688
    record, small_record, page = 4_566_564 / 57, 284_468 / 57, 2_809_998 / 57
    per_night = 88
    year = 0.0
    for day in range(365):
        failed = day % 10 == 0
        steps = plan([a_folder(day, passed=not failed)], KEEP)
        removed, packed = {s.file for s in steps if not s.pack}, any(s.pack for s in steps)
        kept = 0 if "evidence/01-x/lknode01.pcapng" in removed else small if packed else evidence
        year += per_night * (kept + (0 if "report.html" in removed else page) + (small_record if packed else record))
    assert year <= 2e9
    print(f"{year / 1e9:.2f} GB")


@pytest.mark.parametrize("again", [1, 2])
def test_what_is_written_while_it_is_packed_is_not_lost(tmp_path, monkeypatch, again):
    """A judgement that is written in that moment stays, and is what is read."""
    folder = tmp_path / "20260101T000000.000Z-0001"
    folder.mkdir()
    record = folder / "run.json"
    record.write_text("old")
    copied = shutil.copyfileobj

    def meanwhile(*files) -> None:
        copied(*files)
        for number in range(again):
            write_atomically(record, f"new {number}")

    monkeypatch.setattr(run_removal.shutil, "copyfileobj", meanwhile)
    faults = run_removal.carry_out(tmp_path, [Step(folder.name, "run.json", 3, pack=True)])
    assert faults == [f"{folder.name}/run.json: was written again while it was packed, and was left"]
    with open_text(record) as file:
        assert file.read() == f"new {again - 1}"
    monkeypatch.undo()
    assert run_removal.carry_out(tmp_path, [Step(folder.name, "run.json", 3, pack=True)]) == [] and not record.exists()
    with open_text(record) as file:
        assert file.read() == f"new {again - 1}"
