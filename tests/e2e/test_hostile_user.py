"""A local user without rights, by a written list of attempts: gains nothing, stops nothing, reads nothing."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_fixtures import Seen, plan, series
from command_shell import Shell, shell_in
from hostile_user import ON_A_PATH, ON_A_PORT, ON_A_PROCESS, PYTHON, tried
from namespaced_host import as_nobody, own_machine

from harness.attach.lease import FOLDER as LEASE
from harness.attach.lease import Lease
from harness.core.deadline import Deadline
from harness.hosts.deadman.deadman_switch import FOLDER, Deadman, Script, remains
from harness.hosts.detached_jobs import FOLDER as JOBS
from harness.hosts.local_host import LocalHost
from harness.lab.control import lab_registry
from harness.remote.agents.agent_session import Agent

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
SECRET = "only-root-may-know"
THING = Script("touch /run/things/done", f"rm -f /run/things/done # {SECRET}", "[ ! -e /run/things/done ]")
LATE = 300.0


@pytest.fixture
def here() -> Iterator[LocalHost]:
    with own_machine() as host:
        host.check("mount -t tmpfs -o mode=1777 none /var/tmp && chmod 755 /run && mkdir -m 700 /run/things")
        yield host


def pids(here: LocalHost, pattern: str) -> list[str]:
    return [p for p in here.run(["pgrep", "-u", "0", "-f", pattern]).out.split()]


def test_what_is_armed(here: LocalHost) -> None:
    """The undoing's folder and its process; afterwards it is undone as ever."""
    nobody = as_nobody(here)
    deadman = Deadman(here, "a thing", longest=3000)
    deadman.do(THING, limit=LATE)
    words = (SECRET, deadman.token, "things/done")
    wrong = [w for path in (FOLDER, f"{FOLDER}/{deadman.token}") for w in tried(nobody, ON_A_PATH, words[:1], P=path)]
    (pid,) = here.check(f"cat {FOLDER}/{deadman.token}/pid").split()
    wrong += tried(nobody, ON_A_PROCESS, words, PID=pid)
    assert not wrong, wrong
    assert here.run("[ -e /run/things/done ]").ok, "it was not undone by anybody"
    assert here.run(f"kill -0 {pid}").ok and deadman.undo(Deadline(LATE)) is True
    assert remains(here, limit=LATE) == [] and not here.run("[ -e /run/things/done ]").ok


def test_the_lease_and_a_job(here: LocalHost) -> None:
    nobody = as_nobody(here)
    lease = Lease({"here": here}, f"run {SECRET}", renew_s=LATE)
    lease.take()
    here.check(f"mkdir -m 700 {JOBS} {JOBS}/one && echo '{SECRET}' >{JOBS}/one/command")
    wrong = [
        w for path in (LEASE, f"{LEASE}.lock", f"{LEASE}/lease", JOBS) for w in tried(nobody, ON_A_PATH, (SECRET, lease.token), P=path)
    ]
    assert not wrong, wrong
    holds = nobody.start(["sh", "-c", "exec 9</run; flock 9; echo held; exec sleep 600"])  # of what everybody may open
    assert next(holds.lines()) == "held"
    lease.cover(60.0)
    assert here.run(lease.line).ok and not lease.loss_reason
    assert lease.give_back() == []
    holds.close()
    assert here.run(f"ls {LEASE} {LEASE}.lock").exit == 2


def test_an_agent_that_measures(here: LocalHost, tmp_path: Path) -> None:
    """Its folder is where everybody may write; it goes on measuring, and leaves nothing."""
    nobody, seen = as_nobody(here), Seen()
    agent = Agent(here, sys.executable, plan(tmp_path, series("t", 9)), seen)
    agent.start()
    try:
        assert agent.folder is not None
        wrong = tried(nobody, ON_A_PATH, ("refused",), P=agent.folder)
        for pid in pids(here, Path(agent.folder).name):
            wrong += tried(nobody, ON_A_PROCESS, (SECRET,), PID=pid)
        assert not wrong, wrong
        seen.wait_rows("t", 5)
    finally:
        assert agent.stop() == []
    assert not Path(agent.folder).exists()


@pytest.mark.deep
def test_a_lab_and_what_its_runs_write(tmp_path: Path) -> None:
    """Its folder with keys, cluster file and known_hosts; its first process with the control socket; the ports that lead to its hosts."""
    with shell_in(tmp_path / "state") as shell:
        _of_a_lab(shell)


def _of_a_lab(shell: Shell) -> None:
    status = shell.up("--name", "watched")
    folder, here = shell.labs / "watched", LocalHost("here")
    for part in (folder, *folder.parents):
        if str(part).startswith("/tmp/pytest"):
            part.chmod(part.stat().st_mode | 0o011) if part != folder else None  # the way there is open, and the folder itself is not
    key = (folder / "keys" / "login").read_text().splitlines()[1]
    nobody = as_nobody(here)
    paths = (folder, *(folder / name for name in ("cluster.toml", "known_hosts", "keys", "keys/login", "events.jsonl", "log")))
    wrong = [w for path in paths for w in tried(nobody, ON_A_PATH, (key,), P=path)]
    pid = status["pid"]
    wrong += tried(nobody, ON_A_PROCESS[:-1], (key,), PID=pid)
    wrong += tried(nobody, ON_A_PATH, (key,), P=f"/proc/{pid}/root/run/lab/control.sock")
    data = tomllib.loads((folder / "cluster.toml").read_text())
    for machine in (data["client"], *data["nodes"]):
        wrong += tried(nobody, ON_A_PORT, (key,), PORT=machine["ssh"]["port"])
    assert not wrong, wrong
    assert lab_registry.read(folder).alive and shell.lkharness("check", "--cluster", folder / "cluster.toml").returncode == 0


def test_the_list_sees_what_is_open(here: LocalHost) -> None:
    """The control: on things that everybody may have, almost every attempt gains something."""
    nobody = as_nobody(here)
    here.check(f"mkdir -m 777 /var/tmp/open && echo {SECRET} >/var/tmp/open/undo && chmod 666 /var/tmp/open/undo")
    assert len(tried(nobody, ON_A_PATH, (SECRET,), P="/var/tmp/open/undo")) >= 6
    assert len(tried(nobody, ON_A_PATH, (SECRET,), P="/var/tmp/open")) >= 3
    own = nobody.start(["env", f"A={SECRET}", PYTHON, "-c", "import time; print('ready', flush=True); time.sleep(600)"])
    try:
        assert next(own.lines()) == "ready"
        (pid,) = nobody.check(["pgrep", "-f", "import time; print"]).split()[:1]
        assert len(tried(nobody, ON_A_PROCESS, (SECRET,), PID=pid)) >= 6
    finally:
        own.close()
