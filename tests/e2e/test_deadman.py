"""The deadman on a real host: what is done is undone in time, whoever dies at whichever moment, and nothing of it is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from namespaced_host import own_machine

from harness.core.deadline import Deadline
from harness.hosts.deadman.deadman_switch import FOLDER, MARK, RUN, Deadman, Script, UndoFailed, remains
from harness.hosts.host import CommandFailed, HostUnreachable
from harness.hosts.local_host import LocalHost

LONGEST_S = 1.5
LATE_S = 15.0  # a busy machine's allowance; every wait ends as soon as what it waits for is there
ROOT = Path(__file__).parents[2]


@pytest.fixture
def here():
    with own_machine() as host:
        yield host


@pytest.fixture
def thing(tmp_path: Path) -> Path:
    """What is done: this file is made. What is undone: it is removed, and every undoing leaves a line."""
    return tmp_path / "done"


def script(thing: Path, *, act: str = "", undo: str = "") -> Script:
    return Script(f"touch {thing}; {act}", f"echo undone >>{thing}.log; {undo} rm -f {thing}", f"[ ! -e {thing} ]")


def undone(thing: Path) -> int:
    log = thing.with_name("done.log")
    return len(log.read_text().splitlines()) if log.exists() else 0


def ours(host: LocalHost) -> list[str]:
    """What is left of this test."""
    return remains(host)


def test_it_is_done_and_undone_once(here, thing):
    """Armed first, then done, at a moment that the host tells; undone once, and again is nothing; nothing is left."""
    deadman = Deadman(here, "a thing", longest=60)
    moment = deadman.do(script(thing, act='[ -e "$d/undo" ] && [ -s "$d/pid" ]'), limit=120)
    assert moment and moment[0] <= moment[1]
    assert thing.exists()
    left = ours(here)
    assert any(line.startswith("folder ") for line in left) and any(line.startswith("process ") for line in left), left
    assert deadman.undo(Deadline(120)) is True
    assert not thing.exists() and undone(thing) == 1 and ours(here) == []
    assert deadman.undo(Deadline(120)) is False and undone(thing) == 1


def test_the_host_undoes_it_when_nobody_does(here, thing):
    """Without anybody the host itself has undone it after its longest time, and left nothing."""
    deadman = Deadman(here, "a thing", longest=LONGEST_S)
    deadman.do(script(thing), limit=120)
    Deadline(LONGEST_S + LATE_S).wait_for(lambda: not ours(here), what="the host undoing it by itself")
    assert not thing.exists() and undone(thing) == 1
    assert deadman.undo(Deadline(120)) is False


def test_two_undoings_at_once_are_one(here, thing):
    """Somebody undoes while the deadman does: only one of them carries it out, and both are content."""
    deadman = Deadman(here, "a thing", longest=1.0)
    deadman.do(script(thing, undo="sleep 0.7;"), limit=120)
    Deadline(LATE_S).wait_for(lambda: undone(thing), what="the deadman beginning to undo", every=0.02)
    assert deadman.undo(Deadline(120)) is False
    assert undone(thing) == 1 and ours(here) == []


def test_an_undoing_cut_short_is_done_again(here, thing):
    """Whoever undoes is killed in the middle of it: the lock goes with him, and the deadman undoes in time."""
    deadman = Deadman(here, "a thing", longest=6.0)
    undo = f"[ -e {thing}.first ] || {{ touch {thing}.first; kill -KILL 0; }};"
    deadman.do(script(thing, undo=undo), limit=120)
    with pytest.raises(UndoFailed):
        deadman.undo(Deadline(0.0))
    assert thing.exists()
    Deadline(6.0 + LATE_S).wait_for(lambda: not ours(here), what="the deadman doing it again")
    assert not thing.exists() and undone(thing) == 2


def test_giving_up_waiting_ends_no_undoing(here, thing):
    """What an undoing has begun (a service's start, say) is not ended half way because the harness waits no longer."""
    deadman = Deadman(here, "a thing", longest=60)
    begun, go_on = thing.with_name("begun"), thing.with_name("go-on")
    deadman.do(script(thing, undo=f"touch {begun}; while [ ! -e {go_on} ]; do sleep 0.05; done;"), limit=120)
    with pytest.raises(UndoFailed):
        deadman.undo(Deadline(0.0))  # its limit on the host is 2 s, and LocalHost kills the session of what takes longer
    assert begun.exists() and thing.exists()
    go_on.touch()
    Deadline(LATE_S).wait_for(lambda: not ours(here), what="the undoing that had begun going on to its end")
    assert not thing.exists() and undone(thing) == 1


def test_an_undoing_that_fails_is_told(here, thing):
    """The harness says so, the folder stays and says why, and once it can be undone it is."""
    deadman = Deadman(here, "a thing", longest=1.0)
    blocker = thing.with_name("blocker")
    blocker.touch()
    deadman.do(script(thing, undo=f"[ ! -e {blocker} ] || {{ echo it is blocked; exit 1; }};"), limit=120)
    with pytest.raises(UndoFailed, match=r"it is blocked.*run its `undo`"):
        deadman.undo(Deadline(0.3))
    failed = Deadline(LATE_S).wait_for(lambda: [x for x in ours(here) if "failed and said" in x], what="the deadman's failure being told")
    assert "it is blocked" in failed[0] and thing.exists()
    blocker.unlink()
    deadman.undo(Deadline(120))
    Deadline(LATE_S).wait_for(lambda: not ours(here), what="nothing being left")
    assert not thing.exists()


def test_a_check_that_finds_it_still_done_is_a_failure(here, thing):
    deadman = Deadman(here, "a thing", longest=60)
    deadman.do(Script(f"touch {thing}", ":", f"[ ! -e {thing} ] || {{ echo it is still there; exit 1; }}"), limit=120)
    with pytest.raises(UndoFailed, match="it is still there"):
        deadman.undo(Deadline(0.3))
    thing.unlink()
    assert deadman.undo(Deadline(120)) is True and ours(here) == []


def test_what_fails_half_way_is_undone(here, thing):
    deadman = Deadman(here, "a thing", longest=60)
    with pytest.raises(CommandFailed, match="no more"):
        deadman.do(script(thing, act="echo no more >&2; exit 7"), limit=120)
    assert thing.exists() and deadman.undo(Deadline(120)) is True
    assert not thing.exists() and ours(here) == []


def test_nothing_is_done_that_could_not_be_undone(here, thing):
    """Without the tools that arm the undoing the thing is not done."""
    bare = LocalHost("bare", prefix=["env", "PATH=/nonexistent"])
    with pytest.raises((CommandFailed, HostUnreachable)):
        Deadman(bare, "a thing", longest=60).do(script(thing), limit=120)
    assert not thing.exists() and ours(here) == []


# The moments: while it is being armed, right after, in the middle of doing, right after doing; and whose death it is.
HARNESS = """
import json, sys
from harness.hosts.deadman import deadman_switch as deadman
from harness.hosts.local_host import LocalHost
one = deadman.Deadman(LocalHost("here", prefix=json.loads(sys.argv[1])), "killed", longest=float(sys.argv[2]))
print("begins", flush=True)
one.do(deadman.Script(*sys.argv[3:6]), limit=30)
print("done", flush=True)
sys.stdin.read()
"""


# Both kinds of death in the middle of doing; of the other moments one of them here, and the other in the deep part.
DEATHS = [
    pytest.param(moment, whole, marks=pytest.mark.deep if deep else (), id=f"{'harness and its shell' if whole else 'harness'}-{moment}")
    for moment, whole, deep in (
        ("begins", False, False),
        ("begins", True, True),
        ("armed", False, True),
        ("armed", True, False),
        ("in the middle", False, False),
        ("in the middle", True, False),
        ("done", False, False),
        ("done", True, True),
    )
]


@pytest.mark.parametrize(("moment", "whole_session"), DEATHS)
def test_killed_at_any_moment(here, thing, moment, whole_session):
    """The harness is killed, alone or with the shell that did it for it: the host undoes it within the longest time, and is clean."""
    middle = thing.with_name("middle")
    does = script(thing, act=f"touch {middle}; sleep 0.3" if moment == "in the middle" else "")
    words = [sys.executable, "-c", HARNESS, json.dumps(here._prefix), str(LONGEST_S), does.act, does.undo, does.check]
    harness = subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, cwd=ROOT)
    assert harness.stdout and harness.stdout.readline() == "begins\n"
    if moment == "armed":
        Deadline(LATE_S).wait_for(lambda: remains(here), what="the arming", every=0.001)
    elif moment == "in the middle":
        Deadline(LATE_S).wait_for(middle.exists, what="the middle of doing", every=0.001)
    elif moment == "done":
        assert harness.stdout.readline() == "done\n"
    shells = _children(harness.pid)
    harness.kill()
    if whole_session:
        for shell in shells:
            _kill_group(shell)
    harness.communicate()
    Deadline(LONGEST_S + LATE_S).wait_for(lambda: not _shells(here) and not remains(here), what="nothing being done and nothing left")
    assert not thing.exists()


def _children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it was over already


def _shells(host: LocalHost) -> list[str]:
    """Shells that may still be about to do it."""
    return host.check("ps -eo pid=,args= | grep '[l]kharness-arm' || true").splitlines()


def test_remains_sees_every_kind(here):
    """The positive control of `nothing is left`: a process and a table of ours are seen (the folder is, above)."""
    process = here.start(["env", f"{MARK}={RUN}/x", "sleep", "60"])
    try:
        Deadline(LATE_S).wait_for(lambda: any(f"(sleep) of {RUN}/x" in line for line in remains(here)), what="the process being told")
    finally:
        process.close()
    here.check("mkdir '/run/a disk' && mount -t tmpfs none '/run/a disk' && : >'/run/a disk/.lkharness-abc'")
    assert "file /run/a disk/.lkharness-abc" in remains(here)
    here.check(f"PATH=$PATH:/usr/sbin; nft add table inet lkharness_{RUN}")
    assert f"nft table inet lkharness_{RUN}" in remains(here)
    assert FOLDER.startswith("/run/")
