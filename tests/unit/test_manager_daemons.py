"""*Manager crash* kills daemons whose end the manager mends, and of what a pid file names only what bears a daemon's name."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.disrupt.lease_and_role_check import REFUSED_EXIT
from harness.disrupt.node.manager_crash import ManagerCrash
from harness.hosts.host import CommandFailed
from harness.hosts.local_host import LocalHost
from harness.lab.lifecycle import default_cluster
from harness.managers.kinds.lifekeeper import LifeKeeper
from harness.managers.kinds.pacemaker import Pacemaker

NAME = "lkvmhad"  # of LifeKeeper's, and of no process of this machine's


def a_cluster(kind: str, **manager: object) -> cluster_config.Cluster:
    return cluster_config.parse({**default_cluster.cluster_data(None, {}), "manager": {"kind": kind, **manager}}, Path("a test's"))


def a_subject(cluster: cluster_config.Cluster, **about: Any) -> Any:
    manager = (Pacemaker if cluster.manager.kind == "pacemaker" else LifeKeeper)(cluster, {})
    manager.in_service_test = lambda tag: about.get("role", "true")  # type: ignore[method-assign]
    return SimpleNamespace(
        cluster=cluster, manager=manager, active="lknode01", hosts={"lknode01": LocalHost("lknode01")}, lease_line="", standing=[]
    )


@pytest.mark.parametrize(
    ("kind", "daemons", "named"),
    [
        ("pacemaker", None, ""),
        ("pacemaker", ["pacemaker-schedulerd", "corosync"], "manager.daemons names corosync, and"),
        ("pacemaker", ["pacemaker-based", "pacemaker-controld"], "names pacemaker-based, pacemaker-controld, and"),
        ("lifekeeper", None, ""),
        ("lifekeeper", ["lcm", "lkscsid"], ""),
        ("lifekeeper", ["corosync"], "names corosync"),
    ],
)
def test_what_fences_its_node_is_refused(kind: str, daemons: list[str] | None, named: str) -> None:
    """Nobody was asked whether anything fences, or whether a manager starts at boot: this is no disruption of that kind."""
    why = ManagerCrash(a_subject(a_cluster(kind, daemons=daemons))).skip_reason() or ""
    assert named in why and bool(why) is bool(named)


@pytest.fixture
def named_process(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of a daemon's name."""
    program = tmp_path / NAME
    shutil.copy(shutil.which("sleep") or "", program)
    process = subprocess.Popen([str(program), "120"])
    yield process
    process.kill()
    process.wait()


def a_crash(folder: Path, pids: list[int], **about: Any) -> ManagerCrash:
    (folder / "daemon.pid").write_text("\n".join(map(str, pids)) + "\n")
    return ManagerCrash(a_subject(a_cluster("lifekeeper", daemons=[], daemon_pid_files=[folder / "daemon.pid"]), **about))


def test_a_pid_that_is_anothers_by_now_is_left_alone(tmp_path: Path, named_process: subprocess.Popen[bytes]) -> None:
    """A file outlived its daemon: this very process has its number by now. Of the two that it names one is killed."""
    crash = a_crash(tmp_path, [os.getpid(), named_process.pid])
    crash.begin(Deadline(30))
    assert named_process.wait(30) < 0
    assert [word.split(":")[0] for word in crash._killed_processes] == [str(named_process.pid)]


def test_a_role_that_moved_keeps_it_from_being_done(tmp_path: Path, named_process: subprocess.Popen[bytes]) -> None:
    with pytest.raises(CommandFailed, match="was active and is not any more") as refused:
        a_crash(tmp_path, [named_process.pid], role="false").begin(Deadline(30))
    assert refused.value.result.exit == REFUSED_EXIT and named_process.poll() is None
