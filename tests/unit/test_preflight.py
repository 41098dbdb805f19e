"""When an attached cluster may be disturbed, what is shown of it first, and what the report's first line says when it is left changed."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from permissive_manager import PermittingManager
from report_sample import a_builder

from harness.attach.disruption_preconditions import Preconditions, reasons_against
from harness.attach.execution_plan import PlannedDisruption, planned_disruption, show
from harness.attach.preflight import Preflight
from harness.config import cluster_config
from harness.core.errors import ExitCode, Inconclusive
from harness.core.timeline import Timeline
from harness.core.verdict import failed, passed
from harness.disrupt import disruption
from harness.hosts.linux.linux_parse import InterfaceAddress
from harness.lab.lifecycle import default_cluster
from harness.managers.kinds.lifekeeper import LifeKeeper
from harness.managers.manager import Answer, ClusterState, CommPath, NodeState, ResourceState, Says
from harness.report.record.run_record import AS_FOUND
from harness.report.record.run_verdict import judge
from harness.report.terminal_summary import summary

CLUSTER = cluster_config.parse(
    default_cluster.cluster_data(overrides={"power": {"off": ["cut", "{node}"], "on": ["give", "{node}"]}}), Path("a test's")
)
ALIVE = (CommPath("other", "10.20.1.11/10.20.1.12", True), CommPath("other", "10.20.2.11/10.20.2.12", True))


def state(active: ResourceState = ResourceState.IN_SERVICE, standby: ResourceState = ResourceState.STANDBY, **about) -> ClusterState:
    first = NodeState("lknode01", **{"running": True, "resources": {"ip": active}, "comm_paths": ALIVE, **about})  # type: ignore[arg-type]
    return ClusterState({"lknode01": first, "lknode02": NodeState("lknode02", True, {"ip": standby}, ALIVE)})


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (state(), None),
        (state(comm_paths=(ALIVE[0], CommPath("other", "the second", False))), "communication path the second is dead"),
        (state(comm_paths=ALIVE[:1]), None),  # as Pacemaker on Azure; two are needed where one is cut
        (state(comm_paths=()), "names 0 communication paths"),
        (state(running=False, resources={}, why="it does not answer"), "lknode01: it does not answer"),
        (state(standby=ResourceState.IN_SERVICE), "not exactly one node has everything in service"),
        (state(active=ResourceState.STANDBY), "not exactly one node has everything in service"),
        (state(standby=ResourceState.FAILED), "lknode02 does not stand by"),
        (state(standby=ResourceState.UNKNOWN), "lknode02 does not stand by"),
    ],
)
def test_what_speaks_against_disturbing(seen: ClusterState, reason: str | None):
    found = reasons_against(seen)
    assert found == [] if reason is None else any(reason in one for one in found), found


def guard(seen: ClusterState | None = None, says: Says = Says.YES, lost: str = "", *, unproven: bool = False) -> Preflight:
    manager = PermittingManager(seen or state(), switch=lambda _: Answer(says, ("a reason",) if says is not Says.YES else ()))
    subject = SimpleNamespace(
        manager=manager, state=lambda **limit: manager.state(**limit), standby_of=lambda a: CLUSTER.peer_of(a).name, timeline=Timeline()
    )
    look = partial(Preconditions, allow_unproven=unproven)
    return Preflight(subject, frozenset({"switchover"}), lambda: lost, make_preconditions=look)  # type: ignore[arg-type]


def test_a_whole_cluster_may_be_disturbed():
    one = guard()
    assert not one.disturbed
    one.demand_permission("switchover")
    assert one.disturbed


def test_only_yes_is_a_go_unless_the_operator_says_otherwise():
    """A slow node, or a quorum that cannot be read, is no yes (facts WCLU-109 on); what was done all the same is on the record."""
    with pytest.raises(Inconclusive, match=r"not proven that a switchover .* to lknode02 would be made \(--allow-unproven .*: a reason"):
        guard(says=Says.CANNOT_TELL).demand_permission("switchover")
    all_the_same = guard(says=Says.CANNOT_TELL, unproven=True)
    all_the_same.demand_permission("switchover")
    assert all_the_same.disturbed
    (event,) = all_the_same._subject.timeline.events
    assert event.text == "switchover is done although this is not proven: a reason"


@pytest.mark.parametrize(
    ("name", "about", "says"),
    [
        ("power loss", {}, "power loss was not done, and nothing was: it was not in the plan"),
        ("switchover", {"says": Says.NO}, "it is not so that a switchover that it is told to make to lknode02 would be made: a reason"),
        ("switchover", {"lost": "somebody else has it"}, "somebody else has it"),
        ("switchover", {"seen": state(comm_paths=())}, "names 0 communication paths"),
    ],
)
def test_it_is_refused_with_the_reason(name: str, about: dict, says: str):
    one = guard(**about)
    with pytest.raises(Inconclusive, match=says):
        one.demand_permission(name)
    assert not one.disturbed


class NoHost:
    """Whoever asks a host of the plan's test breaks it, unless it only looks for a tool, an address, a disk or where it comes from."""

    def run(self, command: object, *, limit: float = 10.0) -> SimpleNamespace:
        assert "command -v" in str(command) or "addr show" in str(command), command
        return SimpleNamespace(ok=True, out="")

    def check(self, command: object, *, limit: float = 10.0) -> str:
        assert "readlink" in str(command) or "PPid" in str(command), command
        return "/shared\n\n\n\n" if "readlink" in str(command) else "40\n"


