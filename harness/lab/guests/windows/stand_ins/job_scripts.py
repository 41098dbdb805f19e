"""Commands that change something, run outside of every session and followed by their files."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from harness.core.deadline import Deadline
from harness.lab.guests.windows import underlying_node
from harness.lab.guests.windows.known_scripts import is_known
from harness.lab.guests.windows.script_answers import Row, ScriptError, stands_for
from harness.lab.guests.windows.underlying_node import JOBS, read_or_none

NAME = re.compile(r"[0-9a-f]{12}", re.ASCII)
PROGRAM = re.compile(r"C:\\LK\\Bin\\([a-z_]+)\.exe", re.IGNORECASE)
START_TIMEOUT_S = 60.0
OLD_S = 600.0


def _named(name: str) -> Path:
    if not NAME.fullmatch(name):
        raise ScriptError("RuntimeException", "a job is named by twelve hexadecimal digits")
    return JOBS / name


@stands_for("job-start")
def job_start(name: str, line: str, program: str, runner: str, words: Iterable[str] = (), folder: str = "") -> Iterable[Row]:
    """Only LifeKeeper's commands are programs that this host has."""
    place = _named(name)
    if not is_known("job.ps1", runner):
        raise ScriptError("NoStandIn", "the program that runs jobs was sent with a text that is not known")
    found = PROGRAM.fullmatch(program)
    if found is None:
        raise ScriptError("Win32Exception", f"the stand-in for Windows has no program {program}")
    if place.exists():
        return [{"Name": name, "Again": True}]
    place.mkdir(parents=True)
    (place / "plan").write_text(json.dumps([found[1].lower(), *words]), encoding="utf-8")
    (place / "line").write_text(line, encoding="utf-8")
    underlying_node.detach("harness.lab.guests.windows.job_process", str(place))
    Deadline(START_TIMEOUT_S).wait_for((place / "pid").exists, what="the process that was made saying that it runs", every=0.02)
    return [{"Name": name, "Again": False}]


@stands_for("job-state")
def job_state(name: str = "") -> Iterable[Row]:
    """Of one job, or of all."""
    for place in sorted(JOBS.glob("*")) if JOBS.exists() else ():
        if name and place.name != name:
            continue
        state, ended, failed = _state(place)
        code, _, why = (ended or "").partition(" ")
        text = failed or why or read_or_none(place / "said")
        yield {
            "Name": place.name,
            "Line": read_or_none(place / "line"),
            "State": state,
            "Exit": int(code) if ended else None,
            "Text": text,
        }


def _state(place: Path) -> tuple[str, str | None, str | None]:
    for look in (1, 2):  # it may have ended since the first look
        ran, ended, failed = (read_or_none(place / file) for file in ("pid", "code", "failed"))
        if ended is not None:
            return "ended", ended, failed
        if failed is not None:
            return "failed", ended, failed
        if ran is not None:
            pid, _, at = ran.partition(" ")
            if underlying_node.started_at(int(pid)) == at:
                return "running", None, None
            if look == 2:
                return "gone", None, None
        elif look == 2:
            old = place.exists() and time.time() - place.stat().st_mtime > OLD_S
            return "gone" if old else "starting", None, None
    raise AssertionError("both looks end")


@stands_for("job-remove")
def job_remove(name: str) -> Iterable[Row]:
    """What a job has kept goes."""
    place = _named(name)
    there = place.exists()
    if there:
        shutil.rmtree(place)
    return [{"Name": name, "Removed": there}]
