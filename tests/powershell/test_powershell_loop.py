"""The loop on PowerShell itself: many at once, limits, its end; and the ways by which sshd starts it."""

from __future__ import annotations

import json
import shlex
import subprocess
import time

import pytest
from powershell_process import LONG_S, Loop, command

from harness.hosts.windows import powershell, script_protocol
from harness.hosts.windows.script_contract import contract_of


@pytest.fixture
def loop(environment):
    made = Loop(environment("many"))
    assert made.line().ready
    yield made
    if made.process.poll() is None:
        assert made.end() == 0


def test_many_questions_at_once(loop):
    numbers = {loop.ask("addresses", {}) for _ in range(40)}
    lines = [loop.line() for _ in numbers]
    assert {line.id for line in lines} == numbers and all(line.answer.ok for line in lines)
    assert loop.noise == []


def test_it_ends_with_its_input_though_something_is_under_way(environment):
    loop = Loop(environment("slow"))
    assert loop.line().ready
    loop.ask("addresses", {}, limit=LONG_S)
    began = time.monotonic()
    assert loop.end() == 0 and time.monotonic() - began < LONG_S / 2


def test_a_hung_question_delays_no_other(environment):
    """In the scene "slow" every cmdlet of Windows hangs; `process` needs none."""
    loop = Loop(environment("slow"))
    assert loop.line().ready
    hung = loop.ask("addresses", {}, limit=15.0)
    for _ in range(10):
        assert loop.answer("process", {"Id": 1}).ok
    line = loop.line()
    assert (line.id, line.answer.error) == (hung, "Limit")
    assert loop.end() == 0


def test_limits_end_questions_and_not_the_process(environment):
    loop = Loop(environment("slow"))
    assert loop.line().ready
    numbers = [loop.ask("addresses", {}, limit=1.0 + i / 4) for i in range(4)]
    began = time.monotonic()
    answers = [loop.line() for _ in numbers]
    assert [line.id for line in answers] == numbers and {line.answer.error for line in answers} == {"Limit"}
    assert time.monotonic() - began < LONG_S / 2
    assert loop.answer("process", {"Id": 1}).ok
    assert loop.end() == 0


def test_what_stops_when_it_is_told_to_is_not_called_stuck(environment):
    """Many limits at one moment are no sign of a sick PowerShell: it would be replaced for nothing."""
    loop = Loop(environment("slow"))
    assert loop.line().ready
    numbers = {loop.ask("addresses", {}, limit=3.0) for _ in range(6)}
    lines = [loop.line() for _ in numbers]
    assert {line.id for line in lines} == numbers and {line.answer.error for line in lines} == {"Limit"}
    loop.ask("process", {"Id": 1})
    lines.append(loop.line())
    assert [line.stuck for line in lines] == [0] * 7
    assert loop.end() == 0


def test_more_questions_than_runspaces_are_answered_one_after_the_other(environment):
    loop = Loop(environment("slow"))
    assert loop.line().ready
    numbers = {loop.ask("addresses", {}, limit=20.0) for _ in range(20)}
    lines = [loop.line() for _ in numbers]
    assert {line.id for line in lines} == numbers and {line.answer.error for line in lines} == {"Limit"}
    assert loop.answer("process", {"Id": 1}).ok and loop.end() == 0


@pytest.mark.timing
def test_a_question_is_cheap(loop):
    loop.answer("process", {"Id": 1})
    took = []
    for _ in range(50):
        began = time.monotonic()
        loop.answer("wsfc-state", {})
        took.append(time.monotonic() - began)
    assert sorted(took)[25] < 0.05


def test_what_is_no_question_is_answered_and_survived(loop):
    loop.send(b"this is no JSON\n")
    assert loop.line().answer.error == "BadQuestion"
    loop.send(b'{"id":77,"script":"never-sent","parameters":{},"limit":5}\n')
    line = loop.line()
    assert (line.id, line.answer.error) == (77, "BadQuestion")
    loop.send(script_protocol.question(78, "process", {"Id": "x"}, 5.0))
    assert loop.line().answer.error
    assert loop.answer("process", {"Id": 1}).ok


def test_the_clock_and_its_step(loop):
    number = loop.clock()
    line = loop.line()
    assert line.id == number and abs(line.clock - time.time()) < 60 and 0 <= line.step < 0.2


def test_nothing_leaks_from_one_question_to_the_next(loop):
    first = loop.answer("host", {}).rows[0]
    for _ in range(5):
        loop.answer("lifekeeper-command", {"Command": "lcdstatus"})
    assert loop.answer("host", {}).rows[0] | {"TempFree": 0} == first | {"TempFree": 0}


