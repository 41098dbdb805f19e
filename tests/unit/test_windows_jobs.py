"""Commands that change a Windows cluster: started once, followed without a limit on the host, and collected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, Unusable
from harness.hosts.detached_jobs import JobLost, StillRunning
from harness.hosts.host import HostUnreachable
from harness.hosts.windows import windows_jobs
from harness.hosts.windows.script_contract import contract_of, misfit, refusal
from harness.hosts.windows.script_protocol import ScriptAnswer

LONG_S = 120.0
LOST = HostUnreachable("lknode02: the connection broke")


class Scripts:
    """Stands for a host and its scripts: `plays` says for each look what the job's state is, or raises."""

    name = "lknode02"

    def __init__(self, *plays: object) -> None:
        self.windows_script_runner = self
        self.plays, self.asked, self.names = list(plays), [], []
        self.start: Callable[[], ScriptAnswer] = lambda: ScriptAnswer(True, rows=({"Name": self.names[0], "Again": False},))
        self.there = True

    def ask(self, name: str, parameters: dict[str, Any], *, limit: float) -> ScriptAnswer:
        assert refusal(name, parameters) == ""
        self.asked.append(name)
        if parameters.get("Name"):
            self.names.append(parameters["Name"])
        answer = {"job-start": lambda: self.start(), "job-state": self._state, "job-remove": self._remove}[name]()
        assert not any(misfit(contract_of(name), row) for row in answer.rows)
        return answer

    def _state(self) -> ScriptAnswer:
        play = self.plays.pop(0) if len(self.plays) > 1 else self.plays[0]
        if isinstance(play, Exception):
            raise play
        row = {"Name": self.names[0] if self.names else "0" * 12, "Line": LINE, "State": play, "Exit": None, "Text": "restored"}
        return ScriptAnswer(True, rows=({**row, "Exit": 3 if play == "ended" else None},) if play else ())

    def _remove(self) -> ScriptAnswer:
        self.there = False
        return ScriptAnswer(True, rows=({"Name": self.names[0], "Removed": True},))


LINE = "perform_action -t it's -a restore"


def run(host: Scripts, seconds: float = LONG_S):
    words = ["-t", "it's", "-a", "restore"]
    return windows_jobs.run_to_its_end(host, r"C:\LK\Bin\perform_action.exe", words, r"C:\LK\Bin", LINE, Deadline(seconds))  # type: ignore[arg-type]


def test_it_is_followed_to_its_end_and_collected():
    host = Scripts("starting", "running", "ended")
    done = run(host)
    assert (done.exit, done.out, done.command) == (3, "restored", LINE)
    assert len(set(host.names)) == 1 and host.asked.count("job-start") == 1 and not host.there


def test_a_deadline_ends_the_waiting_and_nothing_else():
    host = Scripts("running")
    with pytest.raises(StillRunning, match="has not ended within 1 s; it was not ended, and goes on there"):
        run(host, 1.0)
    assert set(host.asked) == {"job-start", "job-state"} and host.there
    assert windows_jobs.unfinished_commands(host) == [LINE]  # type: ignore[arg-type]


def test_a_connection_that_is_lost_meanwhile_is_none_of_its_business():
    host = Scripts(LOST, DeadlineExceeded("lknode02: the question job-state took longer than 20 s"), "running", LOST, "ended")
    assert run(host).exit == 3 and host.asked.count("job-start") == 1


@pytest.mark.parametrize("error", [LOST, DeadlineExceeded("lknode02: the question job-start took longer than 90 s")])
def test_where_the_answer_to_the_start_is_lost_the_job_s_name_tells(error):
    def lost() -> ScriptAnswer:
        raise error

    host = Scripts("running", "ended")
    host.start = lost
    assert run(host).exit == 3 and host.asked.count("job-start") == 1
    for plays in ("", LOST):
        host = Scripts(plays)
        host.start = lost
        with pytest.raises(HostUnreachable, match="whether `perform_action -t it's -a restore` was started there is unknown"):
            run(host)


@pytest.mark.parametrize(
    ("play", "error", "why"),
    [
        ("gone", JobLost, "neither ended nor runs; was the host reset"),
        ("", JobLost, "neither ended nor runs"),
        ("failed", Unusable, "could not be run: restored"),
        ("strange", Unusable, "cannot be read: strange"),
    ],
)
def test_what_became_of_it_otherwise(play, error, why):
    with pytest.raises(error, match=why):
        run(Scripts(play))


def test_a_host_that_lets_none_start_says_so():
    host = Scripts("")
    host.start = lambda: ScriptAnswer(False, "WMI made no process (Win32_Process.Create returned 2)", "WMI made no process")
    with pytest.raises(Unusable, match="was not started: WMI made no process"):
        run(host)
    assert host.asked == ["job-start"]


def test_what_has_ended_is_not_unfinished():
    for play in ("ended", "failed", "gone", ""):
        assert windows_jobs.unfinished_commands(Scripts(play)) == []  # type: ignore[arg-type]
