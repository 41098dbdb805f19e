"""Debian's own Pacemaker in the lab, driven through the adapter: what is read, moved, lost and fenced is real."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from harness.cluster import cluster_audit
from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.errors import Unusable
from harness.core.timeline import Timeline
from harness.core.verdict import Outcome
from harness.disrupt.network.ip_resource import IpResourceOut
from harness.disrupt.node.switchover import Switchover
from harness.hosts.deadman.deadman_switch import remains
from harness.lab.lifecycle import default_cluster, doctor, launch
from harness.lab.pacemaker import packages
from harness.managers.kinds import pacemaker
from harness.managers.kinds.pacemaker import Pacemaker
from harness.managers.manager import Question, ResourceState, SwitchRefused
from harness.managers.rules import pacemaker_out_of_service_rules

LACKING = packages.missing()
ASKED_EVERY_S = 1.0  # what takes ten seconds and more: each question is two sessions, with Pacemaker's tools in them


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to find out by a lab that does not come up."""
    monkeypatch.setitem(packages.SIGNS, "corosync", "no-such-program")
    with pytest.raises(Unusable, match=r"the package corosync must be installed; fix it with: .*apt-get install .* corosync") as told:
        doctor.demand("pacemaker")
    assert told.value.exit_code == 4
    doctor.demand()  # any other lab does without


pytestmark = pytest.mark.skipif(bool(LACKING), reason=f"install {' '.join(LACKING)} for a lab with Pacemaker")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[launch.RunningLab]:
    # No test here waits for a check of a resource that fails, and the agents' checks are most of what such a lab costs.
    services = [
        s for s in default_cluster.DEFAULT_CLUSTER["services"] if s["kind"] != "postgres"
    ]  # no test asks one, and it is slow to move
    data = default_cluster.cluster_data(overrides={"manager": {"kind": "pacemaker", "check_interval_s": 30.0}, "services": services})
    running = launch.up(data, name=f"pacemaker-{os.getpid()}", persistent=False)
    yield running
    running.down()


@pytest.fixture(scope="module")
def subject(lab: launch.RunningLab) -> Iterator[ClusterUnderTest]:
    made = ClusterUnderTest(cluster_config.load(lab.cluster_file), Timeline())
    yield made
    made.close()


@pytest.fixture
def whole(subject: ClusterUnderTest) -> ClusterUnderTest:
    subject.wait_until_healthy(Deadline(120))
    return subject


def healthy_again(subject: ClusterUnderTest) -> str | None:
    """The active node, once a lost node is back."""
    return (
        Deadline(120)
        .wait_for(lambda: subject.manager.state(limit=2.0), until=lambda s: s.healthy, what="the cluster healthy", every=ASKED_EVERY_S)
        .active
    )


def constraints(subject: ClusterUnderTest, node: str) -> str:
    return subject.hosts[node].check("PATH=$PATH:/usr/sbin; cibadmin -Q -o constraints")


def fenced(lab: launch.RunningLab) -> list[dict]:
    events = [json.loads(line) for line in (lab.record.folder / "events.jsonl").read_text().splitlines()]
    return [e for e in events if e["kind"] == "fenced"]


def wait_for_fencing(lab: launch.RunningLab, before: int) -> None:
    """By the lab's own record, which costs nothing to look at."""
    Deadline(120).wait_for(lambda: len(fenced(lab)) > before, what="the lost node being fenced", every=0.2)


def test_everything_starts_at_home(whole: ClusterUnderTest) -> None:
    """Both links live, the VIP in its place, and Pacemaker's own word on the address."""
    home, other = (n.name for n in whole.cluster.nodes)
    state = whole.manager.state()
    assert state.active == home and all(len(n.comm_paths) == 2 for n in state.nodes.values())
    assert whole.holders_of_vip() == {home: ["eth1/32"]}
    assert whole.manager.address_of(whole.cluster.ip_resource.tag, home) == str(whole.cluster.vip)
    assert whole.manager.may_switch_over(other).yes and whole.manager.may_switch_over(home).no