class Told(PermittingManager, LifeKeeper):
    """Permits everything, and knows LifeKeeper's commands."""

    def __init__(self) -> None:
        LifeKeeper.__init__(self, CLUSTER, {})
        PermittingManager.__init__(self, state())


@pytest.fixture
def subject() -> Iterator[SimpleNamespace]:
    ports = [s.port for s in CLUSTER.services] + [CLUSTER.load_balancer.probe.port]
    facts = SimpleNamespace(listeners=lambda: [SimpleNamespace(port=p, pid=100 + i, process="one") for i, p in enumerate(ports)])
    facts.addresses = lambda: [InterfaceAddress("eth0", "10.20.1.11", 24, "UP"), InterfaceAddress("eth1", "10.20.2.11", 24, "UP")]
    manager = Told()
    yield SimpleNamespace(
        cluster=CLUSTER,
        active="lknode01",
        standby_of=lambda a: CLUSTER.peer_of(a).name,
        manager=manager,
        state=lambda **limit: manager.state(**limit),
        hosts={m.name: NoHost() for m in CLUSTER.machines},
        facts={m.name: facts for m in CLUSTER.machines},
        one_look=contextlib.nullcontext,
    )


def test_every_disruption_is_shown_with_its_host_its_time_and_its_undoing(subject):
    wanted = [planned_disruption(name, {}) for name in disruption.all_of()]
    shown = show(subject, wanted, Preconditions(subject, frozenset(disruption.all_of())))
    assert shown.names == set(disruption.all_of())
    hosts = {m.name for m in CLUSTER.machines}
    for entry in shown.entries:
        assert not entry.unknown, entry
        if entry.skipped:
            continue
        assert entry.host in hosts and entry.undoing and entry.recovered_after_s > 0, entry
        assert entry.steps or entry.wanted.name == "none", entry.title
        assert not entry.longest_s or any(s.phase == "undo" for s in entry.steps) or entry.wanted.name.startswith("idle"), entry.title
    text, long = shown.as_text(), shown.as_text(commands=True)
    assert "switchover, on lknode01: the cluster manager is told" in text and "perform_action" not in text
    assert "perform_action -t cluster-services -a restore" in long and "cut lknode01" in long and "kill -KILL" in long


def test_power_that_nobody_gives_back_is_told(subject):
    (entry,) = show(subject, [PlannedDisruption("power loss")]).entries
    assert math.isinf(entry.longest_s) and "until the harness undoes it" in entry.lasts
    assert "by nobody if this machine dies" in entry.undoing


def test_a_service_and_how_often(subject):
    wanted = [planned_disruption("service crash", {"service": "web"}), planned_disruption("service crash", {"service": "listener"})]
    wanted += [planned_disruption("switchover", {"service": "web"}, measured=True), planned_disruption("switchover", {})]
    titles = [e.title for e in show(subject, wanted).entries]
    assert titles == ["service crash (web)", "service crash (listener)", "switchover, 2 times"]


def test_the_plan_says_how_often_each_host_connects_to_which_service(subject):
    """As often as the meter does: a server may count connections that are broken off (MySQL's max_connect_errors)."""
    from harness.measure.meter import series_of
    from harness.remote.host_capabilities import Capabilities, Kind
    from harness.remote.recording.recording import NEW

    measured = [planned_disruption("switchover", {}, measured=True, period_s=0.01)]
    (note,) = [n for n in show(subject, measured).notes if "new connections" in n]
    everywhere = {m.name: Capabilities(Kind.PYTHON, keeps=True) for m in CLUSTER.machines}
    made = {(s.origin, s.service): 1 / s.period_s for s in series_of(CLUSTER, 0.01, everywhere) if s.kind == NEW}
    for (host, service), rate in made.items():
        assert host in note and f"{rate:g} a second to {service}" in note, note
    assert set(made.values()) == {100.0, 10.0}
    assert not [n for n in show(subject, [planned_disruption("switchover", {})]).notes if "new connections" in n]
    assert "last-lrm-refresh" in show(subject, measured).as_text()


def test_the_reports_first_line_says_what_is_not_as_it_was(tmp_path: Path):
    builder = a_builder(tmp_path)
    builder.begin_test("t", "everything is well")
    builder.end_test(passed("it is"))
    builder.audit(AS_FOUND, passed("lknode01 is active, as it was"))
    assert judge(builder.run.record).reason == "the run has not ended, or was killed"
    builder.audit(AS_FOUND, failed("lknode02 is active, lknode01 was"))
    assert builder.finish().exit_code is ExitCode.FAILED
    first = summary(builder.run.record, tmp_path).splitlines()[0]
    assert first.startswith("FAILED: THE CLUSTER IS NOT AS IT WAS FOUND: lknode02 is active, lknode01 was; ")
    builder.run.close()
