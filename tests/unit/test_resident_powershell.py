"""The PowerShell that stays, against a stand-in for its loop over real pipes: many questions at once, limits, deaths, the fallback."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from powershell_stand_in import LONG_S, StandIn, record

from harness.core.deadline import Deadline
from harness.core.errors import BadUse, DeadlineExceeded, Unusable
from harness.hosts.host import CommandResult, HostUnreachable, NotReadable
from harness.hosts.windows import powershell_process, resident_powershell, script_runner
from harness.hosts.windows.resident_powershell import MAX_STUCK, NotResident
from harness.hosts.windows.script_protocol import IDLE_S, ScriptAnswer, first_line, read_line
from harness.hosts.windows.script_runner import ScriptFailed, ScriptRunner, ask, rows_of, runner_of


def process(number: int) -> dict:
    return {"Id": number, "Name": "x", "StartedAt": "2026-11-20T10:11:12.0000000Z"}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[StandIn]:
    for number in range(8):
        record(tmp_path, f"p{number}", "process", {"Id": number}, [process(number)])
    record(tmp_path, "hangs", "process", {"Id": 99}, hangs=True)
    record(tmp_path, "dies", "process", {"Id": 98}, dies=True)
    record(tmp_path, "dies-changing", "service-change", {"Name": "x", "Action": "stop"}, dies=True)
    made = StandIn(tmp_path)
    yield made
    runner_of(made).close()
    for one in made.processes:
        one.close()
        assert one.inner.wait(timeout=LONG_S) is not None, "it ends with its input"


def asked(host: StandIn) -> list[dict]:
    return [json.loads(line) for line in (host.folder / "asked.jsonl").read_text().splitlines()]


def test_many_questions_at_once_are_answered_by_one_process(host):
    host.greeting = "Willkommen auf lknode01\n{not an answer}"
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda n: rows_of(host, "process", {"Id": n % 8}, limit=LONG_S)[0]["Id"], range(64)))
    assert found == [n % 8 for n in range(64)]
    assert runner_of(host).starts == len(host.processes) == 1 and len({one["process"] for one in asked(host)}) == 1
    assert host.runs == 0 and runner_of(host).why_alone == ""


def test_a_hung_question_ends_at_its_limit_and_delays_no_other(host):
    rows_of(host, "process", {"Id": 1}, limit=LONG_S)
    with ThreadPoolExecutor(2) as pool:
        hung = pool.submit(ask, host, "process", {"Id": 99}, limit=4.0)
        for _ in range(20):
            rows_of(host, "process", {"Id": 2}, limit=LONG_S)
        assert not hung.done()
        with pytest.raises(DeadlineExceeded, match="process took longer than 4 s there and was ended"):
            hung.result(timeout=LONG_S)
    assert runner_of(host).starts == 1


def test_a_process_with_several_stuck_questions_is_replaced(host):
    rows_of(host, "process", {"Id": 1}, limit=LONG_S)
    for _ in range(MAX_STUCK):
        with pytest.raises(DeadlineExceeded):
            ask(host, "process", {"Id": 99}, limit=0.3)
    rows_of(host, "process", {"Id": 1}, limit=LONG_S)
    assert runner_of(host).starts == 2
    assert host.processes[0].inner.wait(timeout=LONG_S) == 0, "the first was closed when its last answer had come"


def test_one_that_died_is_started_again_and_asked_again_what_changes_nothing(host):
    rows_of(host, "process", {"Id": 1}, limit=LONG_S)
    host.processes[0].inner.kill()
    host.processes[0].inner.wait()
    assert rows_of(host, "process", {"Id": 1}, limit=LONG_S) and runner_of(host).starts == 2
    with pytest.raises(HostUnreachable, match="its PowerShell ended"):
        ask(host, "process", {"Id": 98}, limit=LONG_S)  # dies each time
    before = len(asked(host))
    with pytest.raises(HostUnreachable, match="whether service-change was done is unknown"):
        ask(host, "service-change", {"Name": "x", "Action": "stop"}, limit=LONG_S)
    assert len(asked(host)) == before + 1, "what changes something is asked once"
    assert rows_of(host, "process", {"Id": 1}, limit=LONG_S)


def test_where_none_stays_a_process_answers_each_question_and_that_is_said(host):
    host.resident = False
    assert rows_of(host, "process", {"Id": 1}, limit=LONG_S) and rows_of(host, "process", {"Id": 2}, limit=LONG_S)
    assert host.runs == 2 and runner_of(host).starts == 1
    assert runner_of(host).why_alone == "lknode01: its PowerShell ended; it said: no"
    with pytest.raises(DeadlineExceeded, match=r"took longer than 0\.5 s"):
        ask(host, "process", {"Id": 99}, limit=0.5)
    with pytest.raises(Unusable, match="its clock is not told: lknode01: its PowerShell ended"):
        runner_of(host).clock(limit=LONG_S)


def test_after_a_failed_start_another_is_tried_later_and_not_by_all(host, monkeypatch):
    """A PowerShell that could not start once (no room in TEMP, a slow boot) does not make the rest of the run cost a process a question."""
    monkeypatch.setattr(script_runner, "FIRST_RETRY_S", 0.0)
    monkeypatch.setattr(script_runner, "MAX_RETRY_S", 0.0)
    host.resident = False
    runner = runner_of(host)
    rows_of(host, "process", {"Id": 1}, limit=LONG_S)
    assert runner.why_alone and host.runs == 1 and runner.starts == 1
    host.resident = True
    rows_of(host, "process", {"Id": 1}, limit=LONG_S)
    assert runner.why_alone == "" and host.runs == 1 and runner.starts == 2
    assert runner.clock(limit=LONG_S).step


class NeverResident:
    """Counts how often a start was tried."""

    tries = 0

    def ask(self, *words: object, **more: object) -> None:
        self.tries += 1
        raise NotResident("lknode01: its PowerShell ended; it said: no")


def test_the_pauses_between_tries_grow_to_a_bound_and_one_question_tries(monkeypatch):
    class Pause:
        def __init__(self, seconds: float) -> None:
            self.seconds, self.expired = seconds, False
            pauses.append(self)

        def remaining(self) -> float:
            return self.seconds

    pauses: list[Pause] = []
    monkeypatch.setattr(script_runner, "Deadline", Pause)
    runner = ScriptRunner(object())
    runner._resident, runner._ask_alone = NeverResident(), lambda name, parameters, limit: ScriptAnswer(True)
    for _ in range(7):
        before = runner._resident.tries
        for _ in range(3):
            runner.ask("process", {"Id": 1}, limit=1.0)
        assert runner._resident.tries == before + 1, "the others do not wait for it"
        for pause in pauses:
            pause.expired = True
    assert sorted({pause.seconds for pause in pauses}) == [1.0, 30.0, 60.0, 120.0, 240.0, 480.0, 600.0]


class Deaf:
    """A PowerShell that is ready, and takes `lines` lines after that but no more until it is closed."""

    errors = ""

    def __init__(self, lines: int) -> None:
        self.left, self.closed, self.greets = lines + 1, threading.Event(), True

    def lines(self) -> Iterator[str]:
        if self.greets:
            yield '{"lkharness":1,"ready":true}'
        self.closed.wait(LONG_S)

    def send(self, data: bytes) -> None:
        self.left -= 1
        if self.left < 0:
            self.closed.wait(LONG_S)
            raise BrokenPipeError("the remote command has ended")

    def close(self) -> None:
        self.closed.set()


def test_a_full_channel_holds_up_nobody_beyond_his_limit_and_is_given_up(host, monkeypatch):
    """All who ask have their own limit, also those behind one whose line is not taken."""
    monkeypatch.setattr(resident_powershell, "SEND_TIMEOUT_S", 0.0)
    monkeypatch.setattr(resident_powershell, "ANSWER_MARGIN_S", 0.1)
    deaf, started = Deaf(0), host.start
    host.start = lambda command: deaf
    with ThreadPoolExecutor(8) as pool:
        found = [pool.submit(ask, host, "process", {"Id": 1}, limit=0.5) for _ in range(8)]
        late = Deadline(LONG_S)
        for one in found:
            assert isinstance(one.exception(timeout=late.remaining()), DeadlineExceeded | HostUnreachable)
    host.start = started
    assert rows_of(host, "process", {"Id": 1}, limit=LONG_S)
    assert deaf.closed.is_set()


def test_one_that_does_not_come_up_is_given_up_for_a_process_a_question(host, monkeypatch):
    mute = Deaf(0)
    mute.greets = False
    host.start = lambda command: mute
    with pytest.raises(DeadlineExceeded, match=r"was not ready within 0\.2 s"):
        ask(host, "process", {"Id": 1}, limit=0.2)
    monkeypatch.setattr(resident_powershell, "START_TIMEOUT_S", 0.0)
    with contextlib.suppress(DeadlineExceeded):
        ask(host, "process", {"Id": 1}, limit=0.2)
    assert mute.closed.is_set() and "not ready within 0 s" in runner_of(host).why_alone
    assert rows_of(host, "process", {"Id": 1}, limit=LONG_S) and host.runs


def test_a_host_that_is_not_reached_is_not_taken_for_one_without_powershell(host):
    def unreachable(command: str) -> None:
        raise HostUnreachable("lknode01: no answer from 10.20.1.11:22")

    host.start, started = unreachable, host.start
    with pytest.raises(HostUnreachable, match="no answer from"):
        ask(host, "process", {"Id": 1}, limit=LONG_S)
    host.start = started
    assert rows_of(host, "process", {"Id": 1}, limit=LONG_S) and runner_of(host).why_alone == "" and host.runs == 0


@pytest.mark.parametrize("fault", [RuntimeError("a fault of ours"), RecursionError("deep")])
def test_whatever_ends_the_reading_is_told_to_those_who_wait(host, monkeypatch, fault):
    rows_of(host, "process", {"Id": 1}, limit=LONG_S)

    def broken(text: str) -> None:
        raise fault

    monkeypatch.setattr(powershell_process, "read_line", broken)
    with pytest.raises(HostUnreachable, match=f"{type(fault).__name__}: {fault}"):
        ask(host, "service-change", {"Name": "x", "Action": "start"}, limit=LONG_S)
    monkeypatch.undo()
    assert rows_of(host, "process", {"Id": 1}, limit=LONG_S) and runner_of(host).starts == 2


def test_the_clock_tells_its_step(host):
    (host.folder / "clock").write_text("600")
    read = runner_of(host).clock(limit=LONG_S)
    assert 599 < read.clock - time.time() < 601 and read.step == 0.015625 and read.asked <= read.answered


def test_what_does_not_fit_is_never_sent(host):
    with pytest.raises(BadUse, match="lknode01: process has no parameter Nmae"):
        ask(host, "process", {"Id": 1, "Nmae": "x"})
    assert host.processes == []


@pytest.mark.parametrize(
    ("exit", "out", "err", "why"),
    [
        (127, "", "sh: powershell: not found", "`powershell` does not start there"),
        (1, "", "'powershell' is not recognized as an internal or external command", "is PowerShell on its PATH"),
        (0, '{"lkharness":1,"ready":false,"error":"LanguageMode","message":"ConstrainedLanguage"}', "", "runs in ConstrainedLanguage mode"),
        (
            1,
            "",
            'Der Befehl "powershell" ist entweder falsch geschrieben oder\nkonnte nicht gefunden werden.',
            "`powershell` does not start there",
        ),
        (1, "", "\u00abpowershell\u00bb no se reconoce como un comando", "is PowerShell on its PATH"),
        (1, "", "PowerShell: System.OutOfMemoryException", "gave no answer (exit 1); it said: PowerShell: System.OutOfMemory"),
        (5, "Willkommen\n", "", "gave no answer (exit 5); it said: Willkommen"),
        (0, "", "", "it said: nothing"),
    ],
)
def test_sick_hosts_are_one_sentence(host, exit, out, err, why):
    host.resident, host.alone = False, CommandResult("lknode01", "", exit, out, err, 0.0, 0.0)
    with pytest.raises((Unusable, NotReadable)) as caught:
        ask(host, "process", {"Id": 1}, limit=LONG_S)
    assert why in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "more", "why"),
    [
        ("Windows System Error 5,Get-NetAdapter", {}, "is the account an administrator there?"),
        ("HRESULT 0x80070005,Microsoft.Management", {}, "is the account an administrator there?"),
        ("System.InvalidOperationException,Microsoft.PowerShell.Commands.GetServiceCommand", {}, "is the account an administrator there?"),
        ("FolderNotMade", {}, "is the account an administrator there?"),
        ("CouldNotAutoloadMatchingModule", {"missing": ["Get-NetAdapter"]}, "does its execution policy (group policy) bar"),
        ("CommandNotFoundException", {"missing": ["Get-NetAdapter"]}, "Get-NetAdapter is not known there"),
        ("Missing", {"missing": ["there is no service x"]}, "error: there is no service x"),
    ],
)
def test_an_error_is_one_sentence_with_what_to_do(host, error, more, why):
    said = {"ok": False, "error": error, "message": "Zugriff\r\nverweigert", "missing": [], "warnings": [], "rows": []} | more
    record(host.folder, "bad", "process", {"Id": 50}, answer=said)
    with pytest.raises(ScriptFailed) as caught:
        rows_of(host, "process", {"Id": 50}, limit=LONG_S)
    assert why in str(caught.value) and "\n" not in str(caught.value)


def test_no_row_is_an_answer_only_where_the_contract_says_so(host):
    record(host.folder, "gone", "process", {"Id": 51})
    record(host.folder, "none", "host", {})
    assert rows_of(host, "process", {"Id": 51}, limit=LONG_S) == ()
    with pytest.raises(NotReadable, match="answered without a row, which it never does"):
        rows_of(host, "host", limit=LONG_S)


def test_a_row_that_is_not_as_the_contract_says_is_no_answer(host):
    """A stand-in, or another Windows, whose object lacks a property: nobody takes a null for a text."""
    record(host.folder, "odd", "process", {"Id": 52}, [{"Id": 52, "Name": None, "StartedAt": None}])
    with pytest.raises(NotReadable, match="the script process answered what it never does: a row garbles Name: None is no text"):
        rows_of(host, "process", {"Id": 52}, limit=LONG_S)


def test_an_answer_is_found_behind_what_was_printed_before_in_its_line():
    """A prompt, or a native program that does not end its line (WHST-30)."""
    line = read_line('PS C:\\> {"lkharness":1,"id":7,"clock":1.5,"step":0.0}')
    assert line is not None and (line.id, line.clock) == (7, 1.5)


def test_one_that_may_end_by_itself_is_not_asked_any_more(host, monkeypatch):
    """Unasked for five minutes it ends; a change that is sent in that moment would be done or not, and nobody would know."""
    rows_of(host, "process", {"Id": 1}, limit=LONG_S)
    monkeypatch.setattr(resident_powershell, "MAX_UNASKED_S", 0.0)
    assert rows_of(host, "process", {"Id": 2}, limit=LONG_S) and runner_of(host).starts == 2
    assert host.processes[0].inner.wait(timeout=LONG_S) == 0
    monkeypatch.undo()
    assert rows_of(host, "process", {"Id": 3}, limit=LONG_S) and runner_of(host).starts == 2
    assert 0 < resident_powershell.MAX_UNASKED_S < IDLE_S == json.loads(first_line(once=False))["idle"]


def test_one_with_a_question_under_way_is_not_given_up_as_unasked(host, monkeypatch):
    rows_of(host, "process", {"Id": 1}, limit=LONG_S)
    monkeypatch.setattr(resident_powershell, "MAX_UNASKED_S", 0.0)
    with ThreadPoolExecutor(1) as pool:
        hung = pool.submit(ask, host, "process", {"Id": 99}, limit=3.0)
        Deadline(LONG_S).wait_for(lambda: any(one["parameters"] == {"Id": 99} for one in asked(host)), what="the question", every=0.02)
        started = runner_of(host).starts
        assert rows_of(host, "process", {"Id": 2}, limit=LONG_S) and runner_of(host).starts == started
        with pytest.raises(DeadlineExceeded):
            hung.result(timeout=LONG_S)


@pytest.mark.parametrize("line", ["", "PS C:\\>", '{"x":1}', "[1]", '\ufeff{"lkharness":2}'])
def test_a_line_that_is_no_answer_is_passed_over(line):
    assert read_line(line) is None


@pytest.mark.parametrize(
    "rest", ["}", ',"id":1}', ',"id":1,"answer":[]}', ',"id":"x","answer":{}}', ',"id":1,"answer":{"ok":true}}', ',"id":1,"clock":"x"}']
)
def test_half_an_answer_is_said_to_be_one(rest):
    with pytest.raises(NotReadable):
        read_line('{"lkharness":1' + rest)