def asked_by_text(loop: Loop, text: str) -> script_protocol.ScriptAnswer:
    """The answer of a script that is none of the product's."""
    message = {"id": 900, "script": text, "text": "=" + text, "parameters": {}, "limit": LONG_S}
    loop.send(json.dumps(message).encode("ascii") + b"\n")
    return loop.line().answer


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ("@{ a = @{ b = @{ c = @{ d = @{ e = 1 } } } } }", "RowTooDeep"),
        ("@{ a = (New-Object PSObject) }", "RowNotPlain"),
        ("@{ a = (Get-Item -LiteralPath '/') }", "RowNotPlain"),
    ],
)
def test_what_json_would_cut_short_is_an_error(loop, row, error):
    answer = asked_by_text(loop, "Invoke-Answer { " + row + " }")
    assert not answer.ok and answer.error == error


def test_a_value_as_deep_as_any_row_is_told_whole(loop):
    answer = asked_by_text(loop, "Invoke-Answer { @{ a = @{ b = @(1, @(2)) }; n = [double]::NaN; e = [DayOfWeek]::Friday } }")
    assert answer.rows == ({"a": {"b": [1, [2]]}, "n": None, "e": "Friday"},)


def test_a_line_that_was_begun_by_something_else_is_an_answer_all_the_same(loop):
    """A module or a native program may print without ending its line (WHST-30)."""
    assert asked_by_text(loop, "[Console]::Out.Write('PS C:\\> '); [Console]::Out.Flush(); Invoke-Answer { @{ a = 1 } }").rows == (
        {"a": 1},
    )


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(script_protocol, "IDLE_S", 3)
    script_protocol.first_line.cache_clear()
    yield
    monkeypatch.undo()
    script_protocol.first_line.cache_clear()


def test_it_ends_by_itself_when_nobody_asks(environment, impatient):
    """A connection that was cut in silence leaves nothing on the host: its input does not end there for hours (WHST-14, WHST-19)."""
    loop = Loop(environment("many"))
    assert loop.line().ready
    loop.clock()
    assert loop.line().clock
    assert loop.process.wait(timeout=LONG_S) == 0, "its input is open still"
    loop.end()


def test_a_question_under_way_keeps_it(environment, impatient):
    loop = Loop(environment("slow"))
    assert loop.line().ready
    loop.ask("addresses", {}, limit=8.0)
    assert loop.line().answer.error == "Limit"
    assert loop.process.wait(timeout=LONG_S) == 0
    loop.end()


def once(environment: dict[str, str], words: list[str], name: str = "host", **parameters: object) -> subprocess.CompletedProcess:
    sent = script_protocol.first_line(once=True) + script_protocol.question(1, name, parameters, 60.0)
    return subprocess.run(words, input=sent, env=environment, capture_output=True, timeout=LONG_S)


def answered(done: subprocess.CompletedProcess) -> script_protocol.ScriptAnswer:
    lines = [script_protocol.read_line(text) for text in done.stdout.decode().splitlines()]
    return next(line.answer for line in lines if line is not None and line.answer is not None)


@pytest.mark.parametrize("shell", ["none", "bash", "powershell"])
def test_a_process_for_one_question_behind_each_default_shell(environment, shell):
    """PowerShell as sshd's shell turns every code into 0 or 1, and may print its profile before (WHST-10, WHST-11)."""
    line = shlex.join(command())
    words = {"none": command(), "bash": ["bash", "-c", line], "powershell": [command()[0], "-NoProfile", "-c", f"'Willkommen'; & {line}"]}
    done = once(environment("many"), words[shell])
    assert answered(done).ok and done.returncode == 0


def test_one_question_ends_at_its_limit_without_a_stop(environment):
    sent = script_protocol.first_line(once=True) + script_protocol.question(1, "addresses", {}, 1.5)
    done = subprocess.run(command(), input=sent, env=environment("slow"), capture_output=True, timeout=LONG_S)
    assert answered(done).error == "Limit" and done.returncode == 0


def test_constrained_language_is_said(environment):
    """__PSLockdownPolicy is Windows' only; the mode is set by hand before the bootstrap."""
    text = '$ExecutionContext.SessionState.LanguageMode = "ConstrainedLanguage"\n' + script_protocol.bootstrap()
    words = [command()[0], *powershell.encoded_line(text).split()[1:]]
    done = once(environment("many"), words)
    line = script_protocol.read_line(done.stdout.decode().strip().splitlines()[-1])
    assert line is not None and not line.ready and line.error == script_protocol.CONSTRAINED and line.about == "ConstrainedLanguage"


def test_a_script_runs_as_a_file_too(environment):
    words = [command()[0], "-NoProfile", "-NonInteractive", "-File", str(contract_of("service").path), "-Name", "it's", "-Prefix"]
    done = subprocess.run(words, env=environment("many"), capture_output=True, timeout=LONG_S)
    answer = script_protocol.read_answer(done.stdout.decode())
    assert answer.ok and [row["Status"] for row in answer.rows] == ["Stopped"] and len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("language", ["de-DE", "ja-JP", "ar-SA"])
def test_another_language_changes_no_field(environment, language):
    tongue = language.replace("-", "_") + ".UTF-8"
    found = once(environment("many", LANG=tongue, LC_ALL=tongue), command(), "interfaces")
    assert answered(found).ok and found.stdout.isascii()
