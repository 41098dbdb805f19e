"""Commands that change something, on PowerShell itself: they outlive their question and their PowerShell, and are collected once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from powershell_process import LONG_S, Loop, job_runner

HELD = """#!/bin/sh
printf '[%s]' "$@"; echo on the other stream >&2
while [ ! -e "$(dirname "$0")/go" ]; do sleep 0.1; done
exit 5
"""


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """A program that runs until it may go."""
    program = tmp_path / "o'neil held"
    program.write_text(HELD)
    program.chmod(0o755)
    return program


def loop_of(environment) -> Loop:
    made = Loop(environment)
    assert made.line().ready
    return made


def start(name: str, program: Path, *words: str) -> dict:
    return {
        "Name": name,
        "Line": "held",
        "Program": str(program),
        "Words": list(words),
        "Folder": str(program.parent),
        "Runner": job_runner(),
    }


def state(loop: Loop, name: str) -> dict | None:
    rows = loop.answer("job-state", {"Name": name}).rows
    return rows[0] if rows else None


def ended(loop: Loop, name: str) -> dict:
    until = time.monotonic() + LONG_S
    while time.monotonic() < until:
        found = state(loop, name)
        assert found is not None
        if found["State"] not in ("starting", "running"):
            return found
        time.sleep(0.1)
    raise AssertionError("it did not end")


def test_it_outlives_its_question_and_its_powershell(environment, held):
    loop, name = loop_of(environment("many")), "0123456789ab"
    assert loop.answer("job-start", start(name, held, "it's", "", 'say "x\\"', "2026-11-22T10:00:00Z")).rows[0]["Again"] is False
    assert loop.answer("job-start", start(name, held)).rows[0]["Again"] is True, "it is not started a second time"
    assert loop.end() == 0
    loop = loop_of(environment("many"))
    found = state(loop, name)
    assert found is not None and (found["State"], found["Line"]) == ("running", "held")
    (held.parent / "go").touch()
    found = ended(loop, name)
    assert (found["State"], found["Exit"]) == ("ended", 5)
    assert found["Text"] == '[it\'s][][say "x\\"][2026-11-22T10:00:00Z]on the other stream\n'
    assert loop.answer("job-remove", {"Name": name}).rows[0]["Removed"] is True
    assert state(loop, name) is None and loop.answer("job-remove", {"Name": name}).rows[0]["Removed"] is False
    assert loop.end() == 0


def test_what_cannot_be_run_is_said(environment, tmp_path):
    loop, name = loop_of(environment("many")), "0123456789ac"
    assert loop.answer("job-start", start(name, tmp_path / "not there")).ok
    found = ended(loop, name)
    assert found["State"] == "failed" and "not there" in found["Text"] and found["Exit"] is None
    assert loop.answer("job-remove", {"Name": name}).ok and loop.end() == 0


def test_one_without_words_and_without_a_folder_of_its_own(environment):
    """Both are optional, and empty on the file that its process reads."""
    loop, name = loop_of(environment("many")), "0123456789ad"
    given = {"Name": name, "Line": "true", "Program": "/bin/true", "Runner": job_runner()}
    assert loop.answer("job-start", given).ok
    found = ended(loop, name)
    assert (found["State"], found["Exit"], found["Text"]) == ("ended", 0, "")
    assert loop.answer("job-remove", {"Name": name}).ok and loop.end() == 0


def test_no_name_leads_out_of_the_folder(environment, held):
    loop = loop_of(environment("many"))
    for name in ("..", "../0123456789ab", "0123456789AB", "0123456789ab\n"):
        assert not loop.answer("job-start", start(name, held)).ok
        assert not loop.answer("job-remove", {"Name": name}).ok
    assert loop.end() == 0
