"""What changes a cluster is started on the host and followed: no limit, no lost connection and no killed harness ends it half way."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, Unusable
from harness.hosts.detached_jobs import JobLost, StillRunning, run_to_its_end, unfinished_commands
from harness.hosts.host import Command, CommandResult, HostUnreachable
from harness.hosts.local_host import LocalHost
from harness.hosts.shell_command import wrap_command
from harness.lab.lifecycle import default_cluster
from harness.managers.kinds.lifekeeper import LifeKeeper
from harness.managers.manager import SwitchRefused

PATIENT_S = 60.0


class Login(LocalHost):
    """This machine as sshd gives it: the line that is sent to a log-in shell, ended by `timeout` when its limit has passed."""

    def run(self, command: Command, *, limit: float = 10.0, input: bytes | None = None) -> CommandResult:
        done = super().run(wrap_command(command, limit=limit), limit=limit + 5, input=input)
        return CommandResult(done.host, done.command, done.exit, done.out.partition("\x1e\n")[2], done.err, done.started, done.seconds)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[str]:
    place = tmp_path / "jobs"
    yield str(place)
    for file in place.glob("*/pid"):  # what a test gave up
        pid, began = file.read_text().split()
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists() and stat.read_text().split()[21] == began:
            os.killpg(int(pid), 9)


def until(holds, what: str) -> None:
    Deadline(PATIENT_S).wait_for(holds, what=what, every=0.05)


def test_its_output_exit_and_folder(folder: str):
    done = run_to_its_end(Login("n1"), "echo one; echo two >&2; umask; exit 7", Deadline(PATIENT_S), folder=folder)
    umask = subprocess.run(["sh", "-c", "umask"], capture_output=True, text=True, check=True).stdout
    assert (done.exit, done.out) == (7, f"one\ntwo\n{umask}")
    until(lambda: not Path(folder).exists(), "nothing being left")


def test_words_stay_words(folder: str):
    assert run_to_its_end(Login("n1"), ["printf", "%s|", "a b", "$x", "'"], Deadline(PATIENT_S), folder=folder).out == "a b|$x|'|"


def test_giving_up_kills_neither_it_nor_its_children(folder: str, tmp_path: Path):
    """Half a switchover is worse than a late one: fsck, mount and a database's start are children of the action."""
    go, done = tmp_path / "go", tmp_path / "done"
    child = f"trap 'echo killed >{done}' TERM; until [ -e {go} ]; do sleep 0.05; done; echo whole >{done}"
    with pytest.raises(StillRunning, match=r"n1: `sh -c .*` has not ended within 1 s; it was not ended, and goes on there"):
        run_to_its_end(Login("n1"), f"sh -c {shlex.quote(child)} & wait", Deadline(1.0), folder=folder)
    (said,) = unfinished_commands(Login("n1"), folder=folder)
    assert said.startswith("sh -c ")
    go.touch()
    until(done.exists, "the action's end")
    assert done.read_text() == "whole\n"
    until(lambda: not unfinished_commands(Login("n1"), folder=folder), "the job being over")


class Forgetful(Login):
    """Loses the connection now and then."""

    lost = 0

    def run(self, command: Command, *, limit: float = 10.0, input: bytes | None = None) -> CommandResult:
        if "lkharness-look" in command and self.lost < 2:
            self.lost += 1
            raise HostUnreachable("n1: the connection was lost")
        return super().run(command, limit=limit, input=input)


def test_a_lost_connection_is_made_again_and_nothing_is_done_twice(folder: str, tmp_path: Path):
    host = Forgetful("n1")
    assert run_to_its_end(host, f"echo once >>{tmp_path}/count", Deadline(PATIENT_S), folder=folder).ok and host.lost == 2
    assert (tmp_path / "count").read_text() == "once\n"


def test_a_daemon_that_it_starts_does_not_hold_it_up(folder: str, tmp_path: Path):
    """One that keeps the output open for its whole life, as careless ones do."""
    done = run_to_its_end(Login("n1"), f"sleep 1000 & echo $! >{tmp_path}/pid", Deadline(PATIENT_S), folder=folder)
    os.kill(int((tmp_path / "pid").read_text()), 9)
    assert done.exit == 0 and done.seconds < 30


def test_one_that_was_killed_is_told(folder: str):
    with pytest.raises(JobLost, match="neither ended nor runs"):
        run_to_its_end(Login("n1"), "kill -KILL 0", Deadline(PATIENT_S), folder=folder)


def test_a_folder_of_somebody_elses_is_refused(folder: str, tmp_path: Path):
    (tmp_path / "theirs").mkdir(mode=0o755)
    Path(folder).symlink_to(tmp_path / "theirs")
    for place in (folder, str(tmp_path / "theirs")):
        with pytest.raises(Unusable, match=r"was not started: .* cannot be used: it must be a folder of this account's own"):
            run_to_its_end(Login("n1"), f"touch {tmp_path}/done", Deadline(PATIENT_S), folder=place)
    assert not (tmp_path / "done").exists()


@pytest.fixture
def slow_lifekeeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> LifeKeeper:
    """perform_action waits for its child, as a restore does for a database's start."""
    monkeypatch.setattr("harness.hosts.detached_jobs.FOLDER", folder)
    bin = tmp_path / "LifeKeeper" / "bin"
    bin.mkdir(parents=True)
    child = f"trap 'echo killed >{tmp_path}/state' TERM; until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo ISP >{tmp_path}/state"
    (bin / "perform_action").write_text(f"#!/bin/sh\nsh -c {shlex.quote(child)} & wait\n")
    (bin / "lcdstatus").write_text(
        '#!/bin/sh\necho "LOCAL TAG ID STATE PRIO PRIMARY"\n'
        f'echo "lknode01 grp grp $(cat {tmp_path}/state 2>/dev/null || echo OSU) 1 lknode01"\n'
    )
    for file in bin.iterdir():
        file.chmod(0o755)
    data = default_cluster.cluster_data(overrides={"manager": {"root": str(bin.parent), "resource": "grp"}})
    cluster = cluster_config.parse(data, tmp_path / "cluster.toml")
    return LifeKeeper(cluster, {n.name: Login(n.name) for n in cluster.nodes})


def test_a_switchover_of_lifekeeper_outlives_the_harness_s_patience(slow_lifekeeper: LifeKeeper, tmp_path: Path):
    with pytest.raises(DeadlineExceeded, match="perform_action -t grp -a restore"):
        slow_lifekeeper.switch_over("lknode01", deadline=Deadline(1.0))
    (tmp_path / "go").touch()
    until((tmp_path / "state").exists, "the restore's end")
    assert (tmp_path / "state").read_text() == "ISP\n"
    slow_lifekeeper.switch_over("lknode01", deadline=Deadline(PATIENT_S))


def test_what_it_did_not_do_is_refused_with_its_words(slow_lifekeeper: LifeKeeper, tmp_path: Path):
    (tmp_path / "LifeKeeper/bin/perform_action").write_text("#!/bin/sh\necho the disk is reserved >&2; exit 1\n")
    with pytest.raises(SwitchRefused, match=r"left grp standby \(exit 1\); it said: the disk is reserved"):
        slow_lifekeeper.switch_over("lknode01", deadline=Deadline(PATIENT_S))
