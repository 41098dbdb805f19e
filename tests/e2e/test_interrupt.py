"""Ctrl-C and SIGTERM, at any moment of an acceptance run: it ends by itself, leaves nothing behind and still writes the report."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_shell import Shell, Traces, shell_in

from harness.core.deadline import Deadline
from harness.lab.control import lab_registry
from tests.pytest_process import PYTEST

SUITE = "tests/acceptance"
ENDS_WITHIN_S = 240.0  # evidence, undoing and teardown; about one second on an idle machine


@pytest.fixture
def shell(tmp_path) -> Iterator[Shell]:
    with shell_in(tmp_path / "state") as one:
        yield one


class Running:
    """An acceptance run that is under way."""

    def __init__(self, shell: Shell, reports: Path, *tests: str, forked: bool = False) -> None:
        self._reports = reports
        self._shell = shell
        begin = shell.begin_forked if forked else shell.begin
        self.process = begin(*PYTEST, "-p", "tests.e2e.one_service", "-q", "--reports", reports, *tests)

    def until(self, what: str, seen) -> None:
        """Wait for a moment of the run."""
        Deadline(120).wait_for(lambda: seen(self) or self.process.poll() is not None, what=what, every=0.05)
        assert self.process.poll() is None, self.process.communicate()

    def says(self, text: str) -> bool:
        """Is this in its timeline?"""
        return any(text in file.read_text() for file in self._reports.glob("2*/timeline.jsonl"))

    def lab(self) -> int | None:
        """The first process of its lab."""
        return next((r.pid for f in self._shell.labs.glob("run-*") if (r := lab_registry.read(f)).alive), None)

    def end(self, number: signal.Signals) -> tuple[int, str, str]:
        self.process.send_signal(number)
        try:
            out, err = self.process.communicate(timeout=ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the run did not end within {ENDS_WITHIN_S:g} s of {number.name}")
        return self.process.returncode, out, err

    def record(self) -> dict:
        (folder,) = self._reports.glob("2*")
        html = (folder / "report.html").read_text()
        assert "interrupted" in html and (folder / "junit.xml").stat().st_size
        assert (self._reports / "latest").resolve() == folder
        return json.loads((folder / "run.json").read_text())


MOMENTS = {
    "bring-up": (f"{SUITE}/test_client_path.py", lambda run: run.lab() is not None),
    "a path test": (f"{SUITE}/test_client_path.py", lambda run: run.says("begins: From the client")),
    "a switchover": (f"{SUITE}/test_switching.py", lambda run: run.says("switchover of lknode01 begins")),
}


USUAL = {("bring-up", signal.SIGINT), ("a path test", signal.SIGTERM), ("a switchover", signal.SIGINT)}  # each moment, and each signal
ENDINGS = [
    pytest.param(moment, number, marks=() if (moment, number) in USUAL else pytest.mark.deep, id=f"{moment}-{number.name}")
    for moment in MOMENTS
    for number in (signal.SIGINT, signal.SIGTERM)
]


@pytest.mark.parametrize(("moment", "number"), ENDINGS)
def test_ends_by_itself(shell: Shell, tmp_path: Path, moment: str, number: signal.Signals):
    """Bounded time, no lab, no process, no folder, and a report that says that it was interrupted."""
    tests, seen = MOMENTS[moment]
    # One of them as a new interpreter, whose own matter Ctrl-C is as well.
    run = Running(shell, tmp_path / "reports", tests, forked=(moment, number) != ("a switchover", signal.SIGINT))
    run.until(moment, seen)
    pid = run.lab()
    assert pid is not None
    traces = Traces(shell, pid)
    assert traces.namespaces
    code, out, err = run.end(number)
    traces.gone()
    assert shell.folders() == []
    record = run.record()
    assert record["state"] == "interrupted"
    assert code == record["exit_code"] == 3, (code, record["exit_code"], out, err)
    assert "interrupted" in record["verdict"]["reason"]
    assert "Traceback" not in err


def test_a_second_ctrl_c_does_not_leave_the_lab(shell: Shell, tmp_path: Path):
    """Somebody who presses it again while the run is winding up loses the report at most, never the clean-up."""
    run = Running(shell, tmp_path / "reports", f"{SUITE}/test_switching.py")
    run.until("a switchover", MOMENTS["a switchover"][1])
    pid = run.lab()
    assert pid is not None
    traces = Traces(shell, pid)
    run.process.send_signal(signal.SIGINT)
    Deadline(120).wait_for(lambda: run.says("interrupt") or run.process.poll() is not None, what="the run winding up", every=0.02)
    run.end(signal.SIGINT)
    traces.gone()
    assert shell.lkharness("lab", "clean").returncode == 0
    assert [f for f in shell.folders() if not f.endswith(".failed.log")] == []


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGHUP, pytest.param(signal.SIGTERM, marks=pytest.mark.deep)], ids=lambda s: s.name
)
def test_lab_up_interrupted(shell: Shell, number: signal.Signals):
    """`lab up` that is interrupted while it works leaves neither a lab nor its folder."""
    up = shell.begin("-m", "harness.cli", "lab", "up", "--name", "halfway")
    pid = Deadline(120).wait_for(lambda: lab_registry.read(shell.labs / "halfway").pid or up.poll(), what="the lab's network", every=0.01)
    traces = Traces(shell, pid)
    up.send_signal(number)
    _, err = up.communicate(timeout=120)
    if up.returncode != 0:  # otherwise it was up before the signal came
        assert up.returncode == 130 and "lkharness: interrupted; nothing was left behind" in err
        traces.gone()
        assert "halfway" not in shell.folders()
    assert "Traceback" not in err
