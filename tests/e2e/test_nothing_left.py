"""`kill -9` of the lab's first process, at any moment, leaves nothing: no process, namespace, mount, socket or rule."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_shell import Shell, Traces, descendants, namespaces, processes, shell_in

from harness.core.deadline import Deadline
from harness.lab.control import lab_registry
from tests.e2e.forked_commands import Begun

SEED = int(os.environ.get("LKHARNESS_TEST_SEED") or random.SystemRandom().randrange(10**6))
CHANCE = random.Random(SEED)

HOLD = """
import signal
from harness.lab.lifecycle import launch; from harness.lab.lifecycle import default_cluster as seed
lab = launch.up(seed.cluster_data(overrides={"services": seed.DEFAULT_CLUSTER["services"][:1]}), name="held", persistent=False)
signal.pause()
"""


@pytest.fixture
def shell(tmp_path) -> Iterator[Shell]:
    print(f"the random moments come from LKHARNESS_TEST_SEED={SEED}")
    with shell_in(tmp_path / "state") as one:
        yield one


def kill_first(shell: Shell, pid: int) -> Traces:
    traces = Traces(shell, pid)
    traces.kill()
    return traces


def first_process(up: Begun) -> int | None:
    """The first process in a pid namespace of its own below `lab up`."""
    for pid in below(up.pid):
        own = {kind: inode for kind, inode in namespaces(pid)}
        if own.get("pid") not in (None, Path("/proc/self/ns/pid").stat().st_ino):
            return pid
    return None


def below(pid: int) -> Iterator[int]:
    """The processes below this one, by the lists of children: for one that is asked every few milliseconds."""
    children: list[str] = []
    with contextlib.suppress(OSError):
        for told in Path(f"/proc/{pid}/task").glob("*/children"):
            children += told.read_text().split()
    for child in map(int, children):
        yield child
        yield from below(child)


@pytest.mark.parametrize(
    "moment",
    [
        "at once",
        pytest.param("with its network", marks=pytest.mark.deep),
        pytest.param("while its hosts boot", marks=pytest.mark.deep),
        "while its hosts boot, later",
    ],
)
def test_while_it_comes_up(shell: Shell, moment: str):
    """`lab up` then says so in one sentence, exits 4 and removes the folder; only the log of the failure stays, for `lab clean`."""
    up = shell.begin_forked("-m", "harness.cli", "lab", "up", "--name", "victim")
    pid = Deadline(120).wait_for(lambda: first_process(up), what="the lab's first process", every=0.005)
    if moment == "with its network":
        Deadline(120).wait_for(lambda: lab_registry.read(shell.labs / "victim").pid == pid, what="its network being up", every=0.002)
    elif "boot" in moment:
        # How many processes there are tells how far it has come: a moment that means the same on any machine.
        count = CHANCE.randint(3, 8) if moment.endswith("boot") else CHANCE.randint(9, 20)
        print(f"killed once it has {count} processes")
        Deadline(120).wait_for(
            lambda: sum(1 for _ in below(pid)) >= count - 1 or up.poll() is not None, what=f"{count} processes of the lab", every=0.01
        )
    came_up = up.poll() is not None
    traces = kill_first(shell, pid)
    out, err = up.communicate(timeout=120)
    traces.gone()
    assert "Traceback" not in err
    if came_up or up.returncode == 0:  # it came up after all, just before the blow
        assert shell.folders() == ["victim"]
    else:
        assert (up.returncode, out) == (4, "")
        assert "lkharness: the lab's first process died" in err
        assert "victim" not in shell.folders()
    assert shell.lkharness("lab", "clean").returncode == 0
    assert shell.folders() == []


@pytest.mark.deep  # test_cli kills one that is in service for `lab clean`, and looks for the same
def test_in_service(shell: Shell):
    """The pid is the one that `lab status --json` tells."""
    pid = shell.up("--name", "victim")["pid"]
    traces = kill_first(shell, pid)
    assert len(traces.pids) > 15 and len(traces.ports) == 3, "the lab was in service"
    traces.gone()
    status = shell.lkharness("lab", "status", "--name", "victim")
    assert status.returncode == 4 and "is not running" in status.stderr
    assert shell.lkharness("lab", "clean").returncode == 0
    assert shell.folders() == []


def test_during_a_switchover(shell: Shell):
    """At a random moment between the order and its end."""
    shell.home.mkdir()
    pid = shell.up("--name", "victim", "--file", shell.modest("listener"))["pid"]
    order = ["/opt/LifeKeeper/bin/perform_action", "-t", "cluster-services", "-a", "restore"]
    switch = shell.begin_forked("-m", "harness.cli", "lab", "exec", "lknode02", "--", *order)
    inside = namespaces(pid) - namespaces(os.getpid())
    order_pid = Deadline(120).wait_for(lambda: ordered(switch.pid), what="the switchover's beginning", every=0.01)
    looks = CHANCE.randint(1, 60)
    print(f"killed after {looks} looks")
    for _ in range(looks):
        assert any(namespaces(p) & inside for p in processes())
    during = stopped(order_pid)  # it cannot end between this look and the blow
    traces = kill_first(shell, pid)
    for one in descendants(switch.pid):  # nsenter stops with what it has started
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGCONT)
    traces.gone()
    switch.communicate(timeout=120)
    print("the switchover was still under way" if during else "the switchover was over already")
    assert not during or switch.returncode != 0
    assert shell.lkharness("lab", "clean").returncode == 0
    assert shell.folders() == []


def ordered(pid: int) -> int | None:
    """The process inside the node that carries out the order which this process gave, once it has begun."""
    outside = {inode for kind, inode in namespaces(os.getpid()) if kind == "pid"}
    for one in below(pid):
        with contextlib.suppress(OSError):
            if b"perform_action" in Path(f"/proc/{one}/cmdline").read_bytes() and any(
                kind == "pid" and inode not in outside for kind, inode in namespaces(one)
            ):
                return one
    return None


def stopped(pid: int) -> bool:
    """Stops a process where it is; False when it has ended."""
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, signal.SIGSTOP)
        state = Path(f"/proc/{pid}/stat")
        letter = Deadline(60).wait_for(
            lambda: state.read_text().rpartition(")")[2].split()[0], until=lambda now: now in "TZX", what="it being stopped", every=0.002
        )
        return letter == "T"
    return False


def test_a_lab_dies_with_its_test_run(shell: Shell):
    """A lab that is not persistent goes when the process that holds it is killed, whatever that was doing."""
    holder = shell.begin("-c", HOLD)
    pid = Deadline(120).wait_for(lambda: lab_registry.read(shell.labs / "held").pid, what="the lab being there", every=0.01)
    assert pid is not None
    traces = Traces(shell, pid)
    assert traces.namespaces
    holder.kill()
    holder.communicate()
    traces.gone()
    assert shell.lkharness("lab", "clean").returncode == 0
    assert shell.folders() == []
