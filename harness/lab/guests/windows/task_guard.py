"""The undoing that the host carries out itself: tasks that belong to no session, kept over a boot, and begun again by it.

What engine/guard.cmd does on Windows: waits by itself, undoes at once when told so or after a boot, goes on until the thing was seen to be
as it was, and takes task and folder away.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

from harness.lab.guests.windows import windows_node
from harness.lab.guests.windows.script_answers import ScriptError
from harness.lab.guests.windows.windows_node import LEASE_FOLDER, STORE, read_or_none, started_at, write_whole

TASKS = STORE / "tasks"
STEP_S = 1.0
MAX_PAUSE_S = 60.0


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
        windows_node.detach("harness.lab.guests.windows.task_guard", token)


def running(token: str) -> bool:
    """Whether the task's process is there."""
    text = read_or_none(TASKS / task_of(token)) or ""
    pid, _, at = text.partition(" ")
    return pid.isdigit() and started_at(int(pid)) == at


def unregister(token: str) -> None:
    """The task goes; its process goes on to its end, as Windows' does."""
    (TASKS / task_of(token)).unlink(missing_ok=True)


def main(token: str) -> None:
    """The task's process."""
    from harness.lab.guests.windows.stand_ins.lease_scripts import remove_empty_folder

    place, task = place_of(token), TASKS / task_of(token)
    if not task.exists():
        return
    write_whole(task, f"{os.getpid()} {started_at(os.getpid())}")
    values = json.loads((place / "values").read_text(encoding="utf-8"))
    if not (place / "armed").exists():
        (place / "armed").write_text("armed")
        left = int(values["seconds"])
        while left > 0 and not (place / "now").exists():
            if not (place / "values").exists():
                return
            time.sleep(STEP_S)
            left -= 1
    (place / "now").write_text("now")
    pause = 1.0
    while not _undone(values):
        (place / "failed").write_text(values["kind"])
        time.sleep(pause)
        pause = min(MAX_PAUSE_S, pause * 1.5 + 1)
    unregister(token)
    shutil.rmtree(place, ignore_errors=True)
    remove_empty_folder()


def _undone(values: dict[str, str]) -> bool:
    """Undo it, and see whether it is as it was."""
    from harness.lab.guests.windows.stand_ins import adapter_scripts, firewall_scripts

    try:
        if values["kind"] == "firewall":
            firewall_scripts.remove(values["rule"])
            return not any(one["rule"] == values["rule"] for one in firewall_scripts.rules())
        adapter_scripts.enable(values["nic"])
        return adapter_scripts.usable(values["address"])
    except Exception as error:  # whatever went wrong may go right the next time
        print(f"the undoing of {values['kind']} failed: {error!r}", file=sys.stderr, flush=True)
        return False


if __name__ == "__main__":
    main(sys.argv[1])