def test_fencing_is_proven_and_each_question_has_its_own_answer(whole: ClusterUnderTest) -> None:
    """By Pacemaker's own tools: a device that is stopped, or out of use, covers nobody; without it a lost node is never taken over from."""
    manager, other = whole.manager, whole.standby_of(whole.active)

    def on_it(line: str) -> None:
        whole.hosts[other].check(f"PATH=$PATH:/usr/sbin; {line}")

    settled = "crm_resource --wait --timeout=30s"  # where a device starts or stops; all else is asked of the configuration
    assert [str(manager.may_switch_over(other, question)) for question in Question] == ["yes"] * 3
    assert manager.fencing().yes and manager.mirror(other).yes and manager.starts_at_boot().yes and manager.failures_left() == {}
    try:
        on_it(f"crm_resource -r fence --meta -p target-role -v Stopped; {settled}")
        assert "no fence device is started" in str(manager.fencing())
        assert "a lost node must be fenced first" in str(manager.may_switch_over(other, Question.LOST))
        assert manager.may_switch_over(other).yes and manager.may_switch_over(other, Question.FAILED).yes
        on_it("crm_attribute -t crm_config -n stonith-enabled -v false")
        assert "fencing is not in use" in str(manager.fencing()) and manager.may_switch_over(other, Question.LOST).yes
        on_it("crm_attribute -t crm_config -n stonith-action -v off")
        unasked = whole.cluster.manager.model_copy(update={"starts_at_boot": None})
        alone = Pacemaker(whole.cluster.model_copy(update={"manager": unasked}), whole.hosts)
        assert "a node that is fenced is left without power" in str(alone.starts_at_boot())
    finally:
        on_it(
            "crm_attribute -t crm_config -n stonith-enabled -v true; crm_attribute -t crm_config -n stonith-action -D; "
            f"crm_resource -r fence --meta -d target-role; {settled}"
        )
    assert manager.fencing().yes and manager.may_switch_over(other, Question.LOST).yes


def test_the_ip_resource_goes_out_alone(whole: ClusterUnderTest) -> None:
    """All the rest keeps running, and nothing of it is left in the CIB afterwards."""
    active, tag = whole.active, whole.cluster.ip_resource.tag
    before = {x.pid for x in whole.facts[active].listeners()}
    whole.manager.take_out(tag, active, deadline=Deadline(20.0))
    assert not whole.holders_of_vip()
    whole.manager.put_back(tag, active, deadline=Deadline(20.0))
    assert whole.holders_of_vip() == {active: ["eth1/32"]}
    assert before <= {x.pid for x in whole.facts[active].listeners()}
    assert "lkharness" not in whole.hosts[active].check("PATH=$PATH:/usr/sbin; cibadmin -Q")


def out_of(subject: ClusterUnderTest) -> str:
    """The CIB's elements that taking a resource out sets."""
    return subject.hosts[subject.cluster.nodes[1].name].check("PATH=$PATH:/usr/sbin; cibadmin -Q | grep lkharness || true")


