"""What each disruption demands of an attached cluster before it is done: proof, asked by kind, and never more than it needs."""

from __future__ import annotations

import contextlib
import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from permissive_manager import YES, PermittingManager, cannot_tell, no

from harness.attach.disruption_preconditions import Preconditions, failure_limit_reasons
from harness.attach.execution_plan import Entry, PlannedDisruption, planned_disruption, show
from harness.attach.preflight import Preflight
from harness.config import cluster_config
from harness.core.errors import Inconclusive, Unusable
from harness.disrupt import disruption
from harness.hosts.linux.linux_parse import InterfaceAddress
from harness.lab.lifecycle import default_cluster
from harness.managers.manager import Answer, ClusterState, CommPath, NodeState, Question, ResourceState
from harness.measure.measured_disruption import Start
from harness.pytest_plugin.cluster_fixture import ClusterFixture
from harness.pytest_plugin.measurement_plan import Planned
from harness.pytest_plugin.plugin import planned_faults

POWER = {"off": ["a"], "on": ["b"], "reboot": ["c"], "freeze": ["d"], "thaw": ["e"]}
CLUSTER = cluster_config.Cluster.model_validate(default_cluster.cluster_data(overrides={"power": POWER}))
SPLITS = [name for name, kind in disruption.all_of().items() if kind.splits]
REBOOTS = [name for name, kind in disruption.all_of().items() if kind.reboots]
NEEDING = {q: [name for name, kind in disruption.all_of().items() if q in kind.needs] for q in Question}


NICS = [InterfaceAddress(nic, address, 24, "UP") for nic, address in (("eth0", "10.20.1.11"), ("eth1", "10.20.2.11"))]


def state(paths: int = 2) -> ClusterState:
    ways = tuple(CommPath("other", f"10.20.{n + 1}.11/10.20.{n + 1}.12", True) for n in range(paths))
    states = (ResourceState.IN_SERVICE, ResourceState.STANDBY)
    return ClusterState({n.name: NodeState(n.name, True, {"ip": s}, ways) for n, s in zip(CLUSTER.nodes, states, strict=True)})


def asked(paths: int = 2, *, named: list[str] | None = None, allow_unproven: bool = False, **about) -> Preconditions:
    manager = PermittingManager(state(paths), **about)
    subject = SimpleNamespace(
        manager=manager,
        state=lambda **limit: manager.state(**limit),
        standby_of=lambda a: CLUSTER.peer_of(a).name,
        cluster=CLUSTER,
        facts={"lknode01": SimpleNamespace(addresses=lambda: NICS)},
    )
    return Preconditions(subject, frozenset(named or ()), allow_unproven=allow_unproven)  # type: ignore[arg-type]


def against(one: Preconditions, name: str, failures: int = 0) -> str:
    kind = disruption.get_disruption(name)
    return "; ".join([*one.skip_reasons(kind, failures), *one.refusal_reasons(kind)])


def test_every_disruption_says_what_it_needs():
    """In a class of its own or of its like, never by what holds for all."""
    silent = [
        n
        for n, kind in disruption.all_of().items()
        if not any("needs" in k.__dict__ for k in kind.__mro__ if k is not disruption.Disruption)
    ]
    assert silent == []
    assert set(SPLITS) == {"all comm paths cut", "one-way cut", "node freeze"}
    assert {"power loss", "node reboot", *SPLITS} <= set(REBOOTS)


@pytest.mark.parametrize("name", disruption.all_of())
def test_a_cluster_that_permits_everything_is_disturbed_when_it_is_named(name: str):
    assert against(asked(named=[name]), name, 100) == ""


@pytest.mark.parametrize("name", SPLITS)
def test_what_may_put_both_nodes_in_service_is_done_where_it_is_named_and_fencing_is_proven(name: str):
    """Split brain is nobody's default, and no option replaces the proof."""
    assert "only where it is named by --disruption: data written meanwhile on the losing side is lost" in against(asked(), name)
    for fencing in (no("no fence device is started"), cannot_tell("no fence device is started")):
        for allow in (False, True):
            unproven = asked(named=[name], fencing=fencing, allow_unproven=allow)
            assert "fencing is not proven: no fence device is started" in against(unproven, name)
    assert against(asked(fencing=no("x")), "switchover") == "" == against(asked(fencing=no("x")), "power loss")


