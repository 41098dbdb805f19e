"""What a Windows host undoes by itself, and when the harness has it undone: sequences against a stand-in that takes scripts by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from windows_node import WindowsNode, refused

from harness.attach.pending_host_undos import HostUndoings
from harness.core.deadline import Deadline
from harness.core.errors import Inconclusive, Unusable
from harness.hosts.deadman.deadman_switch import ArmedUndo, UndoFailed
from harness.hosts.host import HostUnreachable
from harness.hosts.windows import scheduled_undo
from harness.hosts.windows.scheduled_undo import (
    Deed,
    WindowsChange,
    WindowsDeadman,
    guard,
    reason_it_cannot_undo,
    remains,
    rule_name,
    waits_s,
)

LONG_S = 120.0


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduled_undo, "POLL_INTERVAL_S", 0.001)


@pytest.fixture
def node() -> WindowsNode:
    return WindowsNode()


class Hold:
    """A cut on that node, by a rule; `told` is what a watchdog would hear."""

    def __init__(self, node: WindowsNode, longest: float = 60.0, lease: str = "") -> None:
        self.node, self.told, self.seen = node, list[ArmedUndo](), list[str]()
        self.deadman = WindowsDeadman(
            node,  # type: ignore[arg-type]
            "one cut",
            longest=longest,
            lease=lease,
            on_armed=self.told.append,
            on_undone=self.seen.append,
        )
        self.change = WindowsChange("firewall", rule=rule_name(self.deadman.token))

    def do(self, **about) -> None:
        self.deadman.do(self.change, Deed("cut", {"Rule": self.change.rule, "Local": ["10.20.2.12"], "Remote": ["10.20.2.11"]}), **about)


def begun(node: WindowsNode, **about) -> Hold:
    hold = Hold(node, **about)
    hold.do(limit=LONG_S)
    assert node.rules == {hold.change.rule} and set(node.armed) == {hold.deadman.token}
    return hold


def test_it_is_armed_before_it_is_done_and_both_are_gone_afterwards(node):
    hold = begun(node)
    assert [name for name, _ in node.asked] == ["undo-arm", "cut"]
    assert len(hold.told) == 1 and hold.told[0].platform == "windows"
    assert hold.deadman.undo(Deadline(LONG_S)) is True and hold.seen == [hold.deadman.token]
    assert node.rules == set() and node.armed == {} and remains(node) == []  # type: ignore[arg-type]


def test_nothing_is_done_where_nothing_is_armed(node):
    """Tasks are forbidden, or the lease is another run's."""
    node.plays["undo-arm"] = lambda given: refused("NotArmed", "the scheduled task has not begun within 30 s; are tasks forbidden there?")
    hold = Hold(node)
    with pytest.raises(Unusable, match=r"could not be armed, so nothing was done: NotArmed: .*are tasks forbidden"):
        hold.do(limit=LONG_S)
    assert "cut" not in [name for name, _ in node.asked]
    del node.plays["undo-arm"]
    node.lease = {"token": "0" * 16}
    with pytest.raises(Unusable, match="not this run's any more, so nothing was done"):
        Hold(node, lease="1" * 16).do(limit=LONG_S)
    assert node.rules == set() and "cut" not in [name for name, _ in node.asked]


def test_what_is_asked_between_arming_and_doing_may_refuse(node):
    """Arming takes up to a minute, in which the role may move."""

    def moved() -> None:
        assert [name for name, _ in node.asked] == ["undo-arm"]
        raise Inconclusive("lknode01 was active and is not any more, so nothing was done")

    hold = Hold(node)
    with pytest.raises(Inconclusive, match="is not any more"):
        hold.do(limit=LONG_S, permit=moved)
    assert "cut" not in [name for name, _ in node.asked] and node.rules == set()
    assert hold.deadman.undo(Deadline(LONG_S)) is True and node.armed == {}


def test_nothing_is_armed_where_the_watchdog_cannot_be_told(node):
    hold = Hold(node)

    def gone(one: ArmedUndo) -> None:
        raise Unusable("the process that would put the cluster back has ended")

    hold.deadman._tell_armed = gone
    with pytest.raises(Unusable, match="has ended"):
        hold.do(limit=LONG_S)
    assert node.asked == [] and hold.deadman.undo(Deadline(LONG_S)) is False


@pytest.mark.parametrize("way", ["passes", "reboots"])
def test_the_host_undoes_it_alone(node, way):
    hold = begun(node, longest=60.0)
    node.passes(60.0) if way == "passes" else node.reboots()
    assert node.rules == set() and node.armed == {}
    assert hold.deadman.undo(Deadline(LONG_S)) is False and hold.seen == [hold.deadman.token]


def test_it_waits_no_longer_than_it_may():
    """A step is longer than a second, and the undoing itself takes its time."""
    for longest in (10.0, 30.0, 60.0, 300.0, 3000.0):
        assert 1 <= waits_s(longest) * scheduled_undo.STEP_S <= longest - min(scheduled_undo.UNDO_MARGIN_S, longest * 0.5)


def test_a_task_that_somebody_removed_is_armed_anew_as_long_as_the_thing_is_there(node):
    hold = begun(node)
    node.armed.clear()
    assert remains(node) == [f"firewall rule lkharness-{hold.deadman.token}"]  # type: ignore[arg-type]
    assert hold.deadman.undo(Deadline(LONG_S)) is True
    assert node.rules == set() and node.armed == {}


