"""What befalls a run that disturbs a cluster, one function each; each returns when the cluster should be on its way to what it was.

They return the seconds after which it must be as it was found.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress

from harness.core.deadline import Deadline
from tests.harm.killed_run import LATE_S, KilledRun

REFUSES_S = 60.0  # every undoing, from the deed on
DISK = "8m"  # for the reports: a run's first files fit
AFTER_THE_RUN_S = 120.0
SESSIONS = r"""ps -eo pid=,args= | awk '/[s]shd.*: root/ { print $1 }' | xargs -r kill -9"""

# Agents that nobody asks any more end and tidy up after minutes; here sooner.
SHORT_LIVES = """
from harness.remote.agents import agent_launch
agent_launch.ORPHAN_TIMEOUT_S, agent_launch.SPOOL_KEPT_S = 4.0, 1.0
"""
# Prepended to each undoing that a host is sent: it fails as long as a file is there. The watchdog gets the same text.
REFUSE = """
from harness.hosts.deadman import deadman_switch as deadman
do = deadman.Deadman.do
def refusing(self, script, **more):
    undo = "[ ! -e /run/customer/refuses ] || { echo 'the undoing is refused' >&2; exit 1; }\\n" + script.undo
    return do(self, deadman.Script(script.act, undo, script.check), **more)
deadman.Deadman.do = refusing
"""
# Between the last look and the deed somebody else acts: this process says that it has looked, and waits for that.
PAUSE = """
from pathlib import Path
from harness.core.deadline import Deadline
from harness.disrupt import disruption as base
here = Path(__file__).parent
for kind in base.all_of().values():
    def begin(self, deadline, do=kind.begin):
        if not (here / "looked").exists():
            (here / "looked").touch()
            Deadline(300).wait_for((here / "moved").exists, what="somebody else's move", every=0.05)
        do(self, Deadline(deadline.seconds))
    kind.begin = begin
"""


def none(run: KilledRun) -> float:
    run.begin()
    run.finish()
    return AFTER_THE_RUN_S


def harness_killed(run: KilledRun) -> float:
    run.begin(plugin=SHORT_LIVES)
    _at_a_moment(run)
    return _it_ends(run)


def harness_and_guardian_killed(run: KilledRun) -> float:
    """Nobody is left who could move anything back: the hosts undo their own, and a person moves the rest by the plan's own line."""
    run.begin(plugin=SHORT_LIVES)
    _at_a_moment(run)
    return _both_end(run)


def _it_ends(run: KilledRun) -> float:
    if not run.over:
        run.kill()
    return run.stated_s() + LATE_S


def _both_end(run: KilledRun) -> float:
    _end(run.guardians())
    if not run.over:
        run.kill()
    stated = Deadline(run.stated_s() + LATE_S)
    stated.wait_for(lambda: stated.expired or not _armed(run), what="the hosts undoing their own", every=0.5)
    assert not _armed(run), (run.told, _armed(run))
    _power(run)
    _end_what_waits_for_a_disk(run)
    if run.active() != run.found:
        run.tell("moved back by hand")
        run.move_to(run.found)
    for node in (run.found, run.other()):
        run.inside(node, "rm -rf /run/lkharness-lease /run/lkharness-lease.lock")  # over by its date; lies there until the next run
    return AFTER_THE_RUN_S


def sessions_killed(run: KilledRun) -> float:
    run.begin()
    if _at_a_moment(run):
        _sessions_end(run)
    run.finish()
    return AFTER_THE_RUN_S


def node_reset(run: KilledRun) -> float:
    run.begin()
    if _at_a_moment(run):
        _reset(run)
    run.finish()
    return AFTER_THE_RUN_S + run.stated_s()


def disk_full(run: KilledRun) -> float:
    run.begin(disk=DISK)
    if _at_a_moment(run):
        with suppress(OSError), (run.reports / "filler").open("wb") as filler:
            while filler.write(b"0" * 65536):
                filler.flush()
        run.tell("the disk of the reports is full")
    stated = run.stated_s()
    run.finish()
    return AFTER_THE_RUN_S + stated


def undo_refused(run: KilledRun) -> float:
    for node in (run.found, run.other()):
        run.inside(node, "touch /run/customer/refuses")
    run.begin(plugin=REFUSE)
    if run.until("the deed", run.done):
        refused = Deadline(REFUSES_S)
        refused.wait_for(lambda: refused.expired, what="a minute", every=0.5)
    for node in (run.found, run.other()):
        run.inside(node, "rm -f /run/customer/refuses")
    run.tell("undoing is refused no longer")
    run.finish()
    return AFTER_THE_RUN_S + run.stated_s()


