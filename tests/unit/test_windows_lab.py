"""The stand-in for a Windows host: it takes our own scripts by their content and nothing else, and answers as their contracts say."""

from __future__ import annotations

import inspect
import io
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.config import cluster_config
from harness.core.errors import BadUse, Unusable
from harness.hosts.windows import powershell, script_contract, script_protocol
from harness.lab import lab_config
from harness.lab.guests.windows import (
    install,
    known_scripts,
    measuring_programs,
    resident_powershell_loop,
    script_answers,
    stand_ins,
    undo_task_process,
)
from harness.lab.guests.windows.powershell_line import NotTaken, body_of, encoded_script
from harness.lab.guests.windows.resident_powershell_loop import QuestionLoop
from harness.lab.guests.windows.stand_ins import firewall_scripts, lifekeeper_scripts
from harness.lab.lifecycle import default_cluster
from harness.managers.parse import lcdstatus_parse
from harness.remote.agents import csharp_agent, powershell_agent
from harness.remote.csharp import csharp_program

TABLE = """LOCAL     TAG               ID               STATE     PRIO  PRIMARY
lknode01  cluster-services  cluster-services ISP          1  lknode01
lknode01   listener-1521    listener-1521    ISP          1  lknode01
lknode01    ip-10.20.1.200  IP-10.20.1.200   OSF          1  lknode01

MACHINE   NETWORK ADDRESSES/DEVICE         STATE     PRIO
lknode02  TCP     10.20.1.11/10.20.1.12    ALIVE        1
"""


def served(*lines: bytes) -> list[dict]:
    out = io.BytesIO()
    QuestionLoop(out).serve(lines)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_every_stand_in_was_made_of_the_script_as_it_is() -> None:
    changed = [name for name, found in known_scripts.actual().items() if known_scripts.known().get(name) != found]
    say = "look whether their stand-ins (harness/lab/guests/windows) still do what they say, then run"
    assert changed == [], f"{', '.join(changed)} changed: {say} `python -m harness.lab.guests.windows.known_scripts`"
    assert known_scripts.known().keys() == known_scripts.actual().keys()


def test_every_script_has_a_stand_in_that_takes_its_parameters() -> None:
    served(script_protocol.first_line(once=True))  # has all of them imported
    assert script_answers.known() == script_contract.contracts().keys()
    for name in script_answers.known():
        takes = inspect.signature(script_answers._BY_NAME[name]).parameters
        of_contract = script_contract.contract_of(name).parameters
        assert set(takes) == {key.lower() for key in of_contract}, name
        needed = {key for key, one in takes.items() if one.default is inspect.Parameter.empty}
        assert needed == {key.lower() for key, one in of_contract.items() if one.required}, name


def test_no_two_families_stand_for_one_script() -> None:
    texts = "".join(path.read_text() for path in Path(stand_ins.__path__[0]).glob("*.py"))
    assert texts.count("@stands_for(") == len(script_answers.known())


def test_questions_are_answered_as_the_contract_says() -> None:
    asked = [
        script_protocol.question(1, "time-source", {}, 5.0),
        script_protocol.question(2, "process", {}, 5.0),
        script_protocol.clock_question(3),
    ]
    ready, *said = served(script_protocol.first_line(once=True), *asked)
    answers = {one["id"]: one for one in said}
    assert ready["ready"] and ready["edition"] == "stand-in"
    assert answers[1]["answer"]["ok"] and "not Windows" in answers[1]["answer"]["rows"][0]["Text"]
    assert answers[2]["answer"]["error"] == "ParameterBindingException"  # it needs a number
    assert answers[3]["clock"] > 0


def test_the_loop_ends_by_itself_when_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As PowerShell's does: nothing ends it where the connection was cut in silence."""
    ended, first = threading.Event(), json.loads(script_protocol.first_line(once=False)) | {"idle": 0}
    monkeypatch.setattr(resident_powershell_loop.os, "_exit", lambda code: ended.set())

    def lines() -> Iterator[bytes]:
        yield json.dumps(first).encode()
        assert ended.wait(60)

    QuestionLoop(io.BytesIO()).serve(lines())


@pytest.mark.parametrize(("looks", "seen", "done"), [(1, [True], True), (3, [True, True, True], True), (3, [True, False], False)])
def test_an_adapter_that_was_not_seen_to_be_off_has_to_stay_on(monkeypatch: pytest.MonkeyPatch, looks, seen, done) -> None:
    """Who disables it is answered before it is off (WHST-87)."""
    told = list(seen)
    monkeypatch.setattr(undo_task_process, "STEP_S", 0.0)
    monkeypatch.setattr(undo_task_process.adapter_scripts, "enable", lambda nic: None)
    monkeypatch.setattr(undo_task_process.adapter_scripts, "usable", lambda address: told.pop(0))
    assert undo_task_process._undone({"kind": "nic", "nic": "Ethernet", "address": "10.20.1.11"}, looks) is done and told == []


def test_a_script_without_a_stand_in_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(script_answers._BY_NAME, "time-source")
    assert script_answers.answer("time-source", {})["error"] == "NoStandIn"


def test_a_changed_script_is_refused() -> None:
    changed = script_protocol.question(1, "time-source", {}, 5.0).replace(b"SYNOPSIS", b"Synopsis")
    with pytest.raises(NotTaken, match="the script time-source was sent with a text that is not known"):
        served(script_protocol.first_line(once=True), changed)
    with pytest.raises(NotTaken, match="loop of questions"):
        served(script_protocol.first_line(once=True).replace(b"AtOnce", b"atOnce"))