@pytest.mark.parametrize("question", Question)
def test_each_is_asked_for_what_it_needs_and_no_more(question: Question):
    for answer, allow, stops in ((no("why"), True, True), (cannot_tell("why"), False, True), (cannot_tell("why"), True, False)):

        def switch(asks: Question, answer: Answer = answer) -> Answer:
            return answer if asks is question else YES

        for name in disruption.all_of():
            one = asked(named=[name], switch=switch, allow_unproven=allow)
            concerned = name in NEEDING[question]
            assert bool(against(one, name)) is (concerned and stops), name
            assert (one.unproven_points(disruption.get_disruption(name)) == ["why"]) is (concerned and not stops), name
    assert NEEDING[question]


def test_nothing_is_asked_for_the_control():
    assert against(asked(switch=lambda q: no("why"), unlisted_members=["n3"], mirror=no("x"), boots=no("y"), paths=1), "none") == ""


@pytest.mark.parametrize("name", REBOOTS)
def test_a_manager_that_does_not_start_at_boot_is_left_its_nodes(name: str):
    says = "lknode01: pacemaker is disabled"
    assert says in against(asked(named=[name], boots=no(says)), name)
    assert says in against(asked(named=[name], boots=cannot_tell(says)), name)
    allowed = asked(named=[name], boots=cannot_tell(says), allow_unproven=True)
    assert against(allowed, name) == "" and allowed.unproven_points(disruption.get_disruption(name)) == [says]
    assert against(asked(boots=no(says)), "switchover") == ""


def test_the_copy_of_the_data_is_asked_for_before_everything_that_may_move():
    for name, kind in disruption.all_of().items():
        found = against(asked(named=[name], mirror=no("resynchronising")), name)
        assert ("resynchronising" in found) is bool(kind.needs), name


def test_one_ring_and_a_path_that_is_cut_is_a_full_cut():
    for name in ("NIC down Subnet#1", "NIC down Subnet#2", "one comm path cut"):
        assert "so the nodes would not reach each other at all" in against(asked(paths=1), name)
    assert against(asked(paths=1), "switchover") == ""


BOTH_IN = {
    "10.20.2.11/10.20.2.12 10.20.2.21/10.20.2.22": "NIC down Subnet#2",  # the second path over a second address of the same NIC
    "10.20.1.11/10.20.1.12 10.20.1.21/10.20.1.22": "NIC down Subnet#1",
    "10.20.2.11/10.20.2.12 10.20.9.11/10.20.9.12": "NIC down Subnet#2",  # over a VLAN's device above the NIC
    "10.20.2.11/10.20.2.12 a-name": "NIC down Subnet#2",  # whose address nobody tells
}


@pytest.mark.parametrize(("paths", "name"), BOTH_IN.items())
def test_a_nic_that_carries_every_communication_path_is_a_split(paths: str, name: str):
    """Two names are not two ways: with that NIC down each node thinks that the other is dead."""

    def over(**about) -> Preconditions:
        one = asked(**about)
        ways = tuple(CommPath("other", addresses, True) for addresses in paths.split())
        manager: Any = one._subject.manager
        manager._state = ClusterState({n: replace(node, comm_paths=ways) for n, node in state().nodes.items()})
        more = (("eth1", "10.20.2.21"), ("eth0", "10.20.1.21"), ("eth1.9", "10.20.9.11"))
        addresses = [*NICS, *(InterfaceAddress(nic, address, 24, "UP") for nic, address in more)]
        one._subject.facts["lknode01"] = SimpleNamespace(addresses=lambda: addresses)  # type: ignore[assignment]
        return one

    other = next(n for n in ("NIC down Subnet#1", "NIC down Subnet#2") if n != name)
    assert against(over(), other) == ""
    unnamed = against(over(), name)
    assert "only where it is named by --disruption" in unnamed and "no communication path" in unnamed
    assert against(over(named=[name]), name) == ""
    for answers in ({"fencing": cannot_tell("no fence device")}, {"boots": no("it is disabled")}):
        (says,) = next(iter(answers.values())).because
        assert says in against(over(named=[name], **answers), name)
        assert against(over(named=[name], **answers), other) == ""
    lost = over(named=[name], switch=lambda question: no("no quorum") if question is Question.LOST else YES)
    assert "no quorum" in against(lost, name) and over().splits(disruption.get_disruption(name))


def test_a_serial_line_holds_when_a_nic_is_down():
    one = asked()
    ways = (CommPath("other", "10.20.2.11/10.20.2.12", True), CommPath("other", "/dev/ttyS0", True))
    manager: Any = one._subject.manager
    manager._state = ClusterState({n: replace(node, comm_paths=ways) for n, node in state().nodes.items()})
    assert against(one, "NIC down Subnet#2") == ""


