"""The undoing that the host carries out itself: the process of a task.

What engine/undo-task.cmd does on Windows: waits by itself, undoes at once when told so or after a boot, goes on until the thing was seen
to be as it was, and takes task and folder away.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time

from harness.lab.guests.windows.stand_ins import adapter_scripts, firewall_scripts
from harness.lab.guests.windows.stand_ins.lease_scripts import remove_empty_folder
from harness.lab.guests.windows.task_store import TASKS, place_of, running, task_of, unregister
from harness.lab.guests.windows.underlying_node import started_at, write_whole

STEP_S = 1.0
LOOKS = 15  # a step apart, at an adapter that was not seen to be off: it may go off yet
MAX_PAUSE_S = 60.0


def main(token: str) -> None:
    """The task's process."""
    place, task = place_of(token), TASKS / task_of(token)
    if not task.exists() or running(token):
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
    while not _undone(values, 1 if (place / adapter_scripts.DOWN).exists() else LOOKS):
        (place / "failed").write_text(values["kind"])
        time.sleep(pause)
        pause = min(MAX_PAUSE_S, pause * 1.5 + 1)
    unregister(token)
    shutil.rmtree(place, ignore_errors=True)
    remove_empty_folder()


def _undone(values: dict[str, str], looks: int) -> bool:
    """Undo it, and see whether it is as it was; an adapter so many times."""
    try:
        if values["kind"] == "firewall":
            firewall_scripts.remove(values["rule"])
            return not any(one["rule"] == values["rule"] for one in firewall_scripts.rules())
        adapter_scripts.enable(values["nic"])
        for look in range(looks):
            if look:
                time.sleep(STEP_S)
            if not adapter_scripts.usable(values["address"]):
                return False
        return True
    except Exception as error:  # whatever went wrong may go right the next time
        print(f"the undoing of {values['kind']} failed: {error!r}", file=sys.stderr, flush=True)
        return False


if __name__ == "__main__":
    main(sys.argv[1])
