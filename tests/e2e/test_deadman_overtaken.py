"""An undoing never overtakes what it undoes: it waits for what is being done, and what it came before is not done any more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from namespaced_host import own_machine, path, with_programs

from harness.core.deadline import Deadline
from harness.core.errors import HarnessError
from harness.hosts.deadman.deadman_switch import ArmedUndo, Deadman, Script, remains, send_undoing
from harness.hosts.host import CommandFailed

LATE_S = 60.0  # a busy machine's allowance; every wait ends as soon as what it waits for is there
FORBIDDEN = "/run/lkharness-undone"


@pytest.fixture
def here():
    with own_machine() as host:
        yield host


@pytest.fixture
def thing(tmp_path: Path) -> Path:
    """What is done: this file is made."""
    return tmp_path / "done"


def script(thing: Path, act: str = "") -> Script:
    return Script(f"{act}touch {thing}", f"rm -f {thing}", f"[ ! -e {thing} ]")


def waits(thing: Path, word: str) -> str:
    """Shell that says that it is there, and waits until it is told to go on."""
    return f"touch {thing}.{word}; while [ ! -e {thing}.go ]; do sleep 0.05; done; "


def until(thing: Path, word: str) -> None:
    Deadline(LATE_S).wait_for(Path(f"{thing}.{word}").exists, what=word, every=0.01)


class Beside(threading.Thread):
    """Does something beside the test; `error` is what it raised."""

    def __init__(self, doing: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._doing, self.error = doing, None
        self.start()

    def run(self) -> None:
        try:
            self._doing()
        except HarnessError as error:
            self.error = error

    def ended(self) -> HarnessError | None:
        self.join(LATE_S)
        assert not self.is_alive()
        return self.error


def test_an_undoing_waits_for_what_is_being_done(here, thing):
    """Sent while the act goes on: it is carried out when the act has ended, and both are content."""
    deadman = Deadman(here, "a thing", longest=120)
    doing = Beside(lambda: deadman.do(script(thing, waits(thing, "acting")), limit=LATE_S))
    until(thing, "acting")
    undoing = Beside(lambda: deadman.undo(Deadline(LATE_S)))
    Deadline(LATE_S).wait_for(lambda: here.run("pgrep -f '[l]kharness-undo'").ok, what="the undoing being there", every=0.02)
    assert undoing.is_alive() and any(line.startswith("folder") for line in remains(here)), "not undone before it was done"
    thing.with_name("done.go").touch()
    assert undoing.ended() is None and doing.ended() is None
    assert not thing.exists()
    Deadline(LATE_S).wait_for(lambda: remains(here) == [], what="nothing being left")


@pytest.mark.parametrize("held_at", ["setsid", "mkdir", "stat", "flock"])
def test_what_an_undoing_came_before_is_not_done(here, thing, tmp_path, held_at):
    """The arming is held up (a slow log-in, a busy node), before its folder is there or after; the undoing comes meanwhile."""
    slow = with_programs(here, tmp_path / "programs", **{held_at: f'{waits(thing, "held")}\nPATH={path()} exec {held_at} "$@"'})
    deadman = Deadman(slow, "a thing", longest=120)
    doing = Beside(lambda: deadman.do(script(thing), limit=LATE_S))
    until(thing, "held")
    deadman.host = here
    deadman.undo(Deadline(LATE_S))
    thing.with_name("done.go").touch()
    assert isinstance(doing.ended(), CommandFailed)
    assert not thing.exists()
    Deadline(LATE_S).wait_for(lambda: remains(here) == [], what="nothing being left")


def test_a_watchdogs_undoing_forbids_it_too(here, thing):
    """The harness was killed with the arming on its way: the watchdog finds nothing, and the arming that comes then does nothing."""
    deadman = Deadman(here, "a thing", longest=120)
    does = script(thing)
    assert send_undoing(here, ArmedUndo("here", deadman.token, deadman.of, does.undo, does.check, 120.0), limit=LATE_S) is False
    with pytest.raises(CommandFailed, match="could not be armed: it was undone already, so it was not done"):
        deadman.do(does, limit=LATE_S)
    assert not thing.exists() and deadman.undo(Deadline(LATE_S)) is False and remains(here) == []


def test_nothing_is_left_of_it_where_nothing_was_on_its_way(here, thing):
    """Done and undone in order: nothing has to be forbidden."""
    deadman = Deadman(here, "a thing", longest=120)
    deadman.do(script(thing), limit=LATE_S)
    assert deadman.undo(Deadline(LATE_S)) is True and deadman.undo(Deadline(LATE_S)) is False
    assert not here.run(f"[ -e {FORBIDDEN} ]").ok


def test_what_is_forbidden_takes_itself_away(here, thing, tmp_path):
    host = with_programs(here, tmp_path / "programs", sleep=f"echo $1 >>{thing}.slept\nexec /bin/sleep 0.05")
    assert send_undoing(host, ArmedUndo("here", "0" * 16, "r/n", ":", ":", 120.0), limit=LATE_S) is False
    Deadline(LATE_S).wait_for(lambda: not here.run(f"[ -e {FORBIDDEN} ]").ok, what="the folder going")
    assert thing.with_name("done.slept").read_text().split() == ["600"]


def test_what_hangs_beyond_its_term_is_ended_and_undone(here, thing, tmp_path):
    """An act that never ends must not keep the host from undoing it."""
    soon = f'if [ "$1" = -w ]; then shift 2; set -- -w 0.5 "$@"; fi\nPATH={path()} exec flock "$@"'
    host = with_programs(here, tmp_path / "programs", flock=soon)
    deadman = Deadman(host, "a thing", longest=1.0)
    hangs = Script(f"touch {thing}; sleep 999", f"rm -f {thing}", f"[ ! -e {thing} ]")
    doing = Beside(lambda: deadman.do(hangs, limit=10 * LATE_S))  # whose own limit ends nothing in this test
    Deadline(LATE_S).wait_for(thing.exists, what="the act")
    Deadline(LATE_S).wait_for(lambda: remains(here) == [], what="the host undoing it")
    assert not thing.exists() and "sleep 999" not in here.check("ps -eo args=")
    assert doing.ended() is not None
