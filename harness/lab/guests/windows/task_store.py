"""The scheduled tasks of a stand-in for Windows: they belong to no session, and are kept over a boot. Each undoes one thing."""

from __future__ import annotations

from pathlib import Path

from harness.lab.guests.windows import underlying_node
from harness.lab.guests.windows.script_answers import ScriptError
from harness.lab.guests.windows.underlying_node import LEASE_FOLDER, STORE, read_or_none, started_at, write_whole

TASKS = STORE / "tasks"


def place_of(token: str) -> Path:
    """The folder of one undoing, whether it is there or not."""
    return LEASE_FOLDER / token


def task_of(token: str) -> str:
    """The name of its task."""
    return f"lkharness-{token}"


def demand_armed(token: str) -> None:
    """Goes on only where the host itself waits to undo what is about to be done."""
    place = place_of(token)
    if (place / "values").exists() and (place / "armed").exists() and not (place / "now").exists():
        return
    raise ScriptError("NotArmed", "this host does not wait to undo it, so nothing was done")


def register(token: str) -> None:
    """Make the task; one that is there stays as it is."""
    TASKS.mkdir(parents=True, exist_ok=True)
    if not (TASKS / task_of(token)).exists():
        write_whole(TASKS / task_of(token), "")


def start(token: str) -> None:
    """Have the task run, unless it does."""
    if not running(token):
        underlying_node.detach("harness.lab.guests.windows.undo_task_process", token)


def running(token: str) -> bool:
    """Whether the task's process is there."""
    text = read_or_none(TASKS / task_of(token)) or ""
    pid, _, at = text.partition(" ")
    return pid.isdigit() and started_at(int(pid)) == at


def unregister(token: str) -> None:
    """The task goes; its process goes on to its end, as Windows' does."""
    (TASKS / task_of(token)).unlink(missing_ok=True)
