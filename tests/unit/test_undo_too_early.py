"""A look that comes before the deed has ended proves nothing: neither that it is undone, nor that no command runs, nor where a disk is."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded
from harness.disrupt.service import shared_disk_full
from harness.hosts import detached_jobs
from harness.hosts.deadman.deadman_switch import Deadman, Script

ACT = Script("fill it", "remove it", "is it gone")


def deadman_whose_command(*, ends: bool) -> Deadman:
    def check(*of: object, **options: object) -> str:
        if not ends:
            raise DeadlineExceeded("it is slow")
        return "moment 1 2"

    host: Any = SimpleNamespace(name="lknode01", check=check)
    deadman = Deadman(host, "shared disk full", longest=60.0)
    if ends:
        deadman.do(ACT, limit=1.0)
    else:
        with pytest.raises(DeadlineExceeded):
            deadman.do(ACT, limit=1.0)
    return deadman


@pytest.mark.parametrize("ends", [True, False])
def test_what_may_still_be_on_its_way_is_not_settled(ends):
    """The disk was looked at while the command that fills it went on: it is undone behind that, or it stays full."""
    deadman = deadman_whose_command(ends=ends)
    deadman.mark_settled()
    assert deadman._script is not None and deadman._script.undo == (":" if ends else ACT.undo)


def test_a_disk_that_has_gone_is_not_filled_in_the_place_where_it_was(tmp_path):
    """The node's own disk would be, below the mount point, where nobody looks again."""
    file = tmp_path / ".lkharness-test"
    script = shared_disk_full.filling(str(tmp_path), str(file))
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env={**os.environ, "d": str(tmp_path)})
    assert done.returncode != 0 and not file.exists()
    assert "is not mounted here any more, so it was not filled" in done.stderr


def unfinished(folder: Path) -> list[str]:
    return subprocess.run(["sh", "-c", detached_jobs._UNFINISHED, "look", str(folder)], capture_output=True, text=True).stdout.splitlines()


def test_a_command_that_has_no_process_yet_is_unfinished(tmp_path):
    """systemd is slow: a second move beside the first would be begun."""
    job = tmp_path / "job"
    job.mkdir()
    (job / "command").write_text("perform_action -a restore\n")
    assert unfinished(tmp_path) == ["perform_action -a restore"]
    long_ago = time.time() - 60 * (detached_jobs.MAX_STARTING_MIN + 1)
    os.utime(job, (long_ago, long_ago))
    assert unfinished(tmp_path) == [], "it never got one"


def test_a_command_that_ended_is_none(tmp_path):
    job = tmp_path / "job"
    job.mkdir()
    (job / "command").write_text("perform_action -a restore\n")
    (job / "exit").write_text("0\n")
    assert unfinished(tmp_path) == []


def test_a_start_that_takes_too_long_may_have_started_it():
    """Whoever waits for it goes on waiting, and begins no other."""

    def run(*of: object, **options: object) -> None:
        raise DeadlineExceeded("it is slow")

    host: Any = SimpleNamespace(name="lknode01", run=run)
    with pytest.raises(detached_jobs.StillRunning, match="has not begun in time; it was not ended"):
        detached_jobs.run_to_its_end(host, ["perform_action"], Deadline(1.0))