def test_the_hosts_put_the_ip_resource_back_wherever_it_is(whole: ClusterUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness dies while the IP is still in service, as where Pacemaker may not stop it: nothing is left unmanaged for it. Armed on
    both nodes, because either may be gone; here the active one's deadman is killed."""
    active = whole.active
    disruption = IpResourceOut(whole)
    monkeypatch.setattr(IpResourceOut, "longest_s", 12.0)
    monkeypatch.setattr(Pacemaker, "_wait", lambda *of: None)
    (line,) = whole.manager.take_out_lines(whole.cluster.ip_resource.tag, active)
    idle = line.replace('name="target-role" value="Stopped"', 'name="x" value="y"')
    monkeypatch.setattr(pacemaker_out_of_service_rules, "line", lambda *of: idle)
    disruption.begin(Deadline(30.0))
    assert out_of(whole) and whole.holders_of_vip()
    assert any("configuration" in left for left in remains(whole.hosts[active]))
    whole.hosts[active].check("p=$(cat /run/lkharness/*/pid); kill -KILL -$p; rm -rf /run/lkharness")
    peer = whole.hosts[whole.cluster.peer_of(active).name]
    Deadline(60.0).wait_for(lambda: not remains(peer), what="the other node's own undoing", every=ASKED_EVERY_S)
    assert not out_of(whole)
    disruption.undo(Deadline(60.0))
    assert all(remains(whole.hosts[n.name]) == [] for n in whole.cluster.nodes)
    whole.wait_until_healthy(Deadline(60.0))


def test_what_takes_the_ip_resource_out_ends_by_itself(whole: ClusterUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is left to remove it: after its moment it means nothing any more, and the IP resource starts."""
    active, tag = whole.active, whole.cluster.ip_resource.tag
    monkeypatch.setattr(pacemaker, "MAX_OUT_S", 20)
    whole.manager.take_out(tag, active, deadline=Deadline(18.0))
    assert not whole.holders_of_vip()
    Deadline(90.0).wait_for(whole.holders_of_vip, what="the IP resource in service again", every=ASKED_EVERY_S)
    assert out_of(whole)
    whole.manager.put_back(tag, active, deadline=Deadline(20.0))
    assert not out_of(whole)


def test_another_applications_group_on_the_other_node_is_none_of_ours(whole: ClusterUnderTest) -> None:
    """The cluster is healthy all the same, by a look, by an audit, and once everything has moved; the other group stays where it is."""
    home, other = whole.active, whole.standby_of(whole.active)

    def on_it(line: str) -> None:
        whole.hosts[home].check(f"PATH=$PATH:/usr/sbin; {line}; crm_resource --wait --timeout=30s")

    theirs = '<primitive id="theirs" class="ocf" provider="heartbeat" type="Dummy"/>'
    place = f'<rsc_location id="theirs-there" rsc="theirs" node="{other}" score="INFINITY"/>'
    try:
        on_it(f"cibadmin -C -o resources -X '{theirs}' && cibadmin -C -o constraints -X '{place}'")
        assert whole.manager.state().active is None, "by everything that the manager has, both nodes have something"
        assert whole.state().active == whole.active == home
        assert cluster_audit.audit(whole, patience_s=0.0).outcome is Outcome.PASS
        disruption = Switchover(whole)
        disruption.prepare(Deadline(60))
        disruption.begin(Deadline(120))
        disruption.took_effect(Deadline(120))
        whole.wait_until_healthy(Deadline(120))
        assert whole.active == other and whole.manager.state().nodes[other].resources["theirs"] is ResourceState.IN_SERVICE
    finally:
        on_it(
            "cibadmin -D -o constraints -X '<rsc_location id=\"theirs-there\"/>'; cibadmin -D -o resources -X '<primitive id=\"theirs\"/>'"
        )


def test_a_switchover_leaves_no_constraint(whole: ClusterUnderTest) -> None:
    """PCM-05. Nor does it trample on one that somebody else has left."""
    active = whole.active
    to = whole.cluster.peer_of(active).name
    before = constraints(whole, active)
    whole.manager.switch_over(to, deadline=Deadline(40.0))
    assert whole.manager.state().active == to
    assert constraints(whole, active) == before
    whole.hosts[to].check(f"PATH=$PATH:/usr/sbin; crm_resource --ban -r {whole.cluster.manager.resource} -N {active}")
    with pytest.raises(SwitchRefused, match=f"cli-ban-cluster-services-on-{active}"):
        whole.manager.switch_over(active, deadline=Deadline(40.0))
    assert any("cli-ban" in reason for reason in whole.manager.may_switch_over(active).because)
    whole.hosts[to].check(f"PATH=$PATH:/usr/sbin; crm_resource --clear -r {whole.cluster.manager.resource}")
    assert whole.manager.state().active == to


def test_a_power_loss_fails_over_and_the_node_returns_as_standby(lab: launch.RunningLab, whole: ClusterUnderTest) -> None:
    """The survivor has the lost node fenced first, which finds it without power and leaves it so; nothing moves back."""
    lost = whole.active
    survivor = whole.cluster.peer_of(lost).name
    before = len(fenced(lab))
    lab.record.ask("power", node=lost, to="off")
    wait_for_fencing(lab, before)
    Deadline(120).wait_for(whole.manager.state, until=lambda s: s.active == survivor, what=f"{survivor} taking over", every=ASKED_EVERY_S)
    assert fenced(lab)[-1]["data"] == {"node": lost, "by": survivor}
    assert {h["name"]: h["power"] for h in lab.record.ask("status")["hosts"]}[lost] == "off"
    lab.record.ask("power", node=lost, to="on")
    assert healthy_again(whole) == survivor


def test_a_frozen_node_is_shot_before_its_peer_takes_over(lab: launch.RunningLab, whole: ClusterUnderTest) -> None:
    """Real fencing: the frozen node loses its power, so it cannot thaw into a cluster that has gone on without it."""
    frozen = whole.active
    survivor = whole.cluster.peer_of(frozen).name
    before = len(fenced(lab))
    lab.record.ask("power", node=frozen, to="freeze")
    wait_for_fencing(lab, before)
    assert healthy_again(whole) == survivor and "power reboot" in fenced(lab)[-1]["text"]
    seen = whole.manager.state().nodes[frozen].resources
    assert seen and all(s is ResourceState.STANDBY for s in seen.values())
