"""A run that may disturb a cluster of Windows nodes: lease, plan, refusals, undo, and what a watchdog does when the run was killed."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from windows_cluster import CLUSTER, subject_of
from windows_node import refused, rows

from harness.attach import disruptive_run, restore, watchdog
from harness.attach.disruptive_run import DisruptiveRun
from harness.attach.execution_plan import PlannedDisruption
from harness.attach.lease import LeaseHeld
from harness.attach.watchdog import WatchdogConfig, WatchdogMessage
from harness.cluster.cluster_audit import nothing_left
from harness.cluster.windows_disk_space import MIN_FREE_BYTES
from harness.config.cluster_config import Cluster
from harness.core.deadline import Deadline
from harness.core.errors import Inconclusive
from harness.core.verdict import passed
from harness.disrupt import disruption, undo
from harness.hosts.windows import scheduled_undo
from harness.managers.kinds.lifekeeper_windows import LifeKeeperWindows
from harness.managers.manager import Says
from harness.managers.windows_base import starting

LONG_S = 120.0
CUT, NIC = "one comm path cut", "NIC down Subnet#2"


class Told:
    """In the watchdog's place: what the run tells it."""

    made: ClassVar[list[Told]] = []

    def __init__(self, brief: WatchdogConfig, folder: Path) -> None:
        self.brief, self.words = brief, list[WatchdogMessage]()
        self.made.append(self)

    def tell_found(self, active: str, before: object = None) -> None:
        self.words.append(WatchdogMessage(active=active))

    def tell_power_command(self, process: object) -> None:
        raise AssertionError("no power command is run here")

    def tell_disruption(self, one: disruption.Disruption) -> float:
        self.words.append(watchdog.message_for(one))
        return self.words[-1].longest_s

    def tell_armed(self, armed: Any) -> None:
        self.words.append(WatchdogMessage(armed=[armed]))

    def tell_undone(self, token: str) -> None:
        self.words.append(WatchdogMessage(undone=[token]))

    def tell_settled(self) -> None:
        self.words.append(WatchdogMessage(settled=True))

    def dismiss(self) -> None:
        self.words.append(WatchdogMessage(farewell=True))


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduled_undo, "POLL_INTERVAL_S", 0.001)
    monkeypatch.setattr(disruptive_run, "Watchdog", Told)
    monkeypatch.setattr(Told, "made", [])
    monkeypatch.setattr(restore, "audit", lambda subject, patience_s: passed("as it must be"))


def attached(tmp_path: Path) -> tuple[DisruptiveRun, Any]:
    subject = subject_of(token="")
    return DisruptiveRun(subject, "run-1", tmp_path), subject


def begun(run: DisruptiveRun, subject: Any, name: str) -> disruption.Disruption:
    one = disruption.get_disruption(name)(subject)
    run.demand_permission(one)
    undo.begin(subject, one, Deadline(LONG_S))
    return one


def test_a_whole_run_leaves_the_nodes_as_they_were(tmp_path):
    run, subject = attached(tmp_path)
    shown: list[str] = []
    run.take()
    run.show_plan(
        [PlannedDisruption(CUT), PlannedDisruption(NIC), PlannedDisruption("service hang"), PlannedDisruption("all comm paths cut")],
        shown.append,
    )
    assert "undone: by the harness; if it dies, by lknode02 itself" in shown[0]
    assert "service hang: skipped, because lknode01 is a Windows node: suspending another program's threads" in shown[0]
    assert "all comm paths cut: skipped, because it is done only where it is named by --disruption" in shown[0]
    first, second = subject.hosts.values()
    assert first.lease["token"] == second.lease["token"] == subject.lease_token
    one = begun(run, subject, CUT)
    assert second.rules and second.lease["until"] >= second.ticks + one.longest_s, "the lease covers what is armed"
    one.took_effect(Deadline(LONG_S))
    assert not nothing_left(subject) and "lknode02: undoing" in nothing_left(subject).reason
    undo.undo(subject, one, Deadline(LONG_S))
    verdict = run.end(broken=False)
    assert verdict is not None and verdict and run.give_back() == []
    assert nothing_left(subject) and not any((h.rules, h.armed, h.lease) != (set(), {}, None) for h in subject.hosts.values())
    assert [len(w.armed) for w in run._watchdog.words if w.armed] == [1] and run._watchdog.words[-1].farewell  # type: ignore[union-attr]


def test_two_runs_are_not_at_one_cluster(tmp_path):
    run, subject = attached(tmp_path)
    run.take()
    second = DisruptiveRun(subject, "run-2", tmp_path)
    with pytest.raises(LeaseHeld, match=r"lknode01: another run has this cluster: .*run run-1"):
        second.take()
    assert Told.made[-1].words[-1].farewell and second.give_back() == [] and subject.hosts["lknode01"].lease is not None
    run.give_back()


