"""A host whose own undoing is gone or refused: the watchdog goes on with it, on a real host, until it is seen undone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from namespaced_host import own_machine

from harness.attach import pending_host_undos, watchdog
from harness.attach.pending_host_undos import HostUndoings, pending_undos
from harness.attach.watchdog import WatchdogMessage
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError
from harness.core.verdict import failed, passed
from harness.hosts.deadman.deadman_switch import FOLDER, ArmedUndo, Deadman, Script, remains

NO_DEADMAN = f"kill -9 -$(cat {FOLDER}/*/pid)"
PASSED = Deadline(0.0)  # long over when a term of no seconds counts from it


@pytest.fixture
def here():
    with own_machine() as host:
        yield host


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_host_undos, "RETRY_INTERVAL_S", 0.01)


def a_thing(folder: Path) -> Script:
    """A file that is made; as long as `refused` is there it cannot be undone."""
    return Script(f"touch {folder}/done", f"[ ! -e {folder}/refused ] && rm -f {folder}/done", f"[ ! -e {folder}/done ]")


def dead_run(here, folder: Path, longest: float) -> list[ArmedUndo]:
    """What a run had told its watchdog that armed this host and died."""
    told: list[ArmedUndo] = []
    Deadman(here, "a thing", longest=longest, on_armed=told.append).do(a_thing(folder), limit=60)
    assert (folder / "done").exists()
    return told


@pytest.mark.parametrize("lost", [NO_DEADMAN, f"{NO_DEADMAN}; rm -r {FOLDER}", f"echo >{FOLDER}/x; {NO_DEADMAN}; rm {FOLDER}/*/undo"])
def test_what_a_host_does_not_undo_is_undone(here, tmp_path, monkeypatch, lost):
    """Its deadman killed; the folder removed as well; the undoing's own text removed. Refused for a while in each case."""
    armed = dead_run(here, tmp_path, 60.0)
    here.check(["sh", "-c", lost])
    (tmp_path / "refused").touch()
    said: list[str] = []
    undoings = HostUndoings([ArmedUndo(**{**one.__dict__, "longest_s": 0.0}) for one in armed], {"here": here}, PASSED, said.append)
    subject = SimpleNamespace(cluster=SimpleNamespace(nodes=[]), hosts={"here": here}, together=lambda *work: [one() for one in work])
    tries = []

    def nothing_of_ours(about, hosts):
        tries.append(1)
        if len(tries) == 3:
            assert (tmp_path / "done").exists() and len(said) == 1
            (tmp_path / "refused").unlink()
        return failed("left") if remains(here) else passed("nothing")

    monkeypatch.setattr(watchdog, "nothing_of_ours", nothing_of_ours)
    watchdog._wait_for_the_hosts(subject, Deadline(120), lambda: None, undoings, said.append)
    assert not (tmp_path / "done").exists() and remains(here) == []
    assert said[-1].endswith("undone by this process; the host had not done it by itself"), said


def test_before_a_host_s_own_time_is_over_nothing_is_sent(here, tmp_path):
    armed = dead_run(here, tmp_path, 600.0)
    undoings = HostUndoings(armed, {"here": here}, Deadline(0.0), pytest.fail)
    assert not undoings.go_on(nothing_left=False) and (tmp_path / "done").exists()


def test_what_the_run_has_seen_undone_is_not_sent_again(here, tmp_path):
    words: list[WatchdogMessage] = []
    tell = SimpleNamespace(_tell=words.append)
    arms = lambda one: watchdog.Watchdog.tell_armed(tell, one)  # noqa: E731
    disarmed = lambda token: watchdog.Watchdog.tell_undone(tell, token)  # noqa: E731
    for n in range(2):
        deadman = Deadman(here, f"thing {n}", longest=60, on_armed=arms, on_undone=disarmed)
        deadman.do(a_thing(tmp_path), limit=60)
        if n == 0:
            deadman.undo(Deadline(60))
    read = [WatchdogMessage.model_validate_json(one.model_dump_json()) for one in words]
    left = pending_undos((one for w in read for one in w.armed), (token for w in read for token in w.undone))
    assert [one.token for one in left] == [deadman.token]
    deadman.undo(Deadline(60))


def test_without_a_guardian_nothing_is_armed(here, tmp_path):
    def ended(one: ArmedUndo) -> None:
        raise HarnessError("the process that would put the cluster back if this one were killed has ended")

    deadman = Deadman(here, "a thing", longest=60, on_armed=ended)
    with pytest.raises(HarnessError, match="has ended"):
        deadman.do(a_thing(tmp_path), limit=60)
    assert not (tmp_path / "done").exists() and remains(here) == [] and deadman.undo(Deadline(60)) is False


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_one_node_that_has_undone_it_ends_the_others_hold(here, tmp_path, order):
    """A disk is with one node only: the other one never sees it, and is told that it need not wait."""
    told: list[ArmedUndo] = []
    for undo in (f"rm -f {tmp_path}/done", "false"):
        deadman = Deadman(here, "disk", longest=60, on_armed=told.append)
        deadman.one_for_all = True
        deadman.do(Script(f"touch {tmp_path}/done", undo, f"[ ! -e {tmp_path}/done ]"), limit=60)
    said: list[str] = []
    undoings = HostUndoings(
        pending_undos([WatchdogMessage.model_validate_json(WatchdogMessage(armed=told).model_dump_json()).armed[n] for n in order], []),
        {"here": here},
        PASSED,
        said.append,
    )
    Deadline(120).wait_for(lambda: bool(undoings.go_on(nothing_left=True)), what="both being over", every=0.05)
    Deadline(120).wait_for(lambda: remains(here) == [], what="nothing being left", every=0.05)
    assert not (tmp_path / "done").exists()
