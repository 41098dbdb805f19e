"""Another user of the host who knows an agent's folder by its arguments: nothing that he makes is believed, ended or removed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_fixtures import LIMIT, Seen, plan, series, service

from harness.core.errors import HarnessError
from harness.hosts.local_host import LocalHost
from harness.remote.agents import agent_launch
from harness.remote.agents.agent_session import Agent

NOBODY = 65534
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes folders of another user")
# Makes an agent's folder that names a process to be killed, and holds the lock that says that its agent lives.
BAIT = """
import fcntl, json, os, sys
os.mkdir(sys.argv[1], int(sys.argv[3], 8))
spool = open(sys.argv[1] + "/spool", "w")
spool.write("a " + json.dumps({"pid": int(sys.argv[2])}) + "\\n")
spool.flush()
fcntl.flock(spool, fcntl.LOCK_EX)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def here() -> Iterator[LocalHost]:
    host = LocalHost("here")
    yield host
    host.close()


@pytest.fixture
def all_runs() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lkp-", dir="/var/tmp") as name:
        Path(name).chmod(0o1777)
        yield Path(name)


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


@contextlib.contextmanager
def bait(folder: Path, victim: int, *, user: int = NOBODY, mode: str = "755") -> Iterator[None]:
    words = ["/usr/bin/python3", "-c", BAIT, str(folder), str(victim), mode]
    with subprocess.Popen(words, user=user, group=user, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdin is not None and process.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            process.stdin.close()
            process.kill()


@pytest.mark.parametrize("mode", ["755", "700"])
def test_what_another_users_folder_names_is_not_killed(here, all_runs, victim, mode: str) -> None:
    folder = all_runs / f"{agent_launch.PREFIX}0123456789abcdef"
    with bait(folder, victim.pid, mode=mode), pytest.raises(HarnessError, match=r"not an agent's own \(user 65534, .*left alone"):
        agent_launch.order(here, sys.executable, "clean", [str(folder)], limit=LIMIT)
    assert victim.poll() is None and sorted(path.name for path in folder.iterdir()) == ["spool"]


def test_a_spool_of_our_own_cannot_name_another_process_either(here, all_runs, victim) -> None:
    """Only who holds the lock is ended, whatever the spool says."""
    folder = all_runs / f"{agent_launch.PREFIX}0123456789abcdef"
    with bait(folder, victim.pid, user=0, mode="700"):
        agent_launch.order(here, sys.executable, "clean", [str(folder)], limit=LIMIT)
    assert victim.poll() is None and not folder.exists()


def test_another_users_folder_in_a_place_that_was_not_taken_does_not_hinder_the_end(here, all_runs, victim, tmp_path) -> None:
    with service() as it:
        given = plan(tmp_path, series("t", it.port))
        given = type(given)(given.series, given.lifetime_s, keep_s=given.keep_s, places=(str(tmp_path), str(all_runs)))
        agent, seen = Agent(here, sys.executable, given, Seen()), Seen()
        agent._sink = seen
        agent.start()
        assert agent.folder is not None
        name = Path(agent.folder).name
        with bait(all_runs / name, victim.pid):
            seen.wait_rows("t", 3)
            assert agent.stop() == []
        assert victim.poll() is None and (all_runs / name / "spool").exists() and list(tmp_path.iterdir()) == []


def test_a_fifo_or_link_in_our_name_stops_nothing(here, all_runs) -> None:
    folder = all_runs / f"{agent_launch.PREFIX}0123456789abcdef"
    folder.symlink_to("/etc")
    with pytest.raises(HarnessError, match=r"Not a directory|symbolic"):
        agent_launch.order(here, sys.executable, "clean", [str(folder)], limit=LIMIT)
    assert Path("/etc/passwd").exists() and folder.is_symlink()
