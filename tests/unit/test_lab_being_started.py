"""A lab that is being brought up is nobody else's: `lab down`, `clean` and another `up` of its name leave its folder alone, and say so."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli import main
from harness.commands.lab import lab
from harness.core.errors import Unusable
from harness.lab.control import lab_registry
from harness.lab.lifecycle import default_cluster, doctor, launch


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "demand", lambda *_, **__: None)
    monkeypatch.setattr(lab, "_remove_orphans", list)  # no container engine is asked
    return tmp_path / "lkharness" / "labs"


def while_starting(monkeypatch: pytest.MonkeyPatch, do: Callable[[], None]) -> None:
    """Bring a lab up; in the middle of it this is done, and then it fails."""

    def prepare(data: dict, name: str, folder: Path, **_: object) -> dict:
        do()
        assert folder.is_dir(), "its folder is as it was"
        raise Unusable("that was all")

    monkeypatch.setattr(launch, "_prepare", prepare)
    with pytest.raises(Unusable, match="that was all"):
        launch.up(default_cluster.cluster_data(), name="one", persistent=True)


@pytest.mark.parametrize(
    ("words", "code"), [(("lab", "down", "--name", "one"), 4), (("lab", "up", "--name", "one"), 2), (("lab", "clean"), 0)], ids=str
)
def test_others_leave_it_alone_and_say_so(monkeypatch, capsys, state, words, code):
    def others() -> None:
        (state / "dead").mkdir()
        assert main(list(words)) == code
        said = capsys.readouterr()
        told = (said.out + said.err).strip()
        assert "Traceback" not in told and len(told.splitlines()) == 1
        assert ("is being brought up" in told and "wait for its end" in told) if code else ("'dead'" in told and "'one'" not in told)

    while_starting(monkeypatch, others)
    assert not (state / "one").exists()
    assert main(["lab", "down", "--name", "one"]) == 2, "nothing of it is there any more"


def test_who_is_killed_while_bringing_one_up_holds_nothing(state):
    (state / "one").mkdir(parents=True)
    code = "import sys, pathlib; from harness.lab.control import lab_registry\n"
    code += "with lab_registry.owned(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", code, str(state / "one")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin and holder.stdout and holder.stdout.readline() == b"held\n"
    assert lab_registry.read(state / "one").starting and main(["lab", "down", "--name", "one"]) == 4
    holder.kill()
    holder.wait()
    assert not lab_registry.read(state / "one").starting and main(["lab", "down", "--name", "one"]) == 0
    assert not (state / "one").exists()
    holder.stdin.close()
    holder.stdout.close()


def test_a_lab_whose_folder_somebody_removed_is_ended_all_the_same(state):
    """And a folder that was made anew meanwhile is not the one that was meant."""
    (state / "one").mkdir(parents=True)
    first = subprocess.Popen(["sleep", "600"])
    record = lab_registry.LabRecord("one", state / "one", first.pid, lab_registry.start_ticks(first.pid))
    (state / "one").rmdir()
    record.end()
    assert first.wait() < 0


def test_a_folder_that_was_made_anew_is_not_the_one_that_was_held(state, monkeypatch):
    folder = state / "one"
    folder.mkdir(parents=True)
    real = os.open

    def slow(path: object, flags: int, *more: int) -> int:
        opened = real(path, flags, *more)  # type: ignore[call-overload]
        folder.rmdir()
        folder.with_name("other").mkdir()
        folder.mkdir()
        return opened

    monkeypatch.setattr(os, "open", slow)
    with pytest.raises(FileNotFoundError), lab_registry.owned(folder):
        raise AssertionError("it was held")
