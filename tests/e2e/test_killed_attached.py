"""A run against an attached cluster, killed at a random moment: within the time that its plan states the cluster is as found, the
active node included, and the lease is gone (issue 4, section 5). Once; with --deep 50 times (LKHARNESS_KILLS sets how many), and as
often on stand-ins for Windows.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tomli_w
from command_shell import Shell, shell_in

from harness.attach.lease import FOLDER
from harness.attach.watchdog import FILE
from harness.cluster.cluster_audit import audit
from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError
from harness.core.timeline import Timeline
from harness.lab.control import lab_registry, nsenter
from harness.lab.guests.windows.stand_ins import lease_scripts
from harness.lab.lifecycle import default_cluster
from tests import deep_option
from tests.pytest_process import PYTEST

KILLS = deep_option.number(1, 50, "LKHARNESS_KILLS")
SEED = int(os.environ.get("LKHARNESS_TEST_SEED") or random.SystemRandom().randrange(10**6))
LATE_S = 5.0  # a busy machine's allowance beyond the stated time
LONGEST_WAIT_S = 14.0  # after the lease was taken
SWITCHING = ["tests/acceptance/test_switching.py", "-k", "switchover"]
DONE = [SWITCHING, SWITCHING, *(["tests/failover", "--disruption", n] for n in ("switchover", "failback", "power loss", "IP resource out"))]
DONE += [["tests/failover", "--disruption", n] for n in ("service hang", "one comm path cut", "NIC down Subnet#2", "service crash")]
NOT_ON_WINDOWS = ("IP resource out", "service hang")  # for which there is no way of Windows' own
TIMERS = {
    "services": default_cluster.DEFAULT_CLUSTER["services"][:1],  # what is put back is the same with more of them
    "manager": {"takeover_s": 2.5},
    "budget": {"margin_s": 2.0},
}


@pytest.fixture(scope="module", params=["linux", pytest.param("windows", marks=pytest.mark.deep)])
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("state")
    (folder / "lab.toml").write_text(tomli_w.dumps(TIMERS))
    with shell_in(folder) as one:
        one.up("--name", "stranger", "--file", folder / "lab.toml", "--platform", request.param)
        yield one


@pytest.fixture(scope="module")
def subject(shell: Shell) -> Iterator[ClusterUnderTest]:
    made = ClusterUnderTest(cluster_config.load(shell.labs / "stranger" / "cluster.toml"), Timeline())
    yield made
    made.close()


def on_windows(subject: ClusterUnderTest) -> bool:
    return subject.cluster.nodes[0].platform == "windows"


def leases(subject: ClusterUnderTest) -> list[str]:
    """Which nodes have one, looked for from outside: that starts no process, so it may be asked at any pace."""
    known_hosts = subject.cluster.nodes[0].ssh.known_hosts
    assert known_hosts is not None
    lab, file = lab_registry.read(known_hosts.parent), lease_scripts.FILE if on_windows(subject) else FOLDER
    return [n.name for n in subject.cluster.nodes if os.path.lexists(f"/proc/{nsenter.host_pid(lab, n.name)}/root{file}")]


def active_now(subject: ClusterUnderTest) -> str:
    """Asked until it is told: the node that the last test cut off may still be on its way to where this process can ask it."""
    return str(Deadline(120).wait_for(lambda: heard(lambda: subject.manager.state().active), what="one active node", every=0.5))


def heard(ask: Callable[[], str | list[str] | None]) -> str | list[str] | None:
    """What was told, or None where nobody could be asked just now."""
    try:
        return ask()
    except HarnessError:
        return None


def as_found(subject: ClusterUnderTest, active: str) -> str:
    """Empty when it is; otherwise what is not."""
    try:
        if left := leases(subject):
            return f"the lease is on {left}"
        if (now := subject.manager.state()).active != active:
            return f"{active} was active: {now}"
        verdict = audit(subject, patience_s=0.0)
        return "" if verdict else verdict.reason
    except HarnessError as error:
        return str(error)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", range(KILLS))
def test_a_killed_run_leaves_the_cluster_as_it_was_found(shell: Shell, subject: ClusterUnderTest, tmp_path: Path, number: int) -> None:
    chance = random.Random(f"{SEED} {number}")
    print(f"LKHARNESS_TEST_SEED={SEED}")
    found = active_now(subject)
    done = [one for one in DONE if one[-1] not in NOT_ON_WINDOWS] if on_windows(subject) else DONE
    words = done[chance.randrange(len(done))]
    file = shell.labs / "stranger" / "cluster.toml"
    run = shell.begin_forked(
        *PYTEST,
        "-q",
        *words,
        *("--cluster", file, "--allow-disruption", "--period", "250", "--reports", tmp_path),
        *(["--allow-unproven"] if on_windows(subject) else []),  # whether a copy of the data is complete nobody can tell there
    )
    Deadline(120).wait_for(lambda: heard(lambda: leases(subject)) or run.poll() is not None, what="the lease being taken", every=0.05)
    moment = Deadline(chance.uniform(0.0, LONGEST_WAIT_S))
    moment.wait_for(lambda: moment.expired or run.poll() is not None, what="the moment", every=0.05)
    run.kill()
    killed = time.monotonic()
    said = "".join(run.communicate())
    print(f"{words} killed {moment.elapsed():.2f} s after the lease was taken")
    (folder,) = tmp_path.glob("2*")
    stated = re.search(r"within ([\d.]+) s at most", (folder / "timeline.jsonl").read_text())
    limit = (float(stated[1]) if stated else 60.0) + LATE_S
    Deadline(limit, anchor=killed).wait_for(
        lambda: as_found(subject, found), until=lambda left: not left, what=f"{words} being put back ({said[-300:]})", every=0.5
    )
    told = (folder / FILE).read_text() if (folder / FILE).exists() else "no watchdog had begun, or it was dismissed\n"
    print(f"as it was found {time.monotonic() - killed:.1f} s after that, {limit - LATE_S:g} s stated\n{told}")
    assert "could not be put back" not in told and json.loads((folder / "run.json").read_text())["run_id"] == folder.name
