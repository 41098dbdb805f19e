"""The PowerShell that stays, against a stand-in for its loop over real pipes: many questions at once, limits, deaths, the fallback."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.core.errors import BadUse, DeadlineExceeded, Unusable
from harness.hosts.host import CommandResult, HostUnreachable, NotReadable
from harness.hosts.windows.resident_powershell import MAX_STUCK
from harness.hosts.windows.script_protocol import read_line
from harness.hosts.windows.script_runner import ScriptFailed, ask, rows_of, runner_of

LOOP = Path(__file__).parents[1] / "powershell_loop.py"
LONG_S = 120.0


class Pipes:
    """A process on real pipes."""

    def __init__(self, words: list[str]) -> None:
        self.inner = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def lines(self) -> Iterator[str]:
        for line in self.inner.stdout:
            yield line.decode().rstrip("\r\n")

    def send(self, data: bytes) -> None:
        self.inner.stdin.write(data)
        self.inner.stdin.flush()

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.inner.stdin.close()


class StandIn:
    """A host whose PowerShell is the stand-in; `greeting` is what a profile prints, `resident` whether one may stay."""

    def __init__(self, folder: Path) -> None:
        self.name, self.folder = "lknode01", folder
        self.greeting, self.resident, self.processes, self.runs = "", True, [], 0
        self.alone: CommandResult | None = None

    def start(self, command: str) -> Pipes:
        code = (
            "import sys;print(sys.argv[1])"
            if not self.resident
            else f"import runpy,sys;print({self.greeting!r});sys.argv[1:]=sys.argv[2:];runpy.run_path({str(LOOP)!r},run_name='__main__')"
        )
        self.processes.append(Pipes([sys.executable, "-u", "-c", code, "no", str(self.folder)]))
        return self.processes[-1]

    def run(self, command: str, *, limit: float, input: bytes) -> CommandResult:
        self.runs += 1
        if self.alone is not None:
            return self.alone
        words = [sys.executable, str(LOOP), str(self.folder)]
        try:
            done = subprocess.run(words, input=input, capture_output=True, timeout=limit)
        except subprocess.TimeoutExpired as error:
            raise DeadlineExceeded("too long") from error
        return CommandResult(self.name, command, done.returncode, done.stdout.decode(), done.stderr.decode(), 0.0, 0.0)


def record(folder: Path, name: str, script: str, parameters: dict, rows: list[dict] | None = None, **how: object) -> None:
    said = {"ok": True, "error": None, "message": None, "missing": [], "warnings": [], "rows": rows or []}
    (folder / f"{name}.json").write_text(json.dumps({"script": script, "parameters": parameters, "answer": said} | how))


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


@pytest.mark.parametrize("line", ["", "PS C:\\>", '{"x":1}', "[1]", '\ufeff{"lkharness":2}'])
def test_a_line_that_is_no_answer_is_passed_over(line):
    assert read_line(line) is None


@pytest.mark.parametrize(
    "rest", ["}", ',"id":1}', ',"id":1,"answer":[]}', ',"id":"x","answer":{}}', ',"id":1,"answer":{"ok":true}}', ',"id":1,"clock":"x"}']
)
def test_half_an_answer_is_said_to_be_one(rest):
    with pytest.raises(NotReadable):
        read_line('{"lkharness":1' + rest)