@pytest.mark.parametrize("limit", [None, 10.0])
def test_our_own_lines_are_taken(limit: float | None) -> None:
    assert known_scripts.is_known("bootstrap", encoded_script(powershell.encoded_line(script_protocol.bootstrap())))
    for command, name in ((powershell_agent.loader(), known_scripts.LOADER), (csharp_program.loader(), known_scripts.COMPILER)):
        line, _ = powershell.invocation(command, b"", limit=limit)
        assert known_scripts.is_known(name, body_of(encoded_script(line)))
    line, _ = powershell.invocation(["true"], limit=limit)
    assert body_of(encoded_script(line)) == known_scripts.NOTHING


@pytest.mark.parametrize(
    ("line", "why", "loud"),
    [
        ("cat /etc/hosts", "'cat' is not recognized", False),
        ("sh -c true", "'sh' is not recognized", False),
        ("", "'' is not recognized", False),
        ("powershell -Command Get-Date", "in a way that is not known", True),
        (powershell.encoded_line("x" * 3100), "too long", False),
        (powershell.encoded_line("x").replace("-EncodedCommand ", "-EncodedCommand !"), "no text", False),
    ],
)
def test_what_windows_would_not_take_is_refused(line: str, why: str, loud: bool) -> None:
    with pytest.raises(NotTaken, match=why) as refused:
        encoded_script(line)
    assert refused.value.loud is loud


def test_a_script_that_nobody_knows_is_refused_loudly() -> None:
    with pytest.raises(NotTaken, match="not known") as refused:
        body_of("Get-Date")
    assert refused.value.loud and refused.value.exit == 96


def test_the_table_in_the_form_of_windows_reads_the_same() -> None:
    shaped = lifekeeper_scripts.windows_shape(TABLE)
    assert "|---listener-1521" in shaped and "|------ip-10.20.1.200" in shaped and "|---cluster" not in shaped
    assert lcdstatus_parse.parse("lknode01", shaped) == lcdstatus_parse.parse("lknode01", TABLE)


def test_the_script_s_plan_in_the_words_of_the_agent_in_c_sharp() -> None:
    series = [
        {"id": "a b", "destination": "10.0.0.1", "port": 80, "period": 0.1, "limit": 1.0, "say": "eA==", "expect": None, "again": None}
    ]
    made = measuring_programs.plan_lines({"series": series, "lifetime": 5.0, "max_open": 500})
    assert made == csharp_agent.plan_lines(series, lifetime_s=5.0, max_open=500)


def test_block_rules_as_the_kernel_takes_them() -> None:
    both = {"rule": "r", "local": ["10.0.0.1"], "remote": ["10.0.0.2", "10.0.0.3"], "port": 0}
    made = [line for way in ("Inbound", "Outbound") for line in firewall_scripts._of_rule({**both, "direction": way})]
    assert made == [
        ("input", "ip saddr { 10.0.0.2, 10.0.0.3 } ip daddr { 10.0.0.1 } drop"),
        ("output", "ip saddr { 10.0.0.1 } ip daddr { 10.0.0.2, 10.0.0.3 } drop"),
    ]
    one_port = list(firewall_scripts._of_rule({**both, "direction": "Inbound", "port": 12345}))
    assert [chain for chain, _ in one_port] == ["input", "output"] and "tcp dport 12345" in one_port[0][1]


def test_a_lab_of_stand_ins_for_windows() -> None:
    data = default_cluster.cluster_data("fast", default_cluster.with_platform({}, "windows", None))
    cluster = cluster_config.parse(data, Path("x"))
    assert cluster.manager.kind == "lifekeeper-windows" and lab_config.has_windows(cluster)
    lab_config.make_lab_config(cluster, Path("x"))
    assert default_cluster.with_platform({}, "linux", None) == {}
    for platform, manager, why in (("beos", None, "--platform beos"), ("windows", "pacemaker", "--manager pacemaker")):
        with pytest.raises(BadUse, match=why):
            default_cluster.with_platform({}, platform, manager)
    client = {"client": {**default_cluster.DEFAULT_CLUSTER["client"], "platform": "windows"}}
    with pytest.raises(BadUse, match="a lab's client is Linux"):
        lab_config.make_lab_config(cluster_config.parse(default_cluster.merge_tables(data, client), Path("x")), Path("x"))


def test_two_labs_compile_a_program_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []

    def compiler(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        begun.append(words[0])
        new = Path(next(w for w in words if w.startswith("-out:")).removeprefix("-out:"))
        with new.open("w") as file:
            if len(begun) == 1:  # another lab comes in between, and is done first
                assert install.compile_programs(tmp_path)["agent"].read_text() == "whole"
            file.write("whole")
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(subprocess, "run", compiler)
    made = install.compile_programs(tmp_path)
    assert {path.read_text() for path in made.values()} == {"whole"} and {*tmp_path.iterdir()} == {*made.values()}
    assert len(begun) == 3  # the first one twice


def test_a_compiler_that_does_not_end_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def compiler(words: list[str], **_: object) -> None:
        raise subprocess.TimeoutExpired(words, 1.0)

    monkeypatch.setattr(subprocess, "run", compiler)
    with pytest.raises(Unusable, match="did not compile the agent in C# within") as told:
        install.compile_programs(tmp_path)
    assert told.value.exit_code == 4 and not [*tmp_path.iterdir()]