def test_the_watchdog_is_there_before_the_lease_is(tmp_path, monkeypatch):
    run, subject = attached(tmp_path)
    take, watched = run._lease.take, list[str]()

    def take_watched() -> None:
        watched.append(Told.made[-1].brief.token)
        take()

    monkeypatch.setattr(run._lease, "take", take_watched)
    run.take()
    assert watched == [subject.hosts["lknode01"].lease["token"]]
    run.give_back()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda h: h.lease.update(token="f" * 16), "lknode02: another run has this cluster"),
        (lambda h: setattr(h, "free", MIN_FREE_BYTES - 1), "lknode02: the drive of its temporary files is full"),
        (lambda h: h.rules.add("lkharness-" + "a" * 16), "communication path"),
        (
            lambda h: h.plays.update({"undo-list": lambda given: rows({"Token": "a" * 16, "State": "task", "Of": ""})}),
            "left behind: lknode02: task",
        ),
        (lambda h: h.plays.update({"undo-arm": lambda given: refused("NotArmed", "are tasks forbidden there?")}), "tasks forbidden"),
    ],
)
def test_what_speaks_against_it_keeps_it_from_being_done(tmp_path, spoil, why):
    run, subject = attached(tmp_path)
    run.take()
    run.show_plan([PlannedDisruption(CUT)], lambda text: None)
    host = subject.hosts["lknode02"]
    spoil(host)
    had = set(host.rules)
    with pytest.raises(Exception, match=why) as told:
        begun(run, subject, CUT)
    assert isinstance(told.value, Inconclusive) or "so nothing was done" in str(told.value)
    assert host.rules == had and host.armed == {} and "cut" not in [name for name, _ in host.asked]
    run._lease.give_back()


def test_tasks_that_are_forbidden_are_said_in_the_plan(tmp_path):
    run, subject = attached(tmp_path)
    subject.hosts["lknode01"].readiness["Scheduler"] = "Disabled"
    run.take()
    shown: list[str] = []
    run.show_plan([PlannedDisruption(CUT), PlannedDisruption(NIC), PlannedDisruption("switchover")], shown.append)
    assert "NIC down Subnet#2: skipped, because the Task Scheduler (service Schedule) of lknode01 is Disabled" in shown[0]
    assert "one comm path cut, on lknode02:" in shown[0] and "switchover, on lknode0" in shown[0]
    run.give_back()


@pytest.mark.parametrize("moment", ["armed", "done", "undone by the host", "undone", "task removed", "cut off"])
@pytest.mark.parametrize("name", [CUT, NIC])
def test_a_run_that_was_killed_is_undone_by_the_watchdog(tmp_path, monkeypatch, name, moment):
    """It knows only what it was told, and the hosts what they have."""
    run, subject = attached(tmp_path)
    run.take()
    run.show_plan([PlannedDisruption(name)], lambda text: None)
    host = subject.hosts["lknode02" if name == CUT else "lknode01"]
    if moment == "armed":
        host.plays["cut"] = host.plays["nic-down"] = lambda given: refused("Killed", "here the run was killed")
        with pytest.raises(Exception, match="here the run was killed"):
            begun(run, subject, name)
    else:
        one = begun(run, subject, name)
        if moment == "undone":
            undo.undo(subject, one, Deadline(LONG_S))
        if moment == "undone by the host":
            host.reboots()
        if moment == "task removed":
            host.armed.clear()
        if moment == "cut off":
            host.hears = False
            ask, looks = host.ask, iter(range(6))

            def asks(*about: Any, **more: Any) -> Any:
                if next(looks, None) is None and not host.hears:
                    host.hears = True
                    host.passes(one.longest_s)
                return ask(*about, **more)

            host.ask = asks
            host.alive = lambda *, limit=2.0: host.hears
    run._lease.leave_to_another()
    for each in subject.hosts.values():  # time goes on with every look
        listed = each.plays.get("undo-list", each._undo_list)
        each.plays["undo-list"] = lambda given, each=each, listed=listed: (listed(given), each.passes(200.0))[0]
    told = run._watchdog
    assert told is not None
    monkeypatch.setattr(watchdog, "ClusterUnderTest", lambda cluster, timeline: subject)
    monkeypatch.setattr(watchdog, "put_back", lambda *about, patience_s: passed("as it was"))
    log = io.StringIO()
    words = told.words  # type: ignore[attr-defined]
    if moment == "task removed":  # the host's own term is over
        words = [w.model_copy(update={"armed": [replace(one, longest_s=0.0) for one in w.armed]}) for w in words]
    assert watchdog.put_all_back(told.brief, words, log) == 0, log.getvalue()  # type: ignore[attr-defined]
    for each in subject.hosts.values():
        assert (each.rules, each.off, each.armed, each.lease) == (set(), set(), {}, None), log.getvalue()


@pytest.mark.parametrize(
    ("types", "says"),
    [
        (["Automatic", "Automatic"], Says.YES),
        (["Automatic", "AutomaticDelayedStart"], Says.YES),
        (["Automatic", "Disabled"], Says.NO),
        (["Automatic", "Manual"], Says.CANNOT_TELL),
        (["Automatic", ""], Says.CANNOT_TELL),
    ],
)
def test_whether_a_node_that_boots_rejoins(types, says):
    assert starting("LifeKeeper", dict(zip(("lknode01", "lknode02"), types, strict=True))).says is says


def test_the_start_type_is_asked_of_each_node():
    subject = subject_of()
    manager = subject.manager
    manager.service = "LifeKeeper"
    assert type(manager).__mro__[2].starts_at_boot(manager).yes  # type: ignore[attr-defined]
    subject.hosts["lknode02"].hears = False
    assert "lknode02: whether LifeKeeper starts at boot is not known" in str(type(manager).__mro__[2].starts_at_boot(manager))  # type: ignore[attr-defined]
    assert CLUSTER.manager.starts_at_boot is None and isinstance(subject, SimpleNamespace)


def test_a_cluster_that_was_handed_on_names_no_folder_of_linux():
    """The watchdog gets every field written out; the folder that the file does not name is still the host's own to tell."""
    handed_on = Cluster.model_validate_json(CLUSTER.model_dump_json())
    assert LifeKeeperWindows(handed_on, {})._root == {}
    own = CLUSTER.model_copy(update={"manager": CLUSTER.manager.model_copy(update={"root": Path("D:/LK")})})
    assert LifeKeeperWindows(own, {})._root == {"Root": "D:/LK"}