def role_moved(run: KilledRun) -> float:
    """Somebody else moves everything between the look and the deed: what is done then is done to nobody who was looked at."""
    run.begin(plugin=PAUSE)
    if run.until("the look", (run.folder / "looked").exists):
        run.move_to(run.other())
    (run.folder / "moved").touch()
    run.finish()
    if run.active() != run.found:
        run.tell("moved back by who moved it")
        run.move_to(run.found)
    return AFTER_THE_RUN_S


KILLED = {
    "the harness": 8,
    "the harness and its watchdog": 5,
    "its watchdog": 1,
    "its sessions": 3,
    "a node": 3,
}  # what is killed, and how often of 20


def killed_anywhere(run: KilledRun) -> float:
    """At any moment from the run's first word on."""
    what = run.chance.choices(list(KILLED), list(KILLED.values()))[0]
    run.begin(plugin=SHORT_LIVES if "harness" in what else "")
    run.until("the run's first word", lambda: list(run.reports.glob("2*/timeline.jsonl")))
    moment = Deadline(run.chance.uniform(0.0, 30.0))
    moment.wait_for(lambda: moment.expired or run.over, what="the moment", every=0.01)
    run.tell(f"{what} killed {moment.elapsed():.2f} s after its first word{', when it was over' if run.over else ''}")
    if what == "the harness":
        return _it_ends(run)
    if what == "the harness and its watchdog":
        return _both_end(run)
    if what == "its watchdog":
        _end(run.guardians())
    elif not run.over:
        _sessions_end(run) if what == "its sessions" else _reset(run)
    began = run.done()
    run.finish()
    if run.reset and not began and run.active() != run.found:
        run.tell("moved back by who reset it, because nothing was done yet")
        run.move_to(run.found)
    return AFTER_THE_RUN_S + run.stated_s()


CRASHES: dict[str, Callable[[KilledRun], float]] = {
    "none": none,
    "harness killed": harness_killed,
    "harness and watchdog killed": harness_and_guardian_killed,
    "sessions killed": sessions_killed,
    "node reset": node_reset,
    "disk full": disk_full,
    "undo refused": undo_refused,
    "role moved": role_moved,
}


def _end(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _sessions_end(run: KilledRun) -> None:
    for node in (run.found, run.other()):
        with suppress(AssertionError):  # it may have no power just now
            run.inside(node, SESSIONS)


def _reset(run: KilledRun) -> None:
    node = run.chance.choice([run.found, run.other()])
    run.reset = True
    run.tell(f"{node} is reset")
    run.lab.ask("power", node=node, to="reboot")


def _at_a_moment(run: KilledRun) -> bool:
    """Some time after the deed, within the next seconds; whether the run still went on."""
    if not run.until("the deed", run.done):
        return False
    moment = Deadline(run.chance.uniform(0.0, 4.0))
    moment.wait_for(lambda: moment.expired or run.over, what="the moment", every=0.01)
    run.tell(f"{moment.elapsed():.2f} s after the deed")
    return not run.over


WAITS_FOR_A_DISK = 'grep -qs "is not mounted here" "$d/failed"'


def _end_what_waits_for_a_disk(run: KilledRun) -> None:
    """A node that has not the disk cannot know that the other one has removed the file, and says so; a person looks, and ends it."""
    end = 'kill -- -$(cat "$d/pid") && rm -r "$d" && rmdir /run/lkharness && echo $d'
    line = f"for d in /run/lkharness/*; do {WAITS_FOR_A_DISK} && {end}; done; true"
    for node in (run.found, run.other()):
        for folder in run.inside(node, line).split():
            run.tell(f"{node}: {folder} waited for the disk; ended by hand")


def _armed(run: KilledRun) -> list[str]:
    """Whose undoing is still waiting, by what a person would look for; but for what waits for a disk, which it says."""
    found = []
    for node in (run.found, run.other(), "lkclient"):
        with suppress(Exception):
            found += [
                f"{node}: {one}"
                for one in run.inside(node, f'for d in /run/lkharness/*; do [ ! -d "$d" ] || {WAITS_FOR_A_DISK} || echo $d; done').split()
            ]
    return found


def _power(run: KilledRun) -> None:
    """A node without power gets it by the lab's own time; what the lab does not know of a person gives back."""
    for host in run.lab.ask("status")["hosts"]:
        if host["power"] != "on":
            run.tell(f"{host['name']} was {host['power']}; given back by hand")
            run.lab.ask("power", node=host["name"], to="thaw" if host["power"] == "frozen" else "on")