def test_a_nic_whose_task_is_gone_is_seen_by_the_thing_itself(node):
    hold = Hold(node)
    hold.change = WindowsChange("nic", nic="Ethernet 2", address="10.20.2.11")
    hold.deadman.do(hold.change, Deed("nic-down", {"Nic": "Ethernet 2", "Address": "10.20.2.11"}), limit=LONG_S)
    assert node.off == {"Ethernet 2"}
    node.armed.clear()
    assert hold.deadman.undo(Deadline(LONG_S)) is True and node.off == set()
    assert [name for name, _ in node.asked][-3:] == ["undo-arm", "undo-list", "effect"], "and it is looked at once more"


def test_a_host_that_is_cut_off_is_waited_for(node):
    hold = begun(node)
    node.hears = False
    looks = iter(range(3))
    listed = node._undo_list

    def heard_again(given):
        return listed(given)

    node.plays["undo-list"] = heard_again
    ask = node.ask

    def asks(name, parameters, *, limit):
        if next(looks, None) is None:
            node.hears = True
        return ask(name, parameters, limit=limit)

    node.ask = asks
    assert hold.deadman.undo(Deadline(LONG_S)) is True and node.rules == set()


def test_what_cannot_be_undone_is_said_with_its_reason(node):
    hold = begun(node)
    node.plays["undo-begin"] = lambda given: refused("AccessDenied", "Zugriff verweigert")
    with pytest.raises(UndoFailed, match=r"lknode01: .*AccessDenied: Zugriff .*goes on trying by itself, by the task lkharness-"):
        hold.deadman.undo(Deadline(2.0))
    assert hold.seen == [] and node.rules


def test_a_connection_that_dies_of_the_deed_is_no_fault_where_it_may(node):
    def severed(given):
        node.off.add(given["Nic"])
        raise HostUnreachable("the connection broke")

    node.plays["nic-down"] = severed
    change, deed = (
        WindowsChange("nic", nic="Ethernet", address="10.20.1.11"),
        Deed("nic-down", {"Nic": "Ethernet", "Address": "10.20.1.11"}),
    )
    assert Hold(node).deadman.do(change, deed, limit=LONG_S, severs=True) is None
    with pytest.raises(HostUnreachable):
        Hold(node).deadman.do(change, deed, limit=LONG_S)


def test_the_watchdog_sends_the_same(node):
    """Another process, which knows only what it was told."""
    hold = begun(node)
    said: list[str] = []
    undoings = HostUndoings(hold.told, {"lknode01": node}, Deadline(0.0), said.append)  # type: ignore[dict-item]
    assert not undoings.go_on(nothing_left=False), "its own term is not over"
    assert undoings.go_on(nothing_left=True) and node.rules == set()
    assert said and "the host had not done it by itself" in said[0]


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({}, ""),
        ({"Administrator": None}, "is not known to be an administrator"),
        ({"Administrator": False}, "only one may make a task of SYSTEM"),
        ({"Scheduler": "Stopped"}, r"the Task Scheduler \(service Schedule\) of lknode01 is Stopped"),
        ({"Scheduler": None}, "is not there"),
        ({"Module": False}, "no module ScheduledTasks"),
        ({"Tasks": "a group policy forbids it (Task Scheduler5.0, Task Creation)"}, "scheduled tasks are forbidden there: a group policy"),
        ({"FolderFault": "it is a link to another place"}, "it is a link to another place; remove it"),
    ],
)
def test_what_keeps_a_host_from_undoing_is_said_beforehand(node, told, why):
    node.readiness |= told
    assert re.search(why, reason_it_cannot_undo(node)) if why else reason_it_cannot_undo(node) == ""  # type: ignore[arg-type]


def test_what_is_not_told_is_no_yes(node):
    node.hears = False
    assert "is not known: lknode01: it does not answer" in reason_it_cannot_undo(node)  # type: ignore[arg-type]


def test_the_waiting_program_is_ascii_has_every_label_and_runs_only_windows_own():
    """No cmd is here to run it: its labels and programs are held against each other."""
    text = guard()
    assert text.isascii() and not any(len(line) > 200 for line in text.splitlines())
    code = "\n".join(line for line in text.splitlines() if not line.startswith("rem "))
    labels = set(re.findall(r"^:(\w+)$", code, re.MULTILINE))
    jumps = set(re.findall(r"\bgoto (\w+)", code)) | {f"{word}_{kind}" for word in ("undo", "check") for kind in ("firewall", "nic")}
    assert jumps <= labels and "call :undo_!v_kind!" in code and "call :check_!v_kind!" in code
    assert set(re.findall(r"!sys!\\([\w.]+)", code)) == {"ping.exe", "schtasks.exe", "netsh.exe", "reg.exe", "ipconfig.exe"}
    assert re.search(r'^:undo\n>"!d!now" echo now$', code, re.MULTILINE), "what is being undone must look so to who is about to do it"
    assert re.search(r"^if defined v_kind if defined v_task if defined v_seconds goto known$", code, re.MULTILINE), "values may be locked"
    check = code.split(":check_nic\n", 1)[1]
    assert check.index('if exist "!d!down" set /a looks=1') < check.index("ipconfig.exe") and "set /a looks=15" in check
    assert "%TEMP%" not in code and "powershell" not in code.lower()
    assert Path(scheduled_undo.__file__).parent.joinpath("engine/undo-task.cmd").exists()