def test_addresses_that_cannot_be_read_prove_no_path():
    one = asked()

    def fails() -> list[InterfaceAddress]:
        raise Unusable("lknode01 does not answer")

    one._subject.facts["lknode01"] = SimpleNamespace(addresses=fails)  # type: ignore[assignment]
    assert "could not be read (lknode01 does not answer)" in against(one, "NIC down Subnet#2")


def test_a_plan_adds_up_what_the_manager_counts():
    """Where some are counted already; a run's own are deleted before each disruption."""
    assert (
        failure_limit_reasons({"db": (0, 3)}, 100)
        == []
        == failure_limit_reasons({"db": (1, 3)}, 1)
        == failure_limit_reasons({"db": (2, 3)}, 0)
    )
    assert "2 failures of db are counted already, and 1 more would reach 3" in failure_limit_reasons({"db": (2, 3)}, 1)[0]
    wanted = [PlannedDisruption("service crash", measured=True)] * 5
    manager = PermittingManager(state(), failures={"db": (1, 5)})
    subject = SimpleNamespace(
        manager=manager,
        state=lambda **limit: manager.state(**limit),
        standby_of=lambda a: CLUSTER.peer_of(a).name,
        cluster=CLUSTER,
        active="lknode01",
        one_look=contextlib.nullcontext,
    )
    (entry,) = show(subject, wanted, Preconditions(subject)).entries  # type: ignore[arg-type]
    assert "1 failures of db are counted already, and 5 more would reach 5" in entry.skipped


def test_a_soak_says_that_it_repeats_and_is_refused_by_any_failure_that_is_counted(monkeypatch: pytest.MonkeyPatch):
    """How often it crashes a service in its time, nobody knows beforehand."""
    crash = planned_disruption("service crash", {}, measured=True, lasts_s=8 * 3600)
    failures = {"db": (1, 5000)}
    monkeypatch.setattr(disruption.get_disruption("service crash"), "steps", lambda self: [])
    for seen, refused in ((failures, True), ({"db": (0, 5000)}, False), ({}, False)):
        manager = PermittingManager(state(), failures=seen)
        subject = SimpleNamespace(
            manager=manager,
            state=manager.state,
            standby_of=lambda a: CLUSTER.peer_of(a).name,
            cluster=CLUSTER,
            active="lknode01",
            one_look=contextlib.nullcontext,
        )
        (entry,) = show(subject, [crash], Preconditions(subject)).entries  # type: ignore[arg-type]
        assert entry.title == "service crash, again and again for 8 h"
        assert ("1 failures of db are counted already, and those of a soak would reach 5000" in entry.skipped) is refused


def test_the_plan_of_a_soak_takes_its_time_from_the_tests(request):
    item = copy.copy(request.node)
    item.own_markers = [pytest.mark.disruptive.mark]
    item.callspec = SimpleNamespace(params={"disruption": Planned("switchover", Start(lasts_s=90.0))})
    (wanted,) = planned_faults([item])
    assert wanted.lasts_s == 90.0 and Entry(wanted, 1, "").title == "switchover, again and again for 90.0 s"


def test_what_the_plan_leaves_out_is_skipped_with_its_reason(monkeypatch: pytest.MonkeyPatch):
    """Neither measured nor done by a test of the suite: not inconclusive, because it was said beforehand."""
    monkeypatch.setattr(disruption.get_disruption("switchover"), "skip_reason", lambda self: None)
    subject = SimpleNamespace(cluster=CLUSTER, active="lknode01", skips={"switchover": "n3 is a node"})
    trial = ClusterFixture(subject, SimpleNamespace(run=None), lambda *of: None, lambda *of: None)  # type: ignore[arg-type]
    with pytest.raises(pytest.skip.Exception, match="n3 is a node"):
        trial.measured(Planned("switchover", Start()))
    with pytest.raises(pytest.skip.Exception, match="n3 is a node"), trial.disrupted("switchover"):
        pass


def test_within_another_fencing_is_asked_all_the_same():
    manager = PermittingManager(state(), fencing=no("nothing is started"))
    subject = SimpleNamespace(manager=manager, state=lambda **limit: manager.state(**limit), standby_of=lambda a: CLUSTER.peer_of(a).name)
    look = lambda s: Preconditions(s, frozenset({"node freeze"}))  # noqa: E731
    guard = Preflight(subject, frozenset({"node freeze"}), str, make_preconditions=look)  # type: ignore[arg-type]
    with pytest.raises(Inconclusive, match="fencing is not proven: nothing is started"):
        guard.demand_permission("node freeze", within=True)
